"""Plots of a series and of what is forecast of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

Values = NDArray[np.float32]
BLUE, ORANGE, GREY = "tab:blue", "tab:orange", "tab:gray"
SEASONS = 40
"""Drawn one over the other."""


def series_plot(series: pd.DataFrame, name: str, season: int) -> Figure:
    """The whole series, with what was filled, and its seasons one over the other."""
    value = series["value"]
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    whole, over = figure.subplots(1, 2, width_ratios=[3, 2])
    whole.plot(series.index, value, lw=0.8, color=BLUE)
    holes = value[series["filled"]]
    if len(holes):
        whole.plot(holes.index, holes, "o", ms=3, color=ORANGE, label="filled")
        whole.legend()
    whole.set(title=f"{len(value)} values", ylabel=name)
    rows = value.to_numpy()[: len(value) // season * season].reshape(-1, season)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(SEASONS, len(rows))).astype(int))
    over.plot(np.arange(1, season + 1), (rows[chosen] - rows[chosen].mean(1)[:, None]).T, lw=0.6)
    over.plot(np.arange(1, season + 1), (rows - rows.mean(1)[:, None]).mean(0), color="k", lw=2)
    over.set(title=f"seasons of {season}, each without its mean", xlabel="step")
    return figure


def windows_plot(windows: Sequence[tuple[Any, Values]], changed: Sequence[Values | None]) -> Figure:
    """Windows of train as a network is given them, and as they are."""
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    grid = figure.subplots(2, -(-len(windows) // 2), squeeze=False).ravel()
    for axes, (times, values), noisy in zip(grid, windows, changed, strict=False):
        if noisy is not None:
            axes.plot(times, noisy, color=ORANGE, lw=0.8, label="with noise")
        axes.plot(times, values, color=BLUE, lw=1.2, label="as it is")
        axes.tick_params(labelsize=6, axis="x", rotation=30)
        axes.tick_params(labelsize=7, axis="y")
    grid[0].legend(fontsize=7)
    for axes in grid[len(windows) :]:
        axes.set_axis_off()
    figure.suptitle("train, windows that a forecast begins after", fontsize=10)
    return figure


def forecast(
    axes: Any,
    known: "pd.Series[float]",
    coming: pd.DataFrame,
    actual: "pd.Series[float] | None",
    levels: Sequence[float],
) -> None:
    """Draw a forecast after what is known, with its intervals, and what came.

    Args:
        axes: of matplotlib.
        known: by time.
        coming: the quantiles by time, ascending, the median in the middle.
        actual: what came, by time; none: it is not known yet.
        levels: of the intervals, the narrowest first.
    """
    axes.plot(known.index, known, color=GREY, lw=1)
    middle, alone = coming.shape[1] // 2, len(coming) == 1  # a line of one point is not seen
    dot = {"marker": "o", "ms": 4} if alone else {}
    for place, level in reversed(list(enumerate(levels, 1))):
        low, high = coming.iloc[:, middle - place], coming.iloc[:, middle + place]
        axes.fill_between(
            coming.index, low, high, color=ORANGE, alpha=0.35 / place, lw=8 if alone else 0,
            label=f"{level:.0%}",
        )  # fmt: skip
    axes.plot(coming.index, coming.iloc[:, middle], color=ORANGE, lw=1.4, label="forecast", **dot)
    if actual is not None:
        axes.plot(actual.index, actual, color=BLUE, lw=1.2, label="what came", **dot)
    axes.tick_params(labelsize=6, axis="x", rotation=30)
    axes.tick_params(labelsize=7, axis="y")
