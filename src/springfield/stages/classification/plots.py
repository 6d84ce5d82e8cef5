"""Pictures of an evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd
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


def reliability_plot(bins: pd.DataFrame, threshold: float, path: Path) -> None:
    """Draw accuracy over confidence, before and after calibration.

    Args:
        bins: a table with `calibrated` (yes or no), `confidence`, `accuracy` and `n`.
        threshold: below it the model says that it is unsure.
        path: file to write.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", lw=1)
    for answer, label, colour in (
        ("no", "before calibration", "tab:orange"),
        ("yes", "after", "tab:blue"),
    ):
        part = bins[bins["calibrated"] == answer]
        axes.plot(part["confidence"], part["accuracy"], "o-", ms=4, color=colour, label=label)
    axes.axvline(threshold, color="black", lw=1, ls="--", label="unsure below")
    axes.set(
        xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02),
        title=f"Reliability (test), {bins['n'].max()} frames a point",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})


def predictions_plot(
    images: list[NDArray[np.uint8]],
    names: list[str],
    predicted: list[str],
    confidences: list[float],
    columns: int = 8,
) -> Figure:
    """Draw pictures with their true names, and what they are taken for: red where that is wrong.

    Args:
        images: RGB, H x W x 3 each.
        names: the true ones.
        predicted: the names that the model gives.
        confidences: its probabilities of these.
        columns: pictures a row.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.85 * rows + 0.4), layout="constrained")
    figure.suptitle("above: what it is; below: what the model says, red where it is wrong")
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.axis("off")
    for axes, image, name, answer, confidence in zip(
        figure.axes, images, names, predicted, confidences, strict=False
    ):
        axes.imshow(image)
        right = name == answer
        lines = (name, f"{answer} {confidence:.0%}")
        axes.set_title(
            "\n".join(line.replace("_", " ") for line in lines),
            fontsize=8,
            color="black" if right else "tab:red",
        )
    return figure
