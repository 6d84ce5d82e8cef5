"""What intervals, thresholds and promotions promise, kept in simulated draws of shots."""

import numpy as np
import pytest
from numpy.typing import NDArray

from springfield.scoring import calibration, paired
from springfield.scoring.intervals import bootstrap_interval, drawn_intervals, interval
from springfield.stages.classification.scores import intervals, scores, scores_by_class

Ints = NDArray[np.int64]
CORRELATIONS = (0.3, 0.5, 0.7)
"""Of the answers in a shot."""


KINDS = ("as in the Simpsons' frames", "most are small", "any is as likely")


def sizes(kind: str, shots: int, rng: np.random.Generator) -> Ints:
    """Frames of shots: 1 to 60, uneven in one of three ways."""
    if kind == KINDS[0]:
        return np.minimum(rng.geometric(0.75, shots), 60)
    if kind == KINDS[1]:
        return np.clip(np.exp(rng.normal(1.5, 1.1, shots)).round(), 1, 60).astype(np.int64)
    return rng.integers(1, 61, shots)


def right_frames(
    accuracy: float | NDArray[np.float64], correlation: float, n: Ints, rng: np.random.Generator
) -> Ints:
    """How many frames of each shot are right, of `n`: beta-binomial."""
    strength = 1 / correlation - 1
    return rng.binomial(n, rng.beta(accuracy * strength, (1 - accuracy) * strength, n.shape))


@pytest.mark.parametrize("shots", [40, 100, 400])
@pytest.mark.parametrize("accuracy", [0.9, 0.95, 0.98, 0.99])
def test_95_of_100_intervals_of_accuracy_hold_it(accuracy: float, shots: int) -> None:
    rng = np.random.default_rng(shots)
    held = []
    for kind in KINDS:
        for correlation in CORRELATIONS:
            for _ in range(300):
                n = sizes(kind, shots, rng)
                right = right_frames(accuracy, correlation, n, rng)
                # A shot as one sample of so much weight: what its frames add up to.
                low, high = interval(right.astype(float), n.astype(float), np.arange(shots))
                held.append(low <= accuracy <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_where_all_are_right_the_interval_has_a_width() -> None:
    labels, groups = np.arange(240) % 4, np.arange(240) // 4 // 10
    found = intervals(labels, labels, groups)
    for name in ("accuracy", "macro_f1", "macro_f1_10"):
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        assert low is not None
        assert 0.3 < low < 0.95
        assert high == 1
    # Six shots of ten frames, alike: as many as six frames, not sixty.
    assert interval(np.ones(60), np.ones(60), np.arange(60) // 10)[0] == pytest.approx(
        interval(np.ones(6), np.ones(6), np.arange(6))[0]
    )


def test_what_varies_more_than_a_share_can_has_a_wider_interval() -> None:
    """An average precision does so where few boxes are found, and each in a shot of its own."""
    share, shots, deviation = 0.34, 40, 0.1
    assert deviation > np.sqrt(share * (1 - share) / shots)
    draws = share + deviation * np.random.default_rng(0).standard_normal((4000, 1))
    (ends,), mean = drawn_intervals(np.array([share]), draws, np.ones((shots, 1)))
    assert ends[1] - ends[0] == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert mean == pytest.approx(ends)


def test_what_cannot_be_known_of_a_class_is_unknown() -> None:
    labels, predicted = np.array([0] * 12 + [1] * 9), np.array([0] * 12 + [2] * 9)
    present, unnamed, strange, absent = scores_by_class(
        labels, predicted, np.arange(21), ["present", "unnamed", "strange", "absent"]
    )
    assert present["f1"] == present["f1_high"] == 1
    assert unnamed["precision"] is None is unnamed["precision_low"]
    assert unnamed["f1"] == 0
    assert unnamed["f1_high"] > 0.1
    for score in ("precision", "recall", "f1"):
        assert absent[score] is None is absent[f"{score}_low"] is absent[f"{score}_high"]
    assert strange["f1"] is None
    assert strange["precision"] == 0
    assert scores(labels, predicted)["macro_f1"] == pytest.approx(1 / 3)
    assert scores(labels, predicted)["macro_f1_10"] == 1
    assert scores(labels[8:], predicted[8:])["macro_f1_10"] is None
    assert intervals(labels[8:], predicted[8:], np.arange(13))["macro_f1_10_low"] is None


def answers(
    shots: int, mean_size: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Ints]:
    """Confidences that are true on average, whether frames are right, and their shots."""
    n = np.minimum(rng.geometric(1 / mean_size, shots), 60)
    confidence = rng.beta(9, 0.35, shots)
    rights = right_frames(np.clip(confidence, 1e-6, 1 - 1e-6), 0.5, n, rng)
    groups = np.repeat(np.arange(shots), n)
    place = np.arange(len(groups)) - np.repeat(n.cumsum() - n, n)
    right = place < rights[groups]
    return np.clip(confidence[groups] + rng.normal(0, 0.01, len(groups)), 0, 1), right, groups


@pytest.mark.parametrize(
    ("shots", "mean_size", "sure"), [(800, 1.33, 0.98), (3000, 1.3, 0.99), (300, 5, 0.96)]
)
def test_what_the_threshold_promises_is_kept(shots: int, mean_size: float, sure: float) -> None:
    rng = np.random.default_rng(shots)
    every, whether, _ = answers(200_000, mean_size, rng)
    order = np.argsort(-every)
    accuracy = whether[order].cumsum() / np.arange(1, len(order) + 1)
    kept, promises = [], []
    for _ in range(100):
        found, promised = calibration.threshold(*answers(shots, mean_size, rng), sure)
        above = np.searchsorted(-every[order], -found, side="right") - 1
        promises.append(promised)
        kept.append(not promised or accuracy[above] >= sure)
    assert np.mean(kept) >= 0.95
    assert np.mean(promises) > 0.5


def test_what_few_frames_cannot_promise_is_not_promised() -> None:
    confidence = np.linspace(0.5, 1, 400)
    for shots, promised in ((400, True), (40, False)):
        groups = np.arange(400) % shots
        found = calibration.threshold(confidence, np.ones(400, bool), groups, 0.98)
        assert found == (0.5, promised)


@pytest.mark.parametrize("frames", [1, 6])
def test_a_perfect_model_is_seldom_worse_than_a_perfect_model(
    frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "DRAWS", 100)
    rng = np.random.default_rng(frames)
    groups = np.repeat(np.arange(60), frames)
    errors, expected, worse = [], [], []
    for _ in range(100):
        confidence = rng.beta(9, 0.5, 60)
        rights = right_frames(confidence, 0.5, np.full(60, frames), rng)
        right = np.tile(np.arange(frames), 60) < rights[groups]
        errors.append(calibration.calibration_error(confidence[groups], right))
        perfect = calibration.perfect_errors(confidence[groups], groups, rng)
        expected.append(perfect.mean())
        worse.append(errors[-1] > np.quantile(perfect, 0.95))
    assert np.mean(errors) > 0.02  # though the probabilities are true
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.1)
    assert np.mean(worse) <= 0.1


