"""Whether one model is better than another on the same samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test


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
        (gains,), np.sum, permutation_type="samples", n_resamples=9999, vectorized=True, rng=0
    )
    return float(result.pvalue)
