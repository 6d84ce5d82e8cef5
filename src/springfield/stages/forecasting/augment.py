"""Stage augment: a picture of the windows that a network learns from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from springfield.files import atomic
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths

if TYPE_CHECKING:
    from springfield.stages.forecasting.params import ForecastingParams

NEEDS = ("seed", "augment", "model.input_size", "model.backbone")
SHOWN = 6


@dataclass
class AugmentParams:
    """What is done to the windows of train."""

    online: list[dict[str, Any]]
    """None, or `Jitter` with its `sigma`: noise on what a network is given, in spreads."""


def run(params: "ForecastingParams", paths: Paths, machine: Machine) -> None:
    """Write an empty set, since of a series there are no copies, and a picture of windows."""
    import pandas as pd

    from springfield.sampling.sides import read_sides
    from springfield.series.drawing.plots import windows_plot
    from springfield.series.store import read_series
    from springfield.series.transforms import build

    series = read_series(paths.series)["value"]
    ids = pd.read_csv(paths.index, dtype=str)["id"]
    sides = read_sides(paths.split, ids)
    known = series.to_numpy(np.float32)[: int((sides["split"] == "train").sum())]
    window = min(params.model.input_size, len(known))
    augmentation = build(params.augment.online, float(known.std()))
    starts = np.unique(np.linspace(0, len(known) - window, SHOWN).astype(int))
    windows = [(series.index[s : s + window], known[s : s + window]) for s in starts]
    changed = [
        None if augmentation is None else augmentation(values, params.seed, 0, int(start))
        for start, (_, values) in zip(starts, windows, strict=True)
    ]
    with atomic(paths.augmented, directory=True) as partial:
        (partial / "index.csv").write_text("id\n")
    with atomic(paths.augment_picture) as partial:
        figure = windows_plot(windows, changed)
        figure.savefig(partial, format="png", metadata={"Software": None})
