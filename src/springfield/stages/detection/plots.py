"""Pictures and files of an evaluation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


def write_coco(
    answers: Answers, frames: Sequence[tuple[str, int, int]], classes: list[str], folder: Path
) -> None:
    """Write found boxes as a file of COCO's results, and the labelled ones beside it.

    Args:
        answers: of test.
        frames: name, width and height of each.
        classes: their names.
        folder: to write into: `detections.json` and `instances.json`.
    """
    instances = {
        "info": {"description": "test frames as prepared"},
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, (name, width, height) in enumerate(frames, 1)
        ],
        "annotations": [
            {"id": number, **row, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}
            for number, row in enumerate(_coco(answers.truth), 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }
    sure = answers.found.scores.tolist()
    found = [row | {"score": score} for row, score in zip(_coco(answers.found), sure, strict=True)]
    for name, content in (("instances", instances), ("detections", found)):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def _coco(boxes: Boxes) -> list[dict[str, Any]]:
    """What is the same of found and labelled boxes: numbers of pictures and classes are from 1."""
    sides = (boxes.corners[:, 2:] - boxes.corners[:, :2]).round(2)
    columns = boxes.frames + 1, boxes.labels + 1, np.hstack([boxes.corners[:, :2], sides])
    return [
        {"image_id": frame, "category_id": label, "bbox": box}
        for frame, label, box in zip(*(column.tolist() for column in columns), strict=True)
    ]
