"""All params of a forecast."""

from dataclasses import dataclass

from pydantic import with_config

from springfield.learning.recipe import TrainParams
from springfield.machine.errors import UserError
from springfield.series.reading.table import Columns
from springfield.stages.forecasting.augment import AugmentParams
from springfield.stages.forecasting.evaluate import EvaluateParams
from springfield.stages.forecasting.export import ExportParams
from springfield.stages.forecasting.prepare import PrepareParams
from springfield.stages.forecasting.train import ModelParams
from springfield.stages.params import CHECKED, CommonParams, DataParams
from springfield.stages.split import TimeSplitParams


@dataclass
class SeriesParams(DataParams):
    """A data set of one series."""

    layout: Columns

    def __post_init__(self) -> None:
        if self.exclude:
            raise UserError("data.exclude: a series has no pictures; set it to []")


@with_config(CHECKED)
@dataclass
class ForecastingParams(CommonParams):
    """Each field's type says its range, which is checked before any work."""

    data: SeriesParams
    prepare: PrepareParams
    split: TimeSplitParams
    augment: AugmentParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams
