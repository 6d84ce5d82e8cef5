"""Intervals of scores: frames of one shot are no independent draws."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, bootstrap, norm

Counts = tuple[NDArray[np.float64], NDArray[np.float64]]
FURTHER = 0.25
"""Variance of the shot that `_wilson` adds."""


def interval(
    hits: NDArray[np.float64], of: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, float]:
    """The 95 % interval of a share, `hits.sum() / of.sum()`.

    Wilson's (1927), with the effective number of frames in place of their number, as Franco et al.
    (2019, "Comparative study of confidence intervals for proportions in complex sample surveys")
    found best of eleven. It has a width where all are right or all wrong.

    Args:
        hits: what each frame adds to the numerator (N, 0 to its `of`).
        of: what it adds to the denominator (N, not all 0).
        groups: frames of a shot have the same number (N).
    """
    _, codes = np.unique(groups, return_inverse=True)
    sizes = np.bincount(codes, of) * 1.0
    share = hits.sum() / sizes.sum()
    return _wilson(share, (np.bincount(codes, hits - share * of) ** 2).sum(), sizes)


def lower_bound(right: NDArray[np.bool_], groups: NDArray[np.int64], risk: float) -> float:
    """What the accuracy is at least, but for a `risk`: the binomial bound of Clopper and Pearson.

    Of Kish's number of shots in place of the frames (as Korn and Graubard, 1998): as if those of a
    shot stood or fell together, which errs on the safe side.

    Args:
        right: whether the answers are (N).
        groups: frames of a shot have the same number (N).
        risk: of an accuracy below the bound.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    n = sizes.sum() ** 2 / (sizes**2).sum()
    hits = right.mean() * n
    return float(beta.ppf(risk, hits, n - hits + 1)) if hits else 0.0


def mean_interval(rows: Iterable[Counts], groups: NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % interval of a mean of shares, as of macro-F1.

    Out of the interval of each share: the method of variance estimates recovery (Zou and Donner,
    2008, "Construction of confidence limits about effect measures"), which asks none of them to be
    normally distributed. Shares that a shot moves together are taken as such.

    Args:
        rows: of each share, what each frame adds to it: `hits` and `of`, as for `interval`.
        groups: frames of a shot have the same number (N).
    """
    _, codes = np.unique(groups, return_inverse=True)
    shares, ends, pulls, alone = [], [], np.zeros(len(groups)), 0.0
    for hits, of in rows:
        shares.append(hits.sum() / of.sum())
        ends.append(interval(hits, of, groups))
        pull = (hits - shares[-1] * of) / of.sum()
        pulls += pull
        alone += (np.bincount(codes, pull) ** 2).sum()
    return _recovered(shares, ends, (np.bincount(codes, pulls) ** 2).sum() - alone)


def drawn_intervals(
    shares: NDArray[np.float64], draws: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """The 95 % intervals of shares that are no ratios of sums, and of their mean.

    For average precisions; as `interval` and `mean_interval`, but the variances are those among
    draws of whole groups (Efron, 1979), which may be larger than those of a share can be.

    Args:
        shares: of all frames (K).
        draws: the same of frames whose groups were drawn again (B x K; NaN: unknown in a draw).
        sizes: of what each is a share, by group (G x K).
    """
    apart = np.nan_to_num(draws - np.nanmean(draws, axis=0))
    variances = (apart**2).sum(0) / np.maximum(1, np.isfinite(draws).sum(0))
    totals = sizes.sum(0)
    ends = [
        _wilson(*row, most=np.inf)
        for row in zip(shares.tolist(), variances * totals**2, sizes.T, strict=True)
    ]
    together = apart.sum(1).var() - variances.sum()
    return ends, _recovered(shares.tolist(), ends, float(together))


def bootstrap_interval(
    values: NDArray[np.float64], groups: NDArray[np.int64]
) -> tuple[float, float]:
    """The 95 % interval of a mean: whole groups are drawn again (BCa; Efron, 1987).

    Of one group alone nobody knows: NaN.

    Args:
        values: of each sample (N).
        groups: samples whose values are alike have the same number (N).
    """
    _, codes = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    if len(sums) < 2:
        return math.nan, math.nan
    if len(np.unique(sums / sizes)) < 2:  # nothing varies
        return float(values.mean()), float(values.mean())
    found = bootstrap(
        (sums, sizes), lambda s, n, axis: s.sum(axis) / n.sum(axis), paired=True,
        vectorized=True, method="BCa", rng=0,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def low_and_high(name: str, ends: tuple[float, float] | None) -> dict[str, float | None]:
    """An interval by the names that reports give its ends; None, twice, is one nobody knows."""
    low, high = ends or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _wilson(
    share: float, between: float, sizes: NDArray[np.floating], *, most: float = 1.0
) -> tuple[float, float]:
    """Wilson's interval of the number of independent frames by which a share varies as much.

    That is Kish's (1965) number of shots, as if frames of a shot stood or fell together, divided
    by the part of that variance that there is between the shots (of the linearised ratio). Few
    wrong shots tell little of this part, none nothing: one more shot of typical size is counted,
    all right half of the time and all wrong the other half.

    Args:
        share: of the frames.
        between: the sum of the squares of what each shot has more or less than its part.
        sizes: of the shots.
        most: what that part is at most.
    """
    typical = (sizes**2).sum() / sizes.sum()
    shots = sizes.sum() / typical
    part = (between / typical**2 + FURTHER) / (share * (1 - share) * shots + FURTHER)
    n, z = shots / min(most, part), norm.ppf(0.975)
    middle = (share * n + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(share * (1 - share) * n + z**2 / 4) / (n + z**2)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _recovered(
    shares: list[float], ends: list[tuple[float, float]], together: float
) -> tuple[float, float]:
    """The interval of a mean out of those of its shares.

    Args:
        shares: whose mean it is.
        ends: of their intervals.
        together: the sum of the covariances of each two of them.
    """
    apart = ((np.array(ends) - np.array(shares)[:, None]) ** 2).sum(0)
    below, above = np.sqrt(np.maximum(0, apart + norm.ppf(0.975) ** 2 * together)) / len(shares)
    mean = np.mean(shares)
    return max(0.0, float(mean - below)), min(1.0, float(mean + above))
