"""Stage split: train, val and test with no near-duplicate frame on both sides."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from springfield.files import atomic, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console
from springfield.sampling.exclusion import Excluded, leave_out
from springfield.sampling.near_duplicates import near_duplicates

if TYPE_CHECKING:
    from springfield.config import Params

NEEDS = ("seed", "split", "data.exclude")
SPLITS = ("train", "val", "test")
LARGEST = 5
TOLERANCE = 0.05
"""By which a side may miss its share of the frames unsaid."""
REMEDY = (
    "a group stays on one side; a smaller split.distance makes groups smaller, and split=random "
    "ignores them"
)


class Strategy(StrEnum):
    """What is kept together."""

    grouped = "grouped"
    """Near-duplicate frames stay on one side: the honest score."""
    random = "random"
    """Every frame for itself: the score that others publish."""
    official = "official"
    """The data set's own test and val sets; without the latter, validation from the rest."""


@dataclass
class SplitParams:
    """How frames are divided."""

    strategy: Strategy
    val: Annotated[float, Field(gt=0, lt=1)]
    """Share of each class for validation."""
    test: Annotated[float, Field(gt=0, lt=1)]
    """Share of each class for the test."""
    distance: Annotated[int, Field(ge=0, lt=64)]
    """Frames whose 64-bit perceptual hashes differ in at most so many bits are near-duplicates."""
    max_per_class: Annotated[int, Field(ge=3)] | None
    """Use at most so many frames of a class, drawn at random; none: all."""
    classes: list[str]
    """Use these classes only, two or more; none: all. Frames of the others are on no side."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) == 1:
            raise UserError("split.classes names one class; name two or more, or none for all")
        if self.val + self.test >= 1:
            raise UserError(f"split.val={self.val} and split.test={self.test} leave no train frame")


@dataclass
class TimeSplitParams:
    """How a series is divided."""

    strategy: Literal["time"]
    """What comes later is tested."""
    val: Annotated[float, Field(gt=0, lt=1)]
    """Share of the series for validation, after train."""
    test: Annotated[float, Field(gt=0, lt=1)]
    """Share of the series for the test, its end."""

    def __post_init__(self) -> None:
        if self.val + self.test >= 1:
            raise UserError(
                f"split.val={self.val} and split.test={self.test} leave nothing to learn"
            )


def _assign(
    frame: pd.DataFrame, shares: dict[str, float], rng: np.random.Generator
) -> dict[int, str]:
    """Give each unit a side: rare classes first, larger units first, the neediest side next.

    A side's need is the part of its share of a class that is still open (the first of train, val
    and test if equal), so that classes stay in proportion and those that can be are on each side.
    """
    totals = frame["class"].value_counts().sort_values(kind="stable")
    filled: Counter[tuple[str, str]] = Counter()
    sides: dict[int, str] = {}
    for label, total in totals.items():
        units = list(Counter(frame.loc[frame["class"] == label, "unit"].to_list()).items())
        for unit, size in sorted(rng.permutation(units).tolist(), key=lambda u: -u[1]):
            if unit not in sides:
                need = {s: 1 - filled[str(label), s] / (shares[s] * total) for s in shares}
                sides[unit] = max(shares, key=need.__getitem__)
            filled[str(label), sides[unit]] += size
    return sides


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Give each sample of the index a side: a series by time, frames by what they show.

    Writes: the table `id,split,group`, and a report.

    Raises:
        UserError: a side gets nothing, or there is no official test set.
    """
    if isinstance(params.split, TimeSplitParams):
        _by_time(params.split, paths)
    else:
        _by_groups(params.split, params.data.exclude, params.seed, paths)


def _by_time(params: TimeSplitParams, paths: Paths) -> None:
    """The index is in the order of time."""
    times = pd.read_csv(paths.index, dtype=str)["id"]
    n = len(times)
    test = round(params.test * n)
    val = round(params.val * n)
    sizes = {"train": n - val - test, "val": val, "test": test}
    if missing := [side for side, size in sizes.items() if size < 1]:
        change = "smaller" if sizes["train"] < 1 else "larger"
        raise UserError(
            f"split: nothing for {', '.join(missing)} of a series of {n} values; make split.val "
            f"and split.test {change}"
        )
    sides = np.repeat(list(sizes), list(sizes.values()))
    table = pd.DataFrame({"id": times, "split": sides, "group": np.arange(n)})
    with atomic(paths.split) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    first = {side: str(times[sides == side].iloc[0]) for side in sizes}
    report = {"strategy": "time", "values": sizes, "from": first, "until": str(times.iloc[-1])}
    write_json(paths.split_report, report)


