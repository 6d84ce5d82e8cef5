"""Whether one model is better than another on the same samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

DRAWS = 19_999
"""So many that a p-value can be as small as thirty looks at the same frames ask for."""


def paired_test(first: NDArray[Any], second: NDArray[Any], groups: NDArray[np.int64]) -> float:
    """The p-value (two-sided) of two models being right equally often on the same frames.

    A permutation test that exchanges the two models on whole groups: frames of one shot are right
    or wrong together.

    Args:
        first: whether one model is right on each frame, or another score of it (N).
        second: the same of the other (N).
        groups: frames that belong together have the same number, from 0 on (N).
    """
    gains = np.bincount(groups, second.astype(float) - first)
    gains = gains[gains != 0]
    if len(gains) < 2:  # a single shot may as well have gone the other way
        return 1.0
    result = permutation_test(
        (gains,), np.sum, permutation_type="samples", n_resamples=DRAWS, batch=1000,
        vectorized=True, rng=0,
    )  # fmt: skip
    return float(result.pvalue)


def significant(look: int, risk: float = 0.05) -> float:
    """What the p-value of `paired_test` must be below, so that a better model may be believed.

    The more models are compared on the same frames, the likelier one of equals is better by
    chance. So the risk is spent: of all models that are no better than a champion, however many,
    one is taken for better with a probability of at most `risk` (Bonferroni's inequality, with
    shares 1/2, 1/6, 1/12, ... that sum to 1; alpha-spending as Foster and Stine, 2008, "Alpha-
    investing"). The p-value is two-sided, and only one of its sides is a gain: hence twice that.

    Args:
        look: the how-manieth model it is, from 1 on.
        risk: of any model that is better by chance only.
    """
    return 2 * risk / (look * (look + 1))
