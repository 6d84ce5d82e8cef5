"""Stage augment: a picture of what augmentation does to frames and their boxes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from springfield.files import atomic
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths

if TYPE_CHECKING:
    from springfield.stages.detection.params import DetectionParams

NEEDS = ("seed", "augment", "model.input_size", "model.backbone")
SHOWN_ROWS, SHOWN_COPIES = 6, 5


@dataclass
class AugmentParams:
    """What is done to training images."""

    online: list[dict[str, Any]]
    """albumentations transforms for every training image of every epoch, boxes with it."""


def run(params: "DetectionParams", paths: Paths, machine: Machine) -> None:
    """Write an empty set, since boxes are not balanced by copies, and a picture.

    Raises:
        UserError: albumentations refuses the transforms.
    """
    from springfield.images.drawing.boxes import draw_boxes
    from springfield.images.store import ImageStore
    from springfield.images.transforms import Augmentation

    images = ImageStore(paths.images)
    train = _boxed(paths)
    augmentation = Augmentation(params.augment.online, params.model.input_size, boxed=True)
    places = np.unique(np.linspace(0, len(train) - 1, SHOWN_ROWS).astype(int))
    rows = []
    for row, place in enumerate(places):
        frame, boxes = train[place]
        image, labels = images[frame], np.arange(len(boxes))
        copies = [(image, boxes)]
        for copy in range(SHOWN_COPIES):
            changed, moved, _ = augmentation.with_boxes(
                image, boxes, labels, params.seed, row, copy
            )
            copies.append((changed, moved))
        rows.append([draw_boxes(image, boxes) for image, boxes in copies])
    with atomic(paths.augmented, directory=True) as partial:
        (partial / "index.csv").write_text("id\n")
    with atomic(paths.augment_picture) as partial:
        _plot(rows, partial)


def _boxed(paths: Paths) -> list[tuple[str, NDArray[np.float32]]]:
    """The frames of train that have boxes: their id, and x1 y1 x2 y2 (n x 4)."""
    import pandas as pd

    from springfield.sampling.sides import read_sides

    index = pd.read_csv(paths.index, keep_default_na=False, dtype=str)
    sides = read_sides(paths.split, index["id"])
    train = index.merge(sides[sides["split"] == "train"][["id"]], on="id")
    boxes = [np.array([box[1:] for box in json.loads(text)]) for text in train["boxes"]]
    pairs = zip(train["id"], boxes, strict=True)
    return [(frame, corners.astype(np.float32)) for frame, corners in pairs if len(corners)]


def _plot(rows: list[list[NDArray[np.uint8]]], path: Path) -> None:
    """Show frames, a row each, the original first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * len(rows[0]), 1.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes, image in zip(grid.flat, (image for row in rows for image in row), strict=True):
        axes.imshow(image)
        axes.set(xticks=[], yticks=[])
    grid[0][0].set_title("original", fontsize=9)
    grid[0][1].set_title("augmented", fontsize=9)
    figure.savefig(path, format="png", metadata={"Software": None})
