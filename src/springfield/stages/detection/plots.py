"""Pictures of an evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from springfield.images.drawing.boxes import FOUND, LABELLED
from springfield.images.drawing.plots import precision_recall_plot, show, write_csv
from springfield.stages.detection.scores import Answers, Boxes

COLUMNS = 4
"""Frames a row."""


def write_plots(answers: Answers, classes: list[str], folder: Path) -> None:
    """Precision over recall at an IoU of 0.5: a picture, and a table for DVC's plots.

    Args:
        answers: of test.
        classes: their names.
        folder: to write into.
    """
    places = np.unique(answers.truth.labels).tolist()
    curves = {classes[place]: _curve(answers, place) for place in places}
    curves["all"] = _curve(answers)
    write_csv(curves["all"], folder / "precision_recall.csv")
    precision_recall_plot(curves, "all", folder / "precision_recall.png")


def _curve(answers: Answers, label: int | None = None) -> pd.DataFrame:
    """Recall and precision of the found boxes (of one class) down to ever lower scores."""
    chosen, there = np.ones(len(answers.right), bool), len(answers.truth.labels)
    if label is not None:
        chosen = answers.found.labels == label
        there = int((answers.truth.labels == label).sum())
    order = np.argsort(-answers.found.scores[chosen], kind="stable")
    right = answers.right[chosen][order].cumsum()
    recall, precision = right / max(1, there), right / np.arange(1, len(right) + 1)
    # The curve has a point a box; a hundred draw the same line.
    kept = np.unique(np.searchsorted(recall, np.linspace(0, recall[-1:].sum(), 101)))
    kept = kept[kept < len(recall)]
    return pd.DataFrame({"recall": recall[kept], "precision": precision[kept]})


def examples_plot(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    answers: Answers,
    classes: list[str],
) -> Figure:
    """Draw frames with labelled and found boxes.

    Args:
        images: RGB, H x W x 3 each.
        boxes: the places of each one's labelled and found boxes.
        answers: that have them.
        classes: their names.
    """
    rows = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.6 * rows + 0.5), layout="constrained")
    figure.suptitle("green: labelled; orange: found, and how sure the model is")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image, (labelled, found) in zip(grid, images, boxes, strict=False):
        show(axes, image)
        _draw(axes, answers.truth, labelled, LABELLED, classes)
        _draw(axes, answers.found, found, FOUND, classes)
    return figure


def _draw(
    axes: Axes,
    boxes: Boxes,
    places: NDArray[np.int64],
    colour: tuple[int, int, int],
    classes: list[str],
) -> None:
    """Draw some boxes with their names; found ones also with their score."""
    rgb = np.array(colour) / 255
    for place in places:
        x1, y1, x2, y2 = boxes.corners[place]
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=1.5, color=rgb))
        name, low = classes[boxes.labels[place]].replace("_", " "), colour == FOUND
        axes.text(
            x1, y2 if low else y1, f"{name} {boxes.scores[place]:.0%}" if low else name,
            va="top" if low else "bottom", fontsize=7, color="white", clip_on=True,
            bbox={"facecolor": rgb, "lw": 0, "pad": 0.5},
        )  # fmt: skip
