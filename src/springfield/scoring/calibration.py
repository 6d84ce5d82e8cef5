"""How far probabilities can be believed, and how to mend them."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import norm, t

from springfield.scoring.intervals import lower_bound

DRAWS = 1000
RISK = 0.05
"""That a promised accuracy is not reached."""
TOGETHER = 0.5
"""Share of the shots whose frames are right or wrong together."""


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


def perfect_errors(
    confidences: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """The `calibration_error` of a thousand perfectly calibrated models on so few frames.

    With few frames in a bin the error of none of them is 0 (Bröcker and Smith, 2007; Vaicenavicius
    et al., 2019). Each answers as confidently as this model, and is right as often as it says.

    Args:
        confidences: of the predicted classes (N, 0 to 1).
        groups: frames of a shot have the same number (N): in every other draw of a shot they are
            right or wrong together.
        rng: draws what is right.
    """
    order = np.argsort(confidences)
    confidences, codes = confidences[order], np.unique(groups[order], return_inverse=True)[1]
    errors = []
    for _ in range(DRAWS):
        shot, alone = rng.random(codes.max() + 1)[codes], rng.random(len(codes))
        together = (rng.random(codes.max() + 1) < TOGETHER)[codes]
        right = np.where(together, shot, alone) < confidences
        errors.append(calibration_error(confidences, right))
    return np.array(errors)


def threshold(
    confidences: NDArray[np.float64],
    right: NDArray[np.bool_],
    groups: NDArray[np.int64],
    accuracy: float,
) -> tuple[float, bool]:
    """The confidence from which on at least `accuracy` of all predictions will be right.

    That of Geifman and El-Yaniv (2017, "Selective classification for deep neural networks"): not
    these frames have to be right so often, but a binomial bound does, so that the promise is
    broken for at most one model of twenty. Beginning with the half that is surest, ever more of
    the frames are tested while the bound holds: in such a sequence, fixed beforehand, no test
    costs the others their level (Bauer, 1991; Angelopoulos et al., 2021, "Learn then test").

    Args:
        confidences: of the predicted classes (N).
        right: whether they are right (N).
        groups: frames of a shot have the same number (N).
        accuracy: what is promised.

    Returns:
        the threshold, and whether it can be promised. Where it cannot: the lowest from which on
        so many of these frames are right, or else the highest confidence.
    """
    order = np.argsort(-confidences, kind="stable")
    ordered, found = confidences[order], None
    for share in np.linspace(0.5, 1, 51):
        # Equal confidences stand or fall together.
        lowest = ordered[math.ceil(share * len(ordered)) - 1]
        above = confidences >= lowest
        if lower_bound(right[above], groups[above], RISK) < accuracy:
            break
        found = float(lowest)
    if found is not None:
        return found, True
    reached = right[order].cumsum() / np.arange(1, len(order) + 1) >= accuracy
    last = np.append(np.diff(ordered) < 0, True)
    good = np.flatnonzero(reached & last)
    return float(ordered[good[-1] if len(good) else 0]), False


def f1_threshold(
    frames: NDArray[np.int64],
    confidences: NDArray[np.float64],
    right: NDArray[np.bool_],
    wanted: NDArray[np.int64],
) -> float:
    """The confidence from which on the answers have the highest mean F1 of the frames.

    It is in the middle between two answers; 1: best is none. The F1 of a frame of which nothing
    is wanted and nothing said is 1.

    Args:
        frames: the place of each answer's frame (N, ascending).
        confidences: of the answers, descending within a frame (N).
        right: whether they are (N).
        wanted: how many right answers each frame has.
    """
    first = np.searchsorted(frames, frames)
    hits = right.cumsum()
    hits = hits - np.append(0, hits)[first]
    said = np.arange(len(frames)) - first + 1
    f1 = 2 * hits / (said + wanted[frames])
    before = np.where(said == 1, wanted[frames] == 0, np.append(0.0, f1[:-1]))
    order = np.argsort(-confidences, kind="stable")
    ordered = np.append(confidences[order], 0.0)
    gains = (f1 - before)[order].cumsum()
    gains[np.diff(ordered) == 0] = -1  # equal confidences stand or fall together
    if not len(gains) or gains.max() <= 0:
        return 1.0
    best = int(gains.argmax())
    return float(ordered[best : best + 2].mean())


def widening(distances: NDArray[np.float64], level: float, blocks: int) -> float:
    """By what the half-widths of intervals are multiplied, so that they hold what they promise.

    Split conformal prediction (Romano et al., 2019, "Conformalized quantile regression"), with a
    factor in place of their summand: it keeps wide what is wide. Errors of one block are no
    independent draws, and of few blocks nobody knows the spread: Student's t tells how much less.

    Args:
        distances: of held-out values from the median, in half-widths of the interval.
        level: the share of values that it promises to hold.
        blocks: how many parts of these values are independent, about.
    """
    share = min(1.0, level * (1 + 1 / len(distances)))
    unknown = t.ppf((1 + level) / 2, max(1, blocks - 1)) / norm.ppf((1 + level) / 2)
    return float(unknown * np.quantile(distances, share, method="higher"))
