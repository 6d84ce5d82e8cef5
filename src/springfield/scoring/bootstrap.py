"""Bootstrap of whole groups: frames of one shot are no independent draws."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000


def group_weights(
    groups: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """How often each sample is drawn (N), in each of a thousand draws of whole groups.

    Args:
        groups: samples that belong together have the same number (N).
        rng: draws the groups.
    """
    _, groups = np.unique(groups, return_inverse=True)
    n = groups.max() + 1
    for _ in range(DRAWS):
        yield np.bincount(rng.integers(n, size=n), minlength=n)[groups]
