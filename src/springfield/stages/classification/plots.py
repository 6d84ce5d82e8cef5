"""Pictures of an evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.metrics import confusion_matrix, precision_recall_curve
from torchvision.utils import make_grid

from springfield.images.drawing.plots import precision_recall_plot, show, write_csv

BINS = 15
"""Of the reliability."""
SMALLEST = 48
"""Pixels of a picture in a grid, about."""
TILE, TILE_GAP, TILES = 96, 24, 8
"""Pixels of a picture of a frame, and between them, where the names are; pictures a row."""


def write_plots(
    labels: NDArray[np.int64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    classes: list[str],
    threshold: float,
    folder: Path,
) -> None:
    """Confusion, precision and recall, reliability: pictures, and tables for DVC's plots.

    Args:
        labels: true classes (N).
        before: probabilities before calibration (N x classes).
        after: after it.
        classes: their names.
        threshold: below it the model says that it is unsure.
        folder: to write into.
    """
    confusion = confusion_matrix(labels, after.argmax(1), labels=range(len(classes)))
    confusion_plot(confusion, classes, folder / "confusion.png")

    truth = np.eye(len(classes), dtype=bool)[labels]
    curves = {}
    for name, true, scores in [
        *zip(classes, truth.T, after.T, strict=True),
        ("all", truth.ravel(), after.ravel()),
    ]:
        if true.any():
            precision, recall, _ = precision_recall_curve(true, scores)
            # The curve has a point a frame; a hundred draw the same line.
            kept = len(recall) - 1 - np.searchsorted(recall[::-1], np.linspace(0, 1, 101))
            curves[name] = pd.DataFrame({"recall": recall[kept], "precision": precision[kept]})
    write_csv(curves["all"], folder / "precision_recall.csv")
    precision_recall_plot(curves, "all", folder / "precision_recall.png")

    tables = {"before": _reliability(labels, before), "after": _reliability(labels, after)}
    for when, table in tables.items():
        write_csv(table, folder / f"reliability_{when}.csv")
    reliability_plot(tables, threshold, folder / "reliability.png")


def _reliability(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> pd.DataFrame:
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(BINS, len(labels)))
    rows = [(confidence[places].mean(), right[places].mean(), len(places)) for places in bins]
    return pd.DataFrame(rows, columns=["confidence", "accuracy", "n"])


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


def reliability_plot(tables: dict[str, pd.DataFrame], threshold: float, path: Path) -> None:
    """Draw accuracy over confidence, before and after calibration.

    Args:
        tables: `before` and `after`, each with `confidence`, `accuracy` and `n`, a bin a row.
        threshold: below it the model says that it is unsure.
        path: file to write.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", lw=1)
    for when, label, colour in (
        ("before", "before calibration", "tab:orange"),
        ("after", "after", "tab:blue"),
    ):
        points = tables[when]["confidence"], tables[when]["accuracy"]
        axes.plot(*points, "o-", ms=4, color=colour, label=label)
    axes.axvline(threshold, color="black", lw=1, ls="--", label="unsure below")
    axes.set(
        xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02),
        title=f"Reliability (test), {tables['after']['n'].max()} frames a point",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})


def predictions_plot(images: list[NDArray[np.uint8]], answers: pd.DataFrame) -> Figure:
    """Draw pictures with their true names, and what they are taken for: red where that is wrong.

    Args:
        images: RGB, H x W x 3 each; their middle is drawn, a square.
        answers: a row each, with `class`, `predicted` and its `confidence`.
    """
    middles = [ImageOps.fit(Image.fromarray(image), (TILE, TILE)) for image in images]
    tiles = np.stack([np.asarray(middle) for middle in middles])
    rows = -(-len(images) // TILES)
    figure = Figure(figsize=(1.5 * TILES, 1.5 * rows + 0.5), layout="constrained")
    figure.suptitle("above: what it is; below: what the model says, red where it is wrong")
    axes = figure.add_subplot()
    show(axes, picture_grid(tiles.transpose(0, 3, 1, 2) / 255, TILES, TILE_GAP))
    columns = (answers[name] for name in ("class", "predicted", "confidence"))
    for number, (name, answer, confidence) in enumerate(zip(*columns, strict=True)):
        row, column = divmod(number, TILES)
        axes.text(
            TILE_GAP + (TILE + TILE_GAP) * column + TILE / 2,
            TILE_GAP + (TILE + TILE_GAP) * row - 1,
            f"{name}\n{answer} {confidence:.0%}".replace("_", " "),
            ha="center", va="bottom", fontsize=7, color="black" if name == answer else "tab:red",
        )  # fmt: skip
    return figure


def picture_grid(pictures: NDArray[np.floating], columns: int, gap: int = 4) -> NDArray[np.float32]:
    """One picture (H x W x 3, 0 to 1) of many (N x 3 x H x W), on white; tiny ones are enlarged."""
    whole = max(1, SMALLEST // pictures.shape[-1])
    larger = pictures.repeat(whole, axis=2).repeat(whole, axis=3)
    tensor = torch.from_numpy(np.ascontiguousarray(larger, np.float32))
    grid = make_grid(tensor, nrow=columns, padding=gap, pad_value=1.0)
    return np.asarray(grid.permute(1, 2, 0).numpy(), np.float32)


def coloured(planes: NDArray[np.floating], palette: str) -> NDArray[np.float32]:
    """Planes (N x H x W, 0 to 1) as pictures (N x 3 x H x W) in a palette of matplotlib's."""
    return np.asarray(colormaps[palette](planes)[..., :3].transpose(0, 3, 1, 2), np.float32)
