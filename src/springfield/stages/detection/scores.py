"""Scores of a detector; None is a score that nobody can know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.detection import MeanAveragePrecision

from springfield.scoring.intervals import drawn_intervals, interval, low_and_high

IOU = 0.5
"""Intersection over union, from which on a box is at the right place."""
IOUS, RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)
"""Those that COCO averages over."""
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, np.inf)}
"""COCO's, by area in pixels; here of the prepared pictures, not of the originals."""
DRAWS = 300
"""Of groups, for the intervals of average precisions."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of many frames: those of a frame in a row, the best of them first."""

    frames: NDArray[np.int64]
    """Of each box the place of its frame (N, ascending)."""
    corners: NDArray[np.float64]
    """x1 y1 x2 y2 in pixels of the prepared picture (N x 4)."""
    labels: NDArray[np.int64]
    """Positions in the list of classes (N)."""
    scores: NDArray[np.float64]
    """How sure the detector is (N, 0 to 1); of labelled boxes 1."""

    @classmethod
    def of(
        cls,
        corners: Sequence[NDArray[Any]],
        labels: Sequence[NDArray[Any]],
        scores: Sequence[NDArray[Any]] | None = None,
    ) -> "Boxes":
        """The boxes of frames (n x 4, n and n numbers each), rounded; a score of 0 is none."""
        frames = np.repeat(np.arange(len(corners)), [len(some) for some in corners])
        sure = np.concatenate([np.empty(0), *scores]).round(6) if scores else np.ones(len(frames))
        order = np.lexsort((-sure, frames))
        order = order[sure[order] > 0]
        every = np.concatenate([np.empty((0, 4)), *corners]).round(2)
        named = np.concatenate([np.empty(0, np.int64), *labels])
        return cls(frames[order], every[order], named[order], sure[order])

    @property
    def surest(self) -> NDArray[np.int64]:
        """The places of the best box of each class in each frame (ascending)."""
        classes = np.stack([self.frames, self.labels])
        return np.sort(np.unique(classes, axis=1, return_index=True)[1])

    @property
    def areas(self) -> NDArray[np.float64]:
        """In pixels (N)."""
        return np.asarray(np.prod(self.corners[:, 2:] - self.corners[:, :2], axis=1))

    def by_frame(self, frames: int) -> list[dict[str, torch.Tensor]]:
        """As torchmetrics takes them: a dictionary for each of so many frames."""
        ends = np.searchsorted(self.frames, np.arange(1, frames))
        columns = {"boxes": self.corners, "labels": self.labels, "scores": self.scores}
        parts = {name: np.split(column, ends) for name, column in columns.items()}
        return [{name: torch.from_numpy(parts[name][i]) for name in parts} for i in range(frames)]


