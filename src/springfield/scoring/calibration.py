"""How far probabilities can be believed, and how to mend them."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


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
