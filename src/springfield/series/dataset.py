"""Windows of a series: what is known, and what is to be forecast."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from springfield.sampling.batches import PADDING, Key
from springfield.sampling.sides import read_sides
from springfield.series.store import read_series

if TYPE_CHECKING:
    from springfield.series.transforms import Augmentation


@dataclass(frozen=True)
class Sides:
    """A series, and which of its values are on which side of the split."""

    values: NDArray[np.float32]
    times: list[str]
    of: NDArray[np.str_]
    """The side of each value."""

    def known(self) -> NDArray[np.float32]:
        """The values of train."""
        return np.asarray(self.values[self.of == "train"])

    def origins(self, side: str, window: int, horizon: int, step: int = 1) -> NDArray[np.int64]:
        """Positions to forecast from, so that all of the forecast lies within a side.

        Args:
            side: of the split.
            window: values before it that are needed; they may be on an earlier side.
            horizon: values from it on that are forecast.
            step: from one to the next; `horizon`: no value is forecast twice.
        """
        there = np.flatnonzero(self.of == side)
        if not len(there):
            return np.empty(0, np.int64)
        return np.arange(max(there[0], window), there[-1] - horizon + 2, step)

    def windows(
        self, origins: NDArray[np.int64], window: int, horizon: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is known at each origin (N x window), and what comes then (N x horizon)."""
        known = self.values[origins[:, None] + np.arange(-window, 0)]
        return known, self.values[origins[:, None] + np.arange(horizon)]


def read_split(series: Path, index: Path, split: Path) -> Sides:
    """The series and the sides of its values, in the order of time."""
    values = read_series(series)["value"]
    ids = pd.read_csv(index, dtype=str, keep_default_na=False)["id"]
    sides = read_sides(split, ids).set_index("id")["split"][ids]
    return Sides(values.to_numpy(np.float32), ids.to_list(), sides.to_numpy(str))


def blocks(origins: int) -> NDArray[np.int64]:
    """Numbers of blocks of so many forecasts in a row, whose errors are alike.

    A block has the cube root of their number (Hall, Horowitz and Jing, 1995).
    """
    return np.arange(origins) // max(1, int(origins ** (1 / 3)))


@dataclass(eq=False)
class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Batches of windows: known values (N x window), and those to forecast (N x horizon).

    Those of a row that only fills a batch are NaN.
    """

    values: NDArray[np.float32]
    origins: NDArray[np.int64]
    window: int
    horizon: int
    augmentation: "Augmentation | None" = None
    seed: int = 0
    """Of the augmentation, beside epoch and row."""

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, keys: list[Key]) -> tuple[Tensor, Tensor]:
        both = torch.from_numpy(np.stack([self._window(epoch, row) for epoch, row in keys]))
        return both[:, : self.window], both[:, self.window :]

    def _window(self, epoch: int, row: int) -> NDArray[np.float32]:
        if row == PADDING:
            return np.full(self.window + self.horizon, np.nan, np.float32)
        origin = self.origins[row]
        known = self.values[origin - self.window : origin]
        if self.augmentation:
            known = self.augmentation(known, self.seed, epoch, row)
        return np.concatenate([known, self.values[origin : origin + self.horizon]])
