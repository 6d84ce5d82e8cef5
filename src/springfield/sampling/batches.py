"""Batches: for training in a seeded order, for evaluation in order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from springfield.machine.processes import ctrl_c_waits, end_with_starter, worker_context

Key = tuple[int, int]
"""Epoch and row: what a sample's augmentation is seeded with."""
PADDING = -1
"""The row, and the label of a class, of a sample that only fills a batch."""


@dataclass(eq=False)
class Batches(Sampler[list[Key]]):
    """The batches of one process: its part of the global batches that all processes share.

    A global batch is the same whatever the number of processes.
    """

    rows: int
    """The number of samples."""
    batch_size: int
    """Of all processes together."""
    rank: int = 0
    """Of this process."""
    world: int = 1
    """The number of processes, a divisor of `batch_size`."""
    weights: NDArray[np.float64] | None = None
    """How often each sample is drawn, relative to the others; none: each one once."""
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


def loader(
    samples: Dataset[Any],
    batches: Batches,
    workers: int,
    epochs: int = 0,
    preload: Sequence[str] = (),
) -> Loader:
    """Load `batches` of `samples` in `workers` processes (0: in this one).

    Args:
        samples: what to load.
        batches: in which order.
        workers: how many processes.
        epochs: how many there will be; none is begun early after the last.
        preload: modules that the processes need beside that of the samples.
    """
    modules = (__name__, type(samples).__module__, *preload)
    made = Loader(
        samples,
        batch_size=None,
        sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context=worker_context(*modules) if workers else None,
        worker_init_fn=_start,
    )
    made.batches, made.epochs, made.begun = batches, epochs, {}
    return made
