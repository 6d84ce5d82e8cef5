"""Pictures of an evaluation."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from springfield.series.drawing.plots import BLUE, GREY, ORANGE, forecast
from springfield.stages.forecasting.scores import SIMPLE, Forecasts

SHOWN = 6
"""Forecasts in their picture."""


def forecasts_plot(
    found: Forecasts,
    values: NDArray[np.float64],
    times: pd.DatetimeIndex,
    window: int,
    levels: list[float],
) -> Figure:
    """Some forecasts of the test with their intervals, evenly spread, and what came.

    Args:
        found: the forecasts.
        values: of the whole series.
        times: of each of them.
        window: values before a forecast that a network is given.
        levels: of the intervals.
    """
    chosen = np.linspace(0, len(found.origins) - 1, min(SHOWN, len(found.origins))).astype(int)
    figure = Figure(figsize=(14, 6), layout="constrained")
    grid = figure.subplots(2, -(-len(chosen) // 2), squeeze=False).ravel()
    horizon = found.coming.shape[1]
    shown = min(window, 4 * max(horizon, 6))
    for axes, place in zip(grid, chosen, strict=False):
        origin = found.origins[place]
        before, after = times[origin - shown : origin], times[origin : origin + horizon]
        forecast(
            axes,
            pd.Series(values[origin - shown : origin], before),
            pd.DataFrame(found.quantiles[place], after),
            pd.Series(found.coming[place], after),
            levels,
        )
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    return figure


def errors_plot(steps: pd.DataFrame) -> Figure:
    """Errors and coverage by step, beside the simple forecasts' errors.

    Args:
        steps: the table of `by_step.csv`.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps["step"], steps["rmse"], "o-", ms=3, color=ORANGE, lw=2, label="this network")
    simple = [name for name in steps.columns if name.endswith("_rmse")]
    for column, colour in zip(simple, (GREY, BLUE, "tab:green"), strict=False):
        name = SIMPLE[column.removesuffix("_rmse")]
        left.plot(steps["step"], steps[column], "o-", ms=3, color=colour, lw=1, label=name)
    left.set(title="RMSE by step", xlabel="step ahead")
    left.set_ylim(bottom=0)
    left.legend(fontsize=8)
    for column in [name for name in steps.columns if name.startswith("coverage_")]:
        level = float(column.removeprefix("coverage_")) / 100
        (line,) = right.plot(steps["step"], steps[column], "o-", ms=3, label=f"{level:.0%}")
        right.axhline(level, color=line.get_color(), lw=1, ls="--")
    right.set(title="share of values in each interval", xlabel="step ahead", ylim=(0, 1.02))
    right.legend(fontsize=8)
    return figure


def residuals_plot(found: Forecasts, times: pd.DatetimeIndex, season: int) -> Figure:
    """What came minus what was forecast: by time, how often, and whether one tells the next.

    Args:
        found: the forecasts.
        times: of the whole series.
        season: of it, of which two are looked back.
    """
    errors = found.errors.ravel()
    places = (found.origins[:, None] + np.arange(found.coming.shape[1])).ravel()
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    by_time, histogram, lagged = figure.subplots(1, 3, width_ratios=[3, 1, 2])
    by_time.plot(times[places], errors, ".", ms=3, color=BLUE)
    by_time.axhline(0, color=GREY, lw=1)
    by_time.set(title="what came minus the forecast")
    histogram.hist(errors, bins=30, orientation="horizontal", color=BLUE)
    lags = min(2 * max(season, found.coming.shape[1]), len(errors) - 1)
    centred = errors - errors.mean()
    power = float((centred**2).sum()) or 1.0
    correlations = [float((centred[k:] * centred[:-k]).sum()) / power for k in range(1, lags + 1)]
    lagged.bar(range(1, lags + 1), correlations, color=BLUE)
    lagged.axhline(1.96 / np.sqrt(len(errors)), color=GREY, lw=1, ls="--")
    lagged.axhline(-1.96 / np.sqrt(len(errors)), color=GREY, lw=1, ls="--")
    lagged.set(title="autocorrelation of the errors", xlabel="lag")
    return figure
