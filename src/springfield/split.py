"""Stage split: train, val and test with no near-duplicate frame on both sides."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from springfield.errors import UserError
from springfield.files import atomic, write_json
from springfield.progress import track

SPLITS = ("train", "val", "test")


class Strategy(StrEnum):
    """What is kept together."""

    grouped = "grouped"
    """Near-duplicate frames stay on one side: the honest score."""
    random = "random"
    """Every frame for itself: the score that others publish."""


@dataclass
class SplitParams:
    """How frames are divided."""

    strategy: Strategy
    val: float
    """Share of each class for validation."""
    test: float
    """Share of each class for the test."""
    distance: int
    """Frames whose 64-bit perceptual hashes differ in at most so many bits are near-duplicates."""
    max_per_class: int | None
    """Use at most so many frames of a class, drawn at random; none: all."""

    def __post_init__(self) -> None:
        if not 0 < self.val < 1 or not 0 < self.test < 1 or self.val + self.test >= 1:
            raise UserError(
                f"split.val={self.val} and split.test={self.test} must be above 0 and together "
                "below 1"
            )
        if not 0 <= self.distance < 64:
            raise UserError(f"split.distance={self.distance} must be 0 to 63 bits")
        if self.max_per_class is not None and self.max_per_class < 3:
            raise UserError(f"split.max_per_class={self.max_per_class} must be at least 3, or null")


def near_duplicates(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The pairs (P x 2, first < second) of 64-bit hashes at most `distance` bits apart."""
    pairs = []
    starts = range(0, len(hashes), 512)
    for start in track(starts, "Comparing frames"):
        block = hashes[start : start + 512, None]
        first, second = np.nonzero(np.bitwise_count(block ^ hashes[None, start:]) <= distance)
        later = second > first
        pairs.append(np.stack([first[later], second[later]], axis=1) + start)
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)


def _groups(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Number the connected components of `n` frames joined by `pairs`."""
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _assign(frame: pd.DataFrame, params: SplitParams, rng: np.random.Generator) -> dict[int, str]:
    """Give each unit a side: rare classes first, larger units first, the neediest side next.

    A side's need is the part of its share of a class that is still open (the first of train, val
    and test if equal), so that classes stay in proportion and those that can be are on each side.
    """
    shares = {"train": 1 - params.val - params.test, "val": params.val, "test": params.test}
    totals = frame["class"].value_counts().sort_values(kind="stable")
    filled: Counter[tuple[str, str]] = Counter()
    sides: dict[int, str] = {}
    for label, total in totals.items():
        of_class = frame.loc[frame["class"] == label, "unit"]
        units = list(Counter(of_class.to_list()).items())
        for unit, size in sorted(rng.permutation(units).tolist(), key=lambda u: -u[1]):
            if unit not in sides:
                need = {s: 1 - filled[str(label), s] / (shares[s] * total) for s in SPLITS}
                sides[unit] = max(SPLITS, key=need.__getitem__)
            filled[str(label), sides[unit]] += size
    return sides


def split(params: SplitParams, seed: int, index: Path, out: Path, report: Path) -> None:
    """Give each frame of the index a side.

    Args:
        params: strategy and shares.
        seed: of what is drawn at random.
        index: the table that prepare wrote.
        out: CSV file to write: `id,split,group`; frames left out by `max_per_class` are not in it.
        report: JSON file to write: counts, groups, and near-duplicate pairs across the split.

    Raises:
        UserError: a side gets no frame.
    """
    frame = pd.read_csv(index, dtype={"id": str, "class": str, "phash": str}, keep_default_na=False)
    hashes = np.array([int(value, 16) for value in frame["phash"]], np.uint64)
    pairs = near_duplicates(hashes, params.distance)
    frame["group"] = _groups(pairs, len(frame))
    rng = np.random.default_rng(seed)
    if params.max_per_class is not None:
        drawn = frame.iloc[rng.permutation(len(frame))].groupby("class").head(params.max_per_class)
        frame = drawn.sort_index()
    grouped = params.strategy is Strategy.grouped
    frame["unit"] = frame["group"] if grouped else np.arange(len(frame))
    frame["split"] = frame["unit"].map(_assign(frame, params, rng))
    if missing := set(SPLITS) - set(frame["split"]):
        raise UserError(
            f"split: no frame for {', '.join(sorted(missing))}; add pictures, or make split.val "
            "and split.test larger"
        )
    with atomic(out) as partial:
        frame[["id", "split", "group"]].to_csv(partial, index=False, lineterminator="\n")
    side = frame["split"].reindex(range(len(hashes))).to_numpy()
    first, second = side[pairs[:, 0]], side[pairs[:, 1]]
    crossing = (first != second) & pd.notna(first) & pd.notna(second)
    counts = frame.groupby(["class", "split"]).size().unstack(fill_value=0)
    write_json(
        report,
        {
            "strategy": params.strategy.value,
            "frames": frame["split"].value_counts().to_dict(),
            "groups": int(frame["group"].nunique()),
            "largest_group": int(frame["group"].value_counts().max()),
            "crossing_pairs": int(crossing.sum()),
            "classes": [
                {"class": str(label), **{s: int(counts.loc[label].get(s, 0)) for s in SPLITS}}
                for label in counts.index
            ],
        },
    )
