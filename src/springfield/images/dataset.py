"""Labelled frames: which there are on each side, and batches of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset, default_collate

from springfield.images.store import ImageStore
from springfield.sampling.batches import PADDING, Key
from springfield.sampling.sides import read_sides

if TYPE_CHECKING:
    from springfield.images.transforms import Augmentation


@dataclass(frozen=True)
class Side:
    """The frames of one side of the split, in the order of the index."""

    ids: list[str]
    labels: NDArray[np.int64]
    """Positions in the sorted list of all classes of the split."""


def read_split(index: Path, split: Path) -> tuple[list[str], dict[str, Side]]:
    """The classes of all frames in the split, sorted, and its three sides.

    Where the data set has a test set of its own that the split leaves out, `official_test` is a
    fourth one.
    """
    indexed = pd.read_csv(index, keep_default_na=False, dtype=str)
    sides = read_sides(split, indexed["id"])[["id", "split"]]
    frames = indexed.merge(sides, on="id", how="left")
    classes = sorted(frames.loc[frames["split"].notna(), "class"].unique())
    left_out = frames["split"].isna() & (frames["official_split"] == "test")
    frames.loc[left_out & frames["class"].isin(classes), "split"] = "official_test"
    found = {
        str(name): Side(side["id"].to_list(), to_labels(side["class"], classes))
        for name, side in frames.groupby("split")
    }
    return classes, found


def to_labels(names: "pd.Series[str]", classes: list[str]) -> NDArray[np.int64]:
    """The positions of class names in the list `classes`."""
    positions = {name: position for position, name in enumerate(classes)}
    return np.array([positions[name] for name in names], np.int64)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The whole image (H x W x 3) as a square of `size` pixels, as `Classifier.resize` does it."""
    if image.shape[:2] == (size, size):
        return image
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    square = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return np.ascontiguousarray(square[0].permute(1, 2, 0).numpy())


@dataclass(eq=False)
class Frames(Dataset[tuple[Tensor, Tensor]]):
    """Batches of frames: uint8 images (N x size x size x 3) and int64 labels (N)."""

    stores: list[ImageStore]
    """Where the images are."""
    ids: list[str]
    labels: NDArray[np.int64]
    """Positions in the list of classes."""
    sizes: list[int]
    """Side of the images in pixels by epoch; the last one also in all after it."""
    augmentations: "dict[int, Augmentation]" = field(default_factory=dict)
    """By size, applied before resizing; none: the image as it is."""
    seed: int = 0
    """Of the augmentation, beside epoch and row."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, keys: list[Key]) -> tuple[Tensor, Tensor]:
        images = [torch.from_numpy(self._image(epoch, row)) for epoch, row in keys]
        labels = [PADDING if row == PADDING else int(self.labels[row]) for _, row in keys]
        # In a loader process it writes straight into the memory that is shared.
        return default_collate(images), torch.tensor(labels)

    def _image(self, epoch: int, row: int) -> NDArray[np.uint8]:
        size = self.sizes[min(epoch, len(self.sizes) - 1)]
        if row == PADDING:
            return np.zeros((size, size, 3), np.uint8)
        store = next(store for store in self.stores if self.ids[row] in store)
        image = store[self.ids[row]]
        if self.augmentations:
            image = self.augmentations[size](image, self.seed, epoch, row)
        return resize(image, size)