def test_of_ten_equal_challengers_hardly_any_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "DRAWS", 1999)
    rng, shots, fooled = np.random.default_rng(0), 150, 0
    for _ in range(200):
        groups = np.repeat(np.arange(shots), np.minimum(rng.geometric(0.3, shots), 60))
        hard = rng.beta(0.9, 0.1, shots)[groups]
        champion = rng.random(shots)[groups] < hard
        for look in range(1, 11):
            challenger = rng.random(shots)[groups] < hard
            gain = challenger.sum() - champion.sum()
            p = paired.paired_test(champion, challenger, groups)
            if gain > 0 and p < paired.significant(look):
                fooled += 1
                break
    assert fooled <= 0.05 * 200


def forecasts(blocks: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Distances of values from a median, in half-widths that are too narrow; alike in a block."""
    return np.abs(rng.normal(0, 1.6, blocks)[:, None] + rng.normal(0, 0.8, (blocks, 7)))


@pytest.mark.parametrize("blocks", [25, 180])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_widened_intervals_hold_what_they_promise(blocks: int, level: float) -> None:
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        factor = calibration.widening(forecasts(blocks, rng).ravel(), level, blocks)
        covered.append((forecasts(50, rng) <= factor).mean())
    assert np.mean(covered) == pytest.approx(level, abs=0.03)


def test_few_forecasts_widen_more_than_many() -> None:
    distances = np.linspace(0, 2, 50)
    few, many = (calibration.widening(distances, 0.95, blocks) for blocks in (4, 100))
    assert few > 1.5 * many


@pytest.mark.parametrize("blocks", [20, 60])
def test_the_interval_of_a_mean_error_holds_it(blocks: int) -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        values = (rng.normal(0, 1, blocks)[:, None] + rng.normal(0, 0.5, (blocks, 3))) ** 2
        low, high = bootstrap_interval(values.ravel(), np.repeat(np.arange(blocks), 3))
        held += low <= 1.25 <= high
    assert 0.86 <= held / 200 <= 0.98
