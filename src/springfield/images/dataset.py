"""Labelled frames: which there are on each side, and batches of them."""

import json
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


@dataclass(frozen=True)
class BoxedSide:
    """The same, where each frame has boxes."""

    ids: list[str]
    boxes: list[NDArray[np.float32]]
    """Of each frame: n x 4, x1 y1 x2 y2 in pixels of the prepared picture."""
    labels: list[NDArray[np.int64]]
    """Of each frame: n positions in the sorted list of all classes of the split."""


def read_split(index: Path, split: Path) -> tuple[list[str], dict[str, Side]]:
    """The classes of all frames in the split, sorted, and its three sides.

    Where the data set has a test set of its own that the split leaves out, `official_test` is a
    fourth one.
    """
    frames = _sided(index, split)
    inside = frames["split"].notna() & (frames["split"] != "official_test")
    classes = sorted(frames.loc[inside, "class"].unique())
    frames = frames[frames["class"].isin(classes)]
    found = {
        str(name): Side(side["id"].to_list(), to_labels(side["class"], classes))
        for name, side in frames.groupby("split")
    }
    return classes, found


def read_boxes(index: Path, split: Path) -> tuple[list[str], dict[str, BoxedSide]]:
    """The same of frames with boxes."""
    frames = _sided(index, split)
    frames["boxes"] = frames["boxes"].map(json.loads)
    inside = frames["split"].notna() & (frames["split"] != "official_test")
    classes = sorted({name for boxes in frames.loc[inside, "boxes"] for name, *_ in boxes})
    found = {}
    for name, side in frames.groupby("split"):
        known = [[box for box in boxes if box[0] in classes] for boxes in side["boxes"]]
        corners = [np.array([box[1:] for box in b], np.float32).reshape(-1, 4) for b in known]
        labels = [to_labels(pd.Series([box[0] for box in b]), classes) for b in known]
        found[str(name)] = BoxedSide(side["id"].to_list(), corners, labels)
    return classes, found


def _sided(index: Path, split: Path) -> pd.DataFrame:
    """The index with the side of each frame, also of a test set that the split leaves out."""
    indexed = pd.read_csv(index, keep_default_na=False, dtype=str)
    sides = read_sides(split, indexed["id"])[["id", "split"]]
    frames = indexed.merge(sides, on="id", how="left")
    left_out = frames["split"].isna() & (frames["official_split"] == "test")
    frames.loc[left_out, "split"] = "official_test"
    return frames


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


@dataclass(eq=False)
class BoxedFrames(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Batches of frames with boxes.

    Images (uint8, N x size x size x 3), boxes (float32, N x M x 4, in pixels of these images),
    their labels (int64, N x M; `PADDING`: no box), and whether a frame is one (N), not only there
    to fill the batch. M is the largest number of boxes of a frame.
    """

    store: ImageStore
    side: BoxedSide
    size: int
    """Side of the images in pixels."""
    augmentation: "Augmentation | None" = None
    """Applied before resizing; none: the image as it is."""
    seed: int = 0
    """Of the augmentation, beside epoch and row."""

    def __len__(self) -> int:
        return len(self.side.ids)

    def __getitem__(self, keys: list[Key]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        most = max(1, *map(len, self.side.labels))
        images = []
        boxes = torch.zeros(len(keys), most, 4)
        labels = torch.full((len(keys), most), PADDING)
        for place, (epoch, row) in enumerate(keys):
            if row == PADDING:
                images.append(torch.zeros(self.size, self.size, 3, dtype=torch.uint8))
                continue
            image, corners, classes = self._frame(epoch, row)
            height, width = image.shape[:2]
            scale = self.size / np.array([width, height, width, height], np.float32)
            boxes[place, : len(corners)] = torch.from_numpy(corners * scale)
            labels[place, : len(classes)] = torch.from_numpy(classes)
            images.append(torch.from_numpy(resize(image, self.size)))
        real = torch.tensor([row != PADDING for _, row in keys])
        return default_collate(images), boxes, labels, real

    def _frame(
        self, epoch: int, row: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        image = self.store[self.side.ids[row]]
        boxes, labels = self.side.boxes[row], self.side.labels[row]
        if self.augmentation:
            return self.augmentation.with_boxes(image, boxes, labels, self.seed, epoch, row)
        return image, boxes, labels
