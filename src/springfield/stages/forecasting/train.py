"""Stage train: learn to forecast, with Lightning on every device there is."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from springfield.files import RemoteFile
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.processes import loaders_with_room

if TYPE_CHECKING:
    from springfield.learning.fit import Part
    from springfield.sampling.batches import Loader
    from springfield.series.dataset import Sides
    from springfield.stages.forecasting.network import Forecaster
    from springfield.stages.forecasting.params import ForecastingParams

SIDES = ("train", "val", "test")
NEEDS = ("seed", "model", "optimizer", "train", "augment.online")


@dataclass
class ModelParams:
    """The network and what it takes in."""

    backbone: Annotated[str, Field(min_length=1)]
    code: Annotated[str, Field(pattern=r"\.py$")]
    """The file that defines it."""
    input_size: Annotated[int, Field(ge=1, le=100_000)]
    """Values that it is given."""
    horizon: PositiveInt
    """Values that it forecasts."""
    season: Annotated[int, Field(ge=2)]
    """Steps after which the series repeats."""
    levels: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    """Of its intervals."""
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    """Dropout before the head."""
    options: dict[str, Any]
    """Further arguments of the backbone."""
    weights: RemoteFile | None
    """None: a series is learnt from scratch."""

    def __post_init__(self) -> None:
        if self.levels != sorted(set(self.levels)):
            raise UserError(f"model.levels={self.levels}: each once, the narrowest first")
        if self.weights:
            raise UserError("model.weights: a forecaster starts from scratch; set it to null")


def run(params: "ForecastingParams", paths: Paths, machine: Machine) -> None:
    """Train on the windows of train, keep the last epoch or a better one.

    Reads: the series, the split. Writes: the checkpoint (the kept epoch's forecaster),
    `metrics.csv` and `speed.csv`, an epoch a row, and `kept.json`, which it is.

    Raises:
        UserError: params that do not fit each other, the data or the machine.
    """
    import pytorch_lightning as pl

    from springfield.learning.checkpoint import save_checkpoint
    from springfield.learning.fit import fit
    from springfield.series.dataset import blocks, read_split
    from springfield.stages.forecasting.learner import ForecastingLearner

    pl.seed_everything(params.seed, verbose=False)
    sides = read_split(paths.series, paths.index, paths.split)
    assert pd.read_csv(paths.augmented / "index.csv").empty  # of a series there are no copies
    forecaster = _forecaster(params, sides.known())
    learner = ForecastingLearner(forecaster, params.optimizer, params.train, params.seed)
    origins = {side: _origins(params, sides, side) for side in SIDES}
    loaders = partial(_loaders, params, sides, origins)
    groups = blocks(len(origins["val"]))
    if fit(learner, loaders, groups, machine, paths.training):
        precision = learner.hparams["precision"]
        save_checkpoint(forecaster, paths.checkpoint, machine.made_from, precision)


def check(params: "ForecastingParams") -> None:
    """See that there is such a network, and that it takes the windows that it will be given.

    Raises:
        UserError: there is none, or it does not.
    """
    from springfield.series.transforms import build

    rng = np.random.default_rng(1)
    _forecaster(params, rng.normal(size=2 * params.model.season).astype(np.float32))
    build(params.augment.online, 1.0)


def _forecaster(params: "ForecastingParams", known: NDArray[np.float32]) -> "Forecaster":
    """A new network, normalised by what train knows."""
    from springfield.stages.forecasting.network import Architecture, Forecaster

    model = params.model
    if len(known) <= model.season:
        raise UserError(
            f"train has {len(known)} values, no more than a season of {model.season}; smaller "
            "split.val and split.test leave it more"
        )
    changes = known[model.season :] - known[: -model.season]
    # A series that repeats itself exactly has no spread but its own.
    unsmoothed = not model.options.get("seasonal")
    spread = (0.0 if unsmoothed else float(changes.std())) or float(known.std()) or 1.0
    architecture = Architecture(
        model.backbone, model.input_size, model.horizon, model.season, model.levels,
        float(known.mean()), spread, float(changes.mean()), model.options,
    )  # fmt: skip
    return Forecaster(architecture, model.drop_rate)


def _origins(params: "ForecastingParams", sides: "Sides", side: str) -> NDArray[np.int64]:
    """Of train every one; elsewhere no value is forecast twice.

    Raises:
        UserError: the side is too short.
    """
    model = params.model
    step = 1 if side == "train" else model.horizon
    origins = sides.origins(side, model.input_size, model.horizon, step)
    if not len(origins):
        values = int((sides.of == side).sum())
        needed = model.horizon + (model.input_size if side == "train" else 0)
        raise UserError(
            f"{side} has {values} values and needs {needed}; change split.val and split.test, or "
            "make model.input_size or data.layout.horizon smaller"
        )
    return origins


def _loaders(
    params: "ForecastingParams",
    sides: "Sides",
    origins: dict[str, NDArray[np.int64]],
    part: "Part",
) -> "tuple[Loader, Loader]":
    from springfield.sampling.batches import Batches, loader
    from springfield.series.dataset import Windows
    from springfield.series.transforms import build

    model, recipe = params.model, params.train
    size = (model.input_size, model.horizon)
    spread = float(np.std(sides.known()))
    shares = (recipe.batch_size, part.rank, part.world)
    train, val = origins["train"], origins["val"]
    augmentation = build(params.augment.online, spread)
    shuffled = Batches(len(train), *shares, seed=params.seed, pieces=recipe.accumulate)
    in_order = Batches(len(val), *shares, pieces=recipe.accumulate)
    windows = Windows(sides.values, train, *size, augmentation, params.seed)
    batch = recipe.batch_size // part.world // recipe.accumulate
    workers = loaders_with_room(part.workers, 4 * batch * sum(size), part.here)
    whole = Windows(sides.values, val, *size)
    return loader(windows, shuffled, workers, recipe.epochs), loader(whole, in_order, workers)