def _by_groups(chosen: SplitParams, excluded: Sequence[Excluded], seed: int, paths: Paths) -> None:
    """Give each frame of the index a side; then take what is excluded off train.

    The frames of an official test set are on the side test if the strategy is official; else
    they are on none, and evaluate reports them apart.

    Writes: the table `id,split,group`, without what `max_per_class` and `classes` leave out; a
    report of counts, groups, and near-duplicate pairs across the split.

    Raises:
        UserError: a side gets no frame, there is no official test set, or no such class.
    """
    text = ("id", "class", "source", "sha256", "phash", "official_split")
    frames = pd.read_csv(paths.index, dtype=dict.fromkeys(text, str), keep_default_na=False)
    every = frames
    if chosen.classes:
        if "boxes" in frames:
            raise UserError("split.classes: a frame with boxes shows several classes; set it to []")
        _check_classes(chosen.classes, frames["class"].unique().tolist())
        frames = frames[frames["class"].isin(chosen.classes)].reset_index(drop=True)
    # Frames of one hash count as one, so that a thousand blank ones are not half a million pairs.
    hashes, position = np.unique(
        np.array([int(value, 16) for value in frames["phash"]], np.uint64), return_inverse=True
    )
    pairs = near_duplicates(hashes, chosen.distance)
    near = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(hashes), len(hashes)))
    groups = connected_components(near, directed=False)[1]
    frames["group"] = pd.factorize(groups[position])[0]
    frames["split"] = _sides(frames, chosen, np.random.default_rng(seed))
    sided = frames.dropna(subset="split")
    if missing := set(SPLITS) - set(sided["split"]):
        sizes = sided["group"].value_counts()
        raise UserError(
            f"split: no frame for {', '.join(sorted(missing))}: the {len(sided)} frames are "
            f"{len(sizes)} groups of near-duplicates, the largest of {sizes.max()}, and {REMEDY}; "
            "or add pictures, or make split.val and split.test larger"
        )
    _tell(sided, chosen)
    found = {}
    if excluded:
        frames["split"], found["excluded"] = leave_out(frames, set(every["sha256"]), excluded)
        sided = frames.dropna(subset="split")
    with atomic(paths.split) as partial:
        sided[["id", "split", "group"]].to_csv(partial, index=False, lineterminator="\n")
    report = {"strategy": chosen.strategy.value, **_report(frames, position, pairs), **found}
    write_json(paths.split_report, report)


def _check_classes(chosen: list[str], known: list[str]) -> None:
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known) or sorted(known)[:3]
            raise UserError(
                f"split.classes: the data has no class '{name}'; near it: {', '.join(near)}"
            )


def _sides(frames: pd.DataFrame, params: SplitParams, rng: np.random.Generator) -> pd.Series:
    """The side of each frame of the index; none: NaN."""
    test, val = (frames["official_split"] == side for side in ("test", "val"))
    official = params.strategy is Strategy.official
    if official and not test.any():
        raise UserError("split.strategy=official: this data set has no test set of its own")
    pool = frames[~(test | val) if official else ~test]
    if params.max_per_class is not None:
        drawn = pool.iloc[rng.permutation(len(pool))].groupby("class").head(params.max_per_class)
        pool = drawn.sort_index()
    random = params.strategy is Strategy.random
    pool = pool.assign(unit=np.arange(len(pool)) if random else pool["group"])
    shares = {"train": 1 - params.val - params.test, "val": params.val, "test": params.test}
    if official:
        shares = {"train": 1.0} if val.any() else {"train": 1 - params.val, "val": params.val}
    sides = pool["unit"].map(_assign(pool, shares, rng)).reindex(frames.index)
    return sides.mask(test, "test").mask(val, "val") if official else sides


def _tell(sided: pd.DataFrame, params: SplitParams) -> None:
    """Say how the frames group, and where that keeps a side from its share."""
    sizes, total = sided["group"].value_counts(), len(sided)
    console.print(
        f"{len(sizes)} groups of near-duplicates in {total} frames, the largest of {sizes.max()}"
    )
    wanted = {"val": params.val, "test": params.test}
    if params.strategy is Strategy.official:
        return
    for side, share in wanted.items():
        got = (sided["split"] == side).mean()
        if abs(got - share) > TOLERANCE:
            asked = f"split.{side}={share:.0%}"
            console.print(f"[yellow]{side} has {got:.0%} of the frames, not {asked}: {REMEDY}[/]")


def _report(
    frames: pd.DataFrame, position: NDArray[np.int64], pairs: NDArray[np.int64]
) -> dict[str, Any]:
    sided = frames.dropna(subset="split")
    official = (frames["official_split"] == "test") & frames["split"].isna()

    def crossing(sides: list["pd.Series[bool]"]) -> int:
        """Near-duplicate pairs whose two frames are on different ones of these sides."""
        n = np.stack([np.bincount(position, side) for side in sides])  # frames of each hash
        first, second = n[:, pairs[:, 0]], n[:, pairs[:, 1]]
        same_hash = (n.sum(0) ** 2 - (n**2).sum(0)) / 2
        near_hashes = first.sum(0) * second.sum(0) - (first * second).sum(0)
        return int(same_hash.sum() + near_hashes.sum())

    counts = pd.crosstab(sided["class"], sided["split"])[list(SPLITS)]
    sizes = sided.groupby("group").agg(frames=("id", "size"), example=("source", "first"))
    largest = sizes.sort_values("frames", ascending=False, kind="stable").head(LARGEST)
    return {
        "frames": counts.sum().to_dict(),
        "groups": len(sizes),
        "crossing_pairs": crossing([frames["split"] == side for side in SPLITS]),
        "official_test": {
            "frames": int(official.sum()),
            "pairs_with_train": crossing([official, frames["split"] == "train"]),
        },
        "largest_groups": largest.to_dict("records"),
        "classes": counts.reset_index().to_dict("records"),
        "not_on_each_side": counts.index[(counts == 0).any(axis=1)].to_list(),
    }
