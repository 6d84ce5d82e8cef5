"""Stage augment: copies for the rare classes of train, and a picture of what augmentation does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from springfield.files import atomic
from springfield.images.store import ImageStore, write_images
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import track
from springfield.sampling.sides import read_sides

if TYPE_CHECKING:
    from springfield.images.transforms import Augmentation
    from springfield.stages.classification.params import ClassificationParams as Params

NEEDS = ("seed", "augment", "model.input_size", "model.backbone")
SHOWN_ROWS, SHOWN_COPIES = 6, 5


@dataclass
class OfflineParams:
    """Copies that are written to disk."""

    floor: NonNegativeInt
    """Rare classes of train get copies until they have so many frames; 0: no copies."""
    transforms: list[dict[str, Any]]
    """albumentations transforms, each with its `name` and arguments."""


@dataclass
class AugmentParams:
    """What is done to training images."""

    offline: OfflineParams
    online: list[dict[str, Any]]
    """albumentations transforms for every training image of every epoch."""

    def __post_init__(self) -> None:
        offline = self.offline.transforms
        lists = {"augment.offline.transforms": offline, "augment.online": self.online}
        for key, transforms in lists.items():
            for transform in transforms:
                name = transform.get("name")
                if not isinstance(name, str):
                    raise UserError(
                        f"{key}: each transform needs the 'name' of one of albumentations"
                    )
                if "size" in transform:
                    # DVC leaves keys of this name out of what its run cache compares.
                    raise UserError(f"{key}: {name} gets its size from model.input_size")


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Write augmented copies for the rare classes of train.

    Writes: `images.arrow` and `index.csv` (`id,class,origin`) into `paths.augmented`; a picture of
    originals beside copies, and of class counts before and after.
    """
    from springfield.images.drawing.lettering import lettering
    from springfield.images.transforms import Augmentation

    offline, size = params.augment.offline, params.model.input_size
    shown = params.augment.online or offline.transforms
    images = ImageStore(paths.images)
    index = pd.read_csv(paths.index, keep_default_na=False, dtype=str)
    sides = read_sides(paths.split, index["id"])
    train = index.merge(sides[sides["split"] == "train"][["id"]], on="id")
    before = train["class"].value_counts().sort_values(ascending=False)
    copies = pd.DataFrame(_plan(train, offline.floor), columns=["id", "class", "origin"])

    def augmented() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        augmentation = Augmentation(offline.transforms, size)
        rows = zip(copies["id"], copies["origin"], strict=True)
        for number, (copy, origin) in enumerate(track(rows, "Augmenting", len(copies))):
            yield copy, augmentation(images[origin], params.seed, number)

    with atomic(paths.augmented, directory=True) as partial:
        write_images(partial / "images.arrow", augmented())
        copies.to_csv(partial / "index.csv", index=False, lineterminator="\n")
    after = before.add(copies["class"].value_counts(), fill_value=0).astype(int)
    examples = list(_examples(train, images, Augmentation(shown, size), params.seed))
    with atomic(paths.augment_picture) as partial, lettering(before.index):
        _plot(examples, before, after.reindex(before.index), partial)


def _plan(train: pd.DataFrame, floor: int) -> Iterator[tuple[str, str, str]]:
    """Name the copies to make: id, class and origin, taking the frames of a class in turn."""
    for label, frames in train.groupby("class"):
        origins = frames["id"].to_list()
        for number in range(max(0, floor - len(origins))):
            origin = origins[number % len(origins)]
            yield f"{origin}-{number // len(origins)}", str(label), origin


def _examples(
    train: pd.DataFrame, images: ImageStore, augmentation: "Augmentation", seed: int
) -> Iterator[tuple[str, list[NDArray[np.uint8]]]]:
    """The first frame of some classes, each with augmented versions of it."""
    for row, (label, frames) in enumerate(list(train.groupby("class"))[:SHOWN_ROWS]):
        image = images[frames["id"].iloc[0]]
        versions = [augmentation(image, seed, row, copy) for copy in range(SHOWN_COPIES)]
        yield str(label), [image, *versions]


def _plot(
    examples: list[tuple[str, list[NDArray[np.uint8]]]],
    before: pd.Series,
    after: pd.Series,
    path: Path,
) -> None:
    """Show images of some classes, the original first, and class counts without and with copies."""
    from matplotlib.figure import Figure

    height = max(1.15 * len(examples), 1.5 + 0.16 * len(before))
    figure = Figure(figsize=(14, height), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=[3, 2])
    pictures, chart = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    grid = pictures.subplots(len(examples), 1 + SHOWN_COPIES, squeeze=False)
    for row, (label, images) in zip(grid, examples, strict=True):
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(label.replace("_", "\n"), fontsize=7)
    grid[0][0].set_title("original", fontsize=9)
    grid[0][1].set_title("augmented", fontsize=9)
    axes = chart.subplots()
    names = [str(name).replace("_", " ") for name in before.index]
    axes.barh(names, after, color="tab:orange", label="copies")
    axes.barh(names, before, color="tab:blue", label="frames")
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    axes.set(title="train, by class", xlabel="frames")
    axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})
