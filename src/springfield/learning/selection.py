"""Which epoch of a training is kept."""

import numpy as np
from numpy.typing import NDArray

from springfield.scoring.paired import paired_test

CHANCE = 0.05
"""Of keeping an earlier epoch that is no better, all epochs taken together (Bonferroni)."""


def is_better(
    earlier: NDArray[np.float32],
    last: NDArray[np.float32],
    groups: NDArray[np.int64],
    epochs: int,
) -> bool:
    """Whether the best of the earlier epochs is better than the last by more than chance.

    The best of many noisy val scores is one that was lucky, and an average of weights at the end of
    an annealed rate is better than it looks: two frames of 1,054 once cost a point on test
    (benchmarks/results/simpsons_cpu_all.csv).

    Args:
        earlier: the scores of the val samples (N) in the epoch with the best val score.
        last: the same of the last epoch.
        groups: samples that belong together have the same number, from 0 on (N).
        epochs: from how many that epoch was chosen.
    """
    gain = float(earlier.mean() - last.mean())
    return gain > 0 and paired_test(last, earlier, groups) < CHANCE / epochs
