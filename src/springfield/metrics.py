"""Scores of a classifier."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import permutation_test
from sklearn.metrics import precision_recall_fscore_support

DRAWS = 1000
"""Of a bootstrap."""


def cross_entropy(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float = 1.0
) -> float:
    """Mean negative log-likelihood of labels (N) under logits (N x classes), in nats."""
    log_probabilities = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature that makes held-out labels likeliest (Guo et al., 2017).

    One wrong label more than there are is assumed (as in Platt, 1999): where all are right, no
    finite temperature would be the likeliest.
    """
    n, classes = logits.shape
    targets = np.full((n, classes), 1 / (n + 2) / (classes - 1))
    targets[np.arange(n), labels] = 1 - 1 / (n + 2)

    def loss(log_t: float) -> float:
        log_probabilities = log_softmax(logits.astype(np.float64) / np.exp(log_t), axis=1)
        return float(-(targets * log_probabilities).sum(1).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15
) -> float:
    """Expected calibration error (Naeini et al., 2015), in bins with equally many frames.

    Args:
        confidences: of the predicted classes (N, 0 to 1).
        right: whether they are right (N).
        bins: how many; the error is 0 where confidence equals accuracy in each.
    """
    parts = np.array_split(np.argsort(confidences, kind="stable"), bins)
    gaps = [abs(confidences[p].mean() - right[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(confidences))


def threshold(confidences: NDArray[np.float64], right: NDArray[np.bool_], accuracy: float) -> float:
    """The lowest confidence from which on at least `accuracy` of the predictions are right.

    Where none is high enough: the highest there is.
    """
    order = np.argsort(-confidences, kind="stable")
    reached = right[order].cumsum() / np.arange(1, len(order) + 1) >= accuracy
    # Equal confidences stand or fall together.
    last = np.append(np.diff(confidences[order]) < 0, True)
    good = np.flatnonzero(reached & last)
    return float(confidences[order][good[-1] if len(good) else 0])


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
    _, groups = np.unique(groups, return_inverse=True)
    n = groups.max() + 1
    cells = labels * classes + predicted
    draws: dict[str, list[Any]] = {
        name: [] for name in ("accuracy", "macro_f1", "precision", "recall", "f1")
    }
    for _ in range(DRAWS):
        weights = np.bincount(rng.integers(n, size=n), minlength=n)[groups]
        confusion = np.bincount(cells, weights, classes**2).reshape(classes, classes)
        hits, true, named = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        f1 = 2 * hits / np.maximum(true + named, 1)
        draws["accuracy"].append(hits.sum() / max(1, weights.sum()))
        draws["macro_f1"].append(f1[true + named > 0].mean())
        draws["precision"].append(hits / np.maximum(named, 1))
        draws["recall"].append(hits / np.maximum(true, 1))
        draws["f1"].append(f1)
    return {name: np.quantile(values, (0.025, 0.975), axis=0) for name, values in draws.items()}


def paired_test(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64]
) -> float:
    """The p-value (two-sided) of two models being right equally often on the same frames.

    A permutation test that exchanges the two models on whole groups: frames of one shot are right
    or wrong together.

    Args:
        first: whether one model is right on each frame (N).
        second: whether the other is (N).
        groups: frames that belong together have the same number, from 0 on (N).
    """
    gains = np.bincount(groups, second.astype(float) - first)
    gains = gains[gains != 0]
    if len(gains) < 2:  # a single shot may as well have gone the other way
        return 1.0
    result = permutation_test(
        (gains,), np.sum, permutation_type="samples", n_resamples=9999, vectorized=True, rng=0
    )
    return float(result.pvalue)


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
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, and how many frames of it there are."""
    columns = precision_recall_fscore_support(
        labels, predicted, labels=range(len(classes)), zero_division=0
    )
    return [
        {
            "class": name,
            "n": int(n),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        }
        for name, precision, recall, f1, n in zip(classes, *columns, strict=True)
    ]
