"""Pictures of an evaluation."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_plot(confusion: NDArray[np.int64], classes: list[str], path: Path) -> None:
    """Draw a confusion matrix (true x predicted counts), coloured by the share of each row."""
    n = len(classes)
    side = 3 + 0.32 * n
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(confusion), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = str(confusion[row, column])
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(n), names, rotation=90)
    axes.set_yticks(range(n), names)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix (test)")
    figure.colorbar(image, ax=axes, label="share of the class", shrink=0.7)
    figure.savefig(path, format="png", metadata={"Software": None})
