"""Labelled frames as batches: for training in a seeded order, for evaluation in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from springfield.images.sides import read_sides
from springfield.images.store import ImageStore
from springfield.machine.processes import ctrl_c_waits, end_with_starter, worker_context

if TYPE_CHECKING:
    from springfield.images.transforms import Augmentation

TRANSFORMS = "springfield.images.transforms"
"""What a loader process may need beside this module."""
Key = tuple[int, int]
"""Epoch and row: what a frame's augmentation is seeded with."""
PADDING = -1
"""The row and the label of a frame that only fills a batch."""


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


@dataclass(eq=False)
class Batches(Sampler[list[Key]]):
    """The batches of one process: its part of the global batches that all processes share.

    A global batch is the same whatever the number of processes.
    """

    rows: int
    """The number of frames."""
    batch_size: int
    """Of all processes together."""
    rank: int = 0
    """Of this process."""
    world: int = 1
    """The number of processes, a divisor of `batch_size`."""
    weights: NDArray[np.float64] | None = None
    """How often each frame is drawn, relative to the others; none: each one once."""
    seed: int | None = None
    """Of the order; none: in order, the last batch filled up with `PADDING`."""
    pieces: int = 1
    """How many each batch is handed out in, for gradients that accumulate."""
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of each epoch."""
        self.epoch = epoch

    def of_all(self) -> list[int]:
        """The rows that all processes have, one process after the other."""
        parts = (replace(self, rank=rank) for rank in range(self.world))
        return [row for part in parts for keys in part for _, row in keys]

    def __len__(self) -> int:
        return self._batches() * self.pieces

    def _batches(self) -> int:
        if self.seed is None:
            return -(-self.rows // self.batch_size)
        return max(1, self.rows // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        needed = self._batches() * self.batch_size
        if self.seed is None:
            order = np.arange(needed)
            order[order >= self.rows] = PADDING
        else:
            rng = np.random.default_rng((self.seed, self.epoch))
            if self.weights is None:
                order = np.resize(rng.permutation(self.rows), needed)
            else:
                order = rng.choice(self.rows, needed, p=self.weights / self.weights.sum())
        for batch in order.reshape(-1, self.world, self.batch_size // self.world):
            for piece in np.split(batch[self.rank], self.pieces):
                yield [(self.epoch, int(row)) for row in piece]


class Loader(DataLoader[Any]):
    """Begins to load an epoch while the one before it is validated and saved."""

    batches: Batches
    epochs: int
    begun: dict[int, Iterator[Any]]
    """By epoch."""

    def __iter__(self) -> Any:
        epoch = self.batches.epoch
        begun, self.begun = self.begun, {}
        loaded = begun.get(epoch) or self._begin()
        for left in reversed(range(len(self.batches))):
            batch = next(loaded)
            if left == 0 and self.num_workers and epoch + 1 < self.epochs:
                self.batches.set_epoch(epoch + 1)
                self.begun = {epoch + 1: self._begin()}
            yield batch

    def _begin(self) -> Iterator[Any]:
        with ctrl_c_waits():  # it may start the processes
            return super().__iter__()


def _start(worker: int) -> None:
    """Make a loader process ready."""
    cv2.setNumThreads(1)  # one core is what it has
    end_with_starter()


def loader(frames: Frames, batches: Batches, workers: int, epochs: int = 0) -> Loader:
    """Load `batches` of `frames` in `workers` processes (0: in this one).

    Args:
        frames: what to load.
        batches: in which order.
        workers: how many processes.
        epochs: how many there will be; none is begun early after the last.
    """
    made = Loader(
        frames,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context=worker_context(__name__, TRANSFORMS) if workers else None,
        worker_init_fn=_start,
    )
    made.batches, made.epochs, made.begun = batches, epochs, {}
    return made
