"""All params of a classification."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, with_config

from springfield.images.reading.formats import Layout
from springfield.stages.classification.augment import AugmentParams
from springfield.stages.classification.evaluate import EvaluateParams
from springfield.stages.classification.export import ExportParams
from springfield.stages.classification.prepare import PrepareParams
from springfield.stages.classification.train import ClassifierTrainParams, ModelParams
from springfield.stages.params import CHECKED, CommonParams, DataParams
from springfield.stages.split import SplitParams


@dataclass
class PicturesParams(DataParams):
    """A data set of labelled pictures."""

    layout: Annotated[list[Layout], Field(min_length=1)]


@with_config(CHECKED)
@dataclass
class ClassificationParams(CommonParams):
    """Each field's type says its range, which is checked before any work."""

    data: PicturesParams
    prepare: PrepareParams
    split: SplitParams
    augment: AugmentParams
    model: ModelParams
    train: ClassifierTrainParams
    evaluate: EvaluateParams
    export: ExportParams
