"""All params of a detection."""

from dataclasses import dataclass

from pydantic import with_config

from springfield.images.reading.boxes import BoxLayout
from springfield.learning.recipe import TrainParams
from springfield.stages.detection.augment import AugmentParams
from springfield.stages.detection.evaluate import EvaluateParams
from springfield.stages.detection.export import ExportParams
from springfield.stages.detection.prepare import PrepareParams
from springfield.stages.detection.train import ModelParams
from springfield.stages.params import CHECKED, CommonParams, DataParams
from springfield.stages.split import SplitParams


@dataclass
class BoxesParams(DataParams):
    """A data set of pictures with boxes."""

    layout: BoxLayout


@with_config(CHECKED)
@dataclass
class DetectionParams(CommonParams):
    """Each field's type says its range, which is checked before any work."""

    data: BoxesParams
    prepare: PrepareParams
    split: SplitParams
    augment: AugmentParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams
