"""Scores of a classifier."""

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from springfield.scoring.bootstrap import group_weights


def scores(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and macro averages over the classes that occur in `labels` or `predicted`."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )
    return {
        "n": len(labels),
        "accuracy": float((labels == predicted).mean()),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }


def scores_by_class(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: list[str]
) -> list[dict[Any, Any]]:
    """Precision, recall and F1 of each class, and how many frames of it there are."""
    precision, recall, f1, n = precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), zero_division=0
    )
    rows = {"class": classes, "n": n, "precision": precision, "recall": recall, "f1": f1}
    return pd.DataFrame(rows).to_dict("records")


def intervals(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[np.float64]]:
    """95 % intervals by bootstrap of whole groups: frames of one shot are no independent draws.

    Args:
        labels: true classes (N).
        predicted: predicted ones (N).
        groups: frames that belong together have the same number (N).
        classes: how many there are.
        rng: draws the groups.

    Returns:
        the lower and the upper end (2, or 2 x classes for those of each class) of `accuracy`,
        `macro_f1`, `precision`, `recall` and `f1`.
    """
    cells = labels * classes + predicted
    draws: dict[str, list[Any]] = defaultdict(list)
    for weights in group_weights(groups, rng):
        confusion = np.bincount(cells, weights, classes**2).reshape(classes, classes)
        hits, true, named = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        f1 = 2 * hits / np.maximum(true + named, 1)
        draws["accuracy"].append(hits.sum() / max(1, weights.sum()))
        draws["macro_f1"].append(f1[true + named > 0].mean())
        draws["precision"].append(hits / np.maximum(named, 1))
        draws["recall"].append(hits / np.maximum(true, 1))
        draws["f1"].append(f1)
    return {name: np.quantile(values, (0.025, 0.975), axis=0) for name, values in draws.items()}
