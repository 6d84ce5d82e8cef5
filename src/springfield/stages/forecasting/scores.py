"""Scores of forecasts, and of the simple ones that they must beat."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from springfield.machine.errors import UserError
from springfield.machine.progress import console, track
from springfield.scoring.intervals import bootstrap_interval, interval

if TYPE_CHECKING:
    from springfield.series.dataset import Sides
    from springfield.stages.forecasting.network import Forecaster

Values = NDArray[np.float64]
BATCH = 256
SIMPLE = {
    "last_value": "last value",
    "seasonal_naive": "seasonal naive",
    "holt_winters": "Holt-Winters",
}
"""Simple forecasts, and how they are called wherever a person reads of them."""
FEWEST = 10
"""Values that statsmodels needs to begin Holt-Winters, besides two seasons."""
FITTED = 200
"""Seasons before the test that Holt-Winters has its weights from, so that it takes seconds."""


@dataclass(frozen=True)
class Forecasts:
    """What was said from each origin, and what came."""

    origins: NDArray[np.int64]
    groups: NDArray[np.int64]
    """Forecasts of a block have the same number."""
    quantiles: Values
    """N x horizon x quantiles, ascending."""
    coming: Values
    """N x horizon."""

    @property
    def median(self) -> Values:
        """N x horizon."""
        return np.asarray(self.quantiles[..., self.quantiles.shape[-1] // 2])

    @property
    def errors(self) -> Values:
        """What came, minus the median (N x horizon)."""
        return np.asarray(self.coming - self.median)

    @property
    def rmse(self) -> float:
        """The root mean squared error of the median, over all origins and steps."""
        return float(np.sqrt((self.errors**2).mean()))

    def distances(self, place: int) -> Values:
        """How far values (N x horizon) are from the median, in half-widths of an interval."""
        middle = self.quantiles.shape[-1] // 2
        ends = (self.quantiles[..., middle + side * (place + 1)] for side in (1, -1))
        above, below = (np.abs(end - self.median) for end in ends)
        half = np.where(self.errors > 0, above, below)
        return np.asarray(np.abs(self.errors) / np.maximum(half, np.finfo(float).tiny))

    def covered(self, place: int) -> NDArray[np.bool_]:
        """Whether values (N x horizon) are in an interval; 0: the narrowest."""
        middle = self.quantiles.shape[-1] // 2
        low = self.quantiles[..., middle - 1 - place]
        high = self.quantiles[..., middle + 1 + place]
        return np.asarray((low <= self.coming) & (self.coming <= high))


def rolling_forecasts(
    model: "Forecaster", sides: "Sides", side: str, factors: list[float], step: int
) -> Forecasts:
    """What a network says from the origins of a side.

    Args:
        model: the forecaster.
        sides: a series and its split.
        side: of the split.
        factors: by which its intervals are widened, a level each.
        step: from one origin to the next.

    Raises:
        UserError: it gives no numbers, which no score would tell.
    """
    import torch

    from springfield.series.dataset import blocks
    from springfield.stages.forecasting.network import Calibrated

    a = model.architecture
    device = next(model.parameters()).device
    network = Calibrated(model, factors).eval().to(device)
    origins = sides.origins(side, a.window, a.horizon, step)
    known, coming = sides.windows(origins, a.window, a.horizon)
    batches = []
    with torch.inference_mode():
        for start in track(range(0, len(known), BATCH), f"Evaluating {side}"):
            batch = torch.from_numpy(known[start : start + BATCH]).to(device)
            batches.append(network(batch).cpu().numpy().astype(np.float64))
    quantiles = np.concatenate(batches)
    if bad := int((~np.isfinite(quantiles)).any((1, 2)).sum()):
        raise UserError(
            f"the checkpoint gives no numbers for {bad} of {len(origins)} {side} forecasts; train "
            "it again with a lower optimizer.lr or another train.precision"
        )
    return Forecasts(origins, blocks(len(origins)), quantiles, coming.astype(np.float64))


def scores(found: Forecasts, known: Values, season: int) -> dict[str, Any]:
    """RMSE, MAE, MASE over all origins and steps, with 95 % intervals by blocks; of one: None.

    `mean_rmse` is the mean of the RMSE of each origin. MASE (Hyndman and Koehler, 2006) is the
    mean absolute error in those of the seasonal naive forecast on `known`.

    Args:
        found: the forecasts.
        known: values of train.
        season: of the series.
    """
    squares, absolute = (found.errors**2).mean(1), np.abs(found.errors).mean(1)
    naive = float(np.abs(known[season:] - known[:-season]).mean()) or float("nan")
    named = {"mae": absolute, "mase": absolute / naive, "mean_rmse": np.sqrt(squares)}
    result: dict[str, Any] = {"n": len(found.origins)}
    for name, values in ({"rmse": squares} | named).items():
        if np.isfinite(values).all():
            three = np.array([values.mean(), *bootstrap_interval(values, found.groups)])
            told = (np.sqrt(three) if name == "rmse" else three).tolist()
            mean, low, high = (None if math.isnan(value) else value for value in told)
            result |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return result


def coverage(found: Forecasts, levels: list[float]) -> dict[str, float]:
    """The share of values in each interval (`coverage_80`, ...), with 95 % intervals by blocks."""
    result: dict[str, float] = {}
    for place, level in enumerate(levels):
        hits = found.covered(place).mean(1)
        low, high = interval(hits, np.ones(len(hits)), found.groups)
        name = f"coverage_{100 * level:g}"
        result |= {name: float(hits.mean()), f"{name}_low": low, f"{name}_high": high}
    return result


def simple_forecasts(
    values: Values, origins: NDArray[np.int64], horizon: int, season: int
) -> dict[str, Values]:
    """Those of `SIMPLE`, N x horizon each: the last value again, and the last season again.

    Holt-Winters (Winters, 1960; additive) has its weights from before the first origin; from each
    origin it knows all that came before. With less than two seasons there, it is left out.
    """
    steps = np.arange(horizon)
    last = np.repeat(values[origins - 1, None], horizon, axis=1)
    seasonal = values[origins[:, None] - season + steps % season]
    found = {"last_value": last, "seasonal_naive": seasonal}
    if origins[0] < max(FEWEST, 2 * season):
        console.print("[yellow]Less than two seasons before the test: no Holt-Winters[/]")
        return found
    return found | {"holt_winters": _holt_winters(values, origins, horizon, season)}


def _holt_winters(values: Values, origins: NDArray[np.int64], horizon: int, season: int) -> Values:
    import warnings

    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    before = values[max(0, origins[0] - FITTED * season) : origins[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is no reason to stop
        model = ExponentialSmoothing(
            before, trend="add", seasonal="add", seasonal_periods=season,
            initialization_method="estimated",
        )  # fmt: skip
        fitted = model.fit().params
    level, trend = fitted["initial_level"], fitted["initial_trend"]
    seasonal = list(fitted["initial_seasons"])
    alpha, beta, gamma = (fitted[f"smoothing_{name}"] for name in ("level", "trend", "seasonal"))
    found, start = {}, origins[0] - len(before)
    wanted = set(origins.tolist())
    for place in range(start, int(origins[-1]) + 1):
        phase = (place - start) % season
        if place in wanted:
            ahead = np.arange(1, horizon + 1)
            coming = [seasonal[(phase + step) % season] for step in range(horizon)]
            found[place] = level + trend * ahead + coming
        if place < len(values):
            new = alpha * (values[place] - seasonal[phase]) + (1 - alpha) * (level + trend)
            seasonal[phase] += gamma * (values[place] - level - trend - seasonal[phase])
            trend, level = beta * (new - level) + (1 - beta) * trend, new
    return np.stack([found[origin] for origin in origins.tolist()])