def overlaps(
    truth: Boxes, found: Boxes
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of all pairs in a frame: the place of the found box, of the labelled one, and their IoU."""
    first = np.searchsorted(truth.frames, found.frames)
    pairs = np.searchsorted(truth.frames, found.frames, side="right") - first
    theirs = np.repeat(np.arange(len(pairs)), pairs)
    own = np.arange(pairs.sum()) + np.repeat(first - np.cumsum(pairs) + pairs, pairs)
    a, b = found.corners[theirs], truth.corners[own]
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.maximum(0, sides), axis=1)
    return theirs, own, shared / (found.areas[theirs] + truth.areas[own] - shared)


def matches(truth: Boxes, found: Boxes) -> NDArray[np.int64]:
    """The place of the labelled box that each found one is for (N), -1: there is none.

    As COCO does it: in a frame and class, from the best to the worst, each takes the labelled box
    that it overlaps most, of those that are left.
    """
    theirs, own, iou = overlaps(truth, found)
    good = (iou >= IOU) & (found.labels[theirs] == truth.labels[own])
    theirs, own, iou = theirs[good], own[good], iou[good]
    matched = np.full(len(found.frames), -1)
    left = np.ones(len(truth.frames), bool)
    for place in np.lexsort((-own, -iou, theirs)):
        if matched[theirs[place]] < 0 and left[own[place]]:
            matched[theirs[place]] = own[place]
            left[own[place]] = False
    return matched


@dataclass(frozen=True)
class Answers:
    """What is labelled in the frames of a side, and what a detector found there."""

    truth: Boxes
    found: Boxes
    groups: NDArray[np.int64]
    """Frames of a shot have the same number (frames)."""
    matched: NDArray[np.int64]
    """What `matches` says of them."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each found box is for a labelled one."""
        return np.asarray(self.matched >= 0)

    def counts(self, threshold: float, label: int | None = None) -> NDArray[np.float64]:
        """Right boxes, found ones and labelled ones of each frame (3 x frames).

        Args:
            threshold: the score from which on a found one counts.
            label: of this class alone.
        """
        shown = self.found.scores >= threshold
        there = np.ones(len(self.truth.frames), bool)
        if label is not None:
            shown, there = shown & (self.found.labels == label), self.truth.labels == label
        chosen = (
            self.found.frames[shown & self.right],
            self.found.frames[shown],
            self.truth.frames[there],
        )
        return np.stack([np.bincount(c, minlength=len(self.groups)) * 1.0 for c in chosen])

    def f1(self, threshold: float) -> NDArray[np.float64]:
        """F1 of each frame (frames): 1 where nothing is labelled and nothing found."""
        hits, shown, there = self.counts(threshold)
        return np.where(shown + there > 0, 2 * hits / np.maximum(1, shown + there), 1.0)

    def best(self) -> NDArray[np.int64]:
        """The place of the best box of each frame (frames), -1: nothing was found."""
        best = np.full(len(self.groups), -1)
        frames, first = np.unique(self.found.frames, return_index=True)
        best[frames] = first
        return best


def scores(
    answers: Answers, classes: list[str], threshold: float, rng: np.random.Generator
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """COCO's average precisions and what else tells how good a detector is, with 95 % intervals.

    `map50` is the mean over the classes of the average precision at an IoU of 0.5, `map` that of
    0.5 to 0.95; `found` the share of the frames with labels whose best box is for one of them;
    `recall_at_1` that of the labelled boxes which the best of their class in the frame is for,
    whatever the others say (COCO's recall with one detection); `precision`, `recall`, `f1` those
    of all boxes above the threshold, `frame_f1` the mean of the frames' F1.

    Args:
        answers: of a side.
        classes: their names.
        threshold: the score from which on a box is shown.
        rng: draws groups again for the intervals of average precisions.

    Returns:
        scores of all, of each class, and of the sizes of labelled boxes.
    """
    truth = answers.truth
    found = coco_scores(truth, answers.found, len(answers.groups), len(classes))
    ends, mean_ends = _precision_intervals(answers, found[0, :, 0], rng)
    counts = answers.counts(threshold)
    best_right = np.append(answers.right, False)[answers.best()]  # at -1: nothing was found
    labelled = counts[2] > 0
    surest = answers.found.surest
    hits = np.bincount(answers.found.frames[surest[answers.right[surest]]], minlength=len(labelled))
    result = {
        "n": len(answers.groups),
        "boxes": len(truth.frames),
        "map50": _mean(found[0, :, 0]),
        **low_and_high("map50", mean_ends),
        "map": _mean(found[:, :, 0]),
        **_share("found", best_right & labelled, labelled, answers.groups),
        **_share("recall_at_1", hits, counts[2], answers.groups),
        **_share("frame_f1", answers.f1(threshold), np.ones(len(labelled)), answers.groups),
        **_shares(counts, answers.groups),
    }
    by_class = [
        {
            "class": name,
            "n": int((truth.labels == place).sum()),
            "map50": _mean(found[0, place, 0]),
            **low_and_high("map50", ends[place]),
            "map": _mean(found[:, place, 0]),
            **_shares(answers.counts(threshold, place), answers.groups),
        }
        for place, name in enumerate(classes)
    ]
    by_size = {
        name: {
            "n": int(((truth.areas >= low) & (truth.areas < high)).sum()),
            "map50": _mean(found[0, :, place]),
            "map": _mean(found[:, :, place]),
        }
        for place, (name, (low, high)) in enumerate(SIZES.items(), 1)
    }
    return result, by_class, by_size


def coco_scores(truth: Boxes, found: Boxes, frames: int, classes: int) -> NDArray[np.float64]:
    """COCO's average precisions by IoU, class and size (10 x classes x 4, the first size is all).

    NaN is that of a class without labelled boxes of the size.
    """
    result = np.full((len(IOUS), classes, 1 + len(SIZES)), np.nan)
    if len(truth.frames):
        # Its own thresholds are rounded to float32, past those of the official evaluation.
        metric = MeanAveragePrecision(
            iou_thresholds=IOUS.tolist(), rec_thresholds=RECALLS.tolist(),
            extended_summary=True, backend="faster_coco_eval",
        )  # fmt: skip
        metric.update(found.by_frame(frames), truth.by_frame(frames))
        counted = metric.compute()
        precisions = counted["precision"][..., -1].mean(1).numpy()  # over the recalls
        result[:, np.atleast_1d(counted["classes"])] = np.where(precisions < 0, np.nan, precisions)
    return result


def average_precisions(
    answers: Answers, classes: int, weights: NDArray[np.floating]
) -> NDArray[np.float64]:
    """COCO's average precisions at an IoU of 0.5, as if each frame were there several times.

    Args:
        answers: of a side.
        classes: how many there are.
        weights: how often the frames are there (draws x frames).

    Returns:
        draws x classes; NaN is that of a class without labelled boxes.
    """
    truth, found = answers.truth, answers.found
    result = np.full((len(weights), classes), np.nan)
    for label in np.unique(truth.labels):
        labelled = truth.frames[truth.labels == label]
        own = np.flatnonzero(found.labels == label)
        own = own[np.argsort(-found.scores[own], kind="stable")]
        frames, places = found.frames[own], np.flatnonzero(answers.right[own])
        for draw, weight in enumerate(weights):
            if of := weight[labelled].sum():
                right = weight[frames[places]].cumsum()
                precision = right / np.maximum(1, weight[frames].cumsum()[places])
                highest = np.maximum.accumulate(precision[::-1])[::-1]
                reached = np.searchsorted(right / of, RECALLS)
                result[draw, label] = np.append(highest, 0.0)[reached].mean()
    return result


def _precision_intervals(
    answers: Answers, precisions: NDArray[np.float64], rng: np.random.Generator
) -> tuple[list[tuple[float, float] | None], tuple[float, float] | None]:
    """The intervals of the average precisions (classes), and of their mean."""
    ends: list[tuple[float, float] | None] = [None] * len(precisions)
    known = np.flatnonzero(np.isfinite(precisions))
    if not len(known):
        return ends, None
    codes = np.unique(answers.groups, return_inverse=True)[1]
    groups = codes.max() + 1
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), DRAWS)[:, codes] * 1.0
    draws = average_precisions(answers, len(precisions), weights)[:, known]
    sizes = np.zeros((groups, len(precisions)))
    np.add.at(sizes, (codes[answers.truth.frames], answers.truth.labels), 1.0)
    found, mean = drawn_intervals(precisions[known], draws, sizes[:, known])
    for place, pair in zip(known, found, strict=True):
        ends[place] = pair
    return ends, mean


def _shares(counts: NDArray[np.float64], groups: NDArray[np.int64]) -> dict[str, float | None]:
    hits, shown, there = counts
    return {
        **_share("precision", hits, shown, groups),
        **_share("recall", hits, there, groups),
        **_share("f1", 2 * hits, shown + there, groups),
    }


def _share(
    name: str, hits: NDArray[Any], of: NDArray[Any], groups: NDArray[np.int64]
) -> dict[str, float | None]:
    known, hits, of = bool(of.any()), hits * 1.0, of * 1.0
    share = float(hits.sum() / of.sum()) if known else None
    return {name: share, **low_and_high(name, interval(hits, of, groups) if known else None)}


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of what is known of average precisions."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None
