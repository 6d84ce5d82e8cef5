"""Scores of a classifier; None is a score that nobody can know."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from springfield.scoring.intervals import Counts, interval, low_and_high, mean_interval

ENOUGH = 10
"""Frames of a class, from which on its F1 tells something."""


def scores(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, Any]:
    """Accuracy and macro averages over the classes that occur in `labels` or `predicted`.

    `macro_f1_10` is the average over those of at least ten frames, None if there is none.
    """
    precision, recall, f1, n = precision_recall_fscore_support(labels, predicted, zero_division=0)
    enough = f1[n >= ENOUGH]
    return {
        "n": len(labels),
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(f1.mean()),
        "macro_f1_10": float(enough.mean()) if len(enough) else None,
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
    }


def intervals(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64]
) -> dict[str, float | None]:
    """The ends (`accuracy_low`, `accuracy_high`, ...) of the 95 % intervals of `scores`.

    Args:
        labels: true classes (N).
        predicted: predicted ones (N).
        groups: frames that belong together have the same number (N).
    """
    right = (labels == predicted) * 1.0
    frames = {place: int((labels == place).sum()) for place in np.union1d(labels, predicted)}
    found = low_and_high("accuracy", interval(right, np.ones(len(labels)), groups))
    for name, least in (("macro_f1", 0), ("macro_f1_10", ENOUGH)):
        rows = [_counts(labels, predicted, c)["f1"] for c, n in frames.items() if n >= least]
        found |= low_and_high(name, mean_interval(rows, groups) if rows else None)
    return found


def scores_by_class(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: list[str],
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class with the ends of their intervals, and its frames.

    None are recall and F1 of a class without frames, and the precision of one never predicted.
    The arguments are those of `intervals`, and the classes' names.
    """
    rows = []
    for place, name in enumerate(classes):
        row: dict[str, Any] = {"class": name, "n": int((labels == place).sum())}
        for score, (hits, of) in _counts(labels, predicted, place).items():
            met = of > 0
            known = met.any() and (row["n"] or score == "precision")
            row[score] = float(hits.sum() / of.sum()) if known else None
            row |= low_and_high(score, interval(hits[met], of[met], groups[met]) if known else None)
        rows.append(row)
    return rows


def _counts(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], place: int
) -> dict[str, Counts]:
    """What each frame adds to numerator and denominator of a class's precision, recall and F1."""
    true, named = (labels == place) * 1.0, (predicted == place) * 1.0
    hits = true * named
    return {"precision": (hits, named), "recall": (hits, true), "f1": (2 * hits, true + named)}
