"""What `springfield predict` does with a forecaster."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.progress import console

if TYPE_CHECKING:
    import pandas as pd

    from springfield.serving.predict import Opened

SHOWN = 5
"""Horizons of known values in the plot."""


def forecast(model: "Opened", files: list[Path], plot: Path | None, *, as_json: bool) -> None:
    """Print how series go on.

    Raises:
        UserError: a file cannot be read, there are several to plot, or the plot cannot be written.
    """
    from springfield.serving.forecast import Forecaster

    if plot and len(files) > 1:
        raise UserError("--plot draws one series; name one file")
    if plot and not plot.parent.is_dir():
        raise UserError(f"--plot: there is no folder {plot.parent}")
    if plot:
        _writable(plot)
    forecaster = Forecaster(model)
    answers: list[dict[str, Any]] = []
    for path in files:
        known = forecaster.known(path)
        coming = forecaster.forecast(known)
        answers.append({"series": str(path), "forecast": _rows(coming, forecaster.levels)})
        if plot:
            _draw(known, coming, forecaster.levels, plot)
    if as_json:
        print(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    for answer in answers:
        midnight = "T00:00:00"
        days = all(row["time"].endswith(midnight) for row in answer["forecast"])
        table = Table("time", "forecast", *(f"{level:.0%}" for level in forecaster.levels))
        decimals = _decimals(answer["forecast"])
        for row in answer["forecast"]:
            ends = row["intervals"].values()
            shown = [" to ".join(f"{value:.{decimals}f}" for value in pair) for pair in ends]
            time = row["time"].removesuffix(midnight) if days else row["time"]
            table.add_row(time, f"{row['value']:.{decimals}f}", *shown)
        if len(answers) > 1:
            console.print(terminal(str(answer["series"])))
        Console().print(table)


def _decimals(rows: list[dict[str, Any]]) -> int:
    """With which the ends of the narrowest interval are told apart to a hundredth of its width."""
    widths = [high - low for row in rows for low, high in row["intervals"].values()]
    narrowest = min((width for width in widths if width > 0), default=1.0)
    return min(9, max(0, 2 - math.floor(math.log10(narrowest))))


def _rows(coming: "pd.DataFrame", levels: list[float]) -> list[dict[str, Any]]:
    import pandas as pd

    middle = coming.shape[1] // 2
    times = pd.DatetimeIndex(coming.index)
    return [
        {
            "time": time.isoformat(),
            "value": float(values.iloc[middle]),
            "intervals": {
                f"{level:g}": [float(values.iloc[middle - n]), float(values.iloc[middle + n])]
                for n, level in enumerate(levels, 1)
            },
        }
        for time, (_, values) in zip(times, coming.iterrows(), strict=True)
    ]


def _writable(plot: Path) -> None:
    """Refuse a suffix that matplotlib does not know; to a name without one it would add its own."""
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if plot.suffix.lower().removeprefix(".") not in formats:
        raise UserError(f"--plot writes {', '.join(sorted(formats))}, not {plot.name}")


def _draw(
    known: "pd.Series[float]", coming: "pd.DataFrame", levels: list[float], path: Path
) -> None:
    from matplotlib.figure import Figure

    from springfield.series.drawing.plots import forecast as draw

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    draw(axes, known.iloc[-SHOWN * len(coming) :], coming, None, levels)
    axes.legend(fontsize=8)
    try:
        figure.savefig(path)
    except RuntimeError as error:  # a format that another program writes
        raise UserError(f"--plot: {error}") from error
    console.print(terminal(f"written: {path}"))
