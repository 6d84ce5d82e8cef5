"""Tables and pictures of what was said of pictures."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

FORMULA = re.compile(r"^(?![+-]?[\d.]+$)(?=[=+\-@\t\r])")
"""What a spreadsheet would run; a number is none."""


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index, to five decimals; a name is no formula to a spreadsheet."""
    table = table.map(lambda cell: FORMULA.sub("'", cell) if isinstance(cell, str) else cell)
    table.to_csv(path, index=False, lineterminator="\n", float_format="%.5f")


def precision_recall_plot(curves: dict[str, pd.DataFrame], every: str, path: Path) -> None:
    """Draw precision over recall of each class, faint, and of all answers together.

    Args:
        curves: tables with `recall` and `precision`, by class.
        every: which of them is that of all answers.
        path: file to write.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        if name != every:
            axes.plot(curve["recall"], curve["precision"], color="grey", lw=0.7, alpha=0.4)
    axes.plot(
        curves[every]["recall"], curves[every]["precision"], color="tab:blue", lw=2.5, label=every
    )
    axes.set(
        xlabel="recall", ylabel="precision", title="Precision and recall (test)",
        xlim=(0, 1.02), ylim=(0, 1.02),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path, format="png", metadata={"Software": None})


def show(axes: Axes, picture: NDArray[Any], title: str = "") -> None:
    """Draw a picture without axes."""
    axes.imshow(picture, interpolation="nearest")
    axes.axis("off")
    axes.set_title(title, fontsize=9, loc="left")
