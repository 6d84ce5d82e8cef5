"""Scores against values worked out by hand."""

import numpy as np
import pytest

from springfield.metrics import cross_entropy, fit_temperature, scores, scores_by_class

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 3])


def test_macro_scores_average_over_the_classes_that_are_true_or_predicted() -> None:
    found = scores(LABELS, PREDICTED)
    assert found["n"] == 6
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_precision"] == pytest.approx((1 + 2 / 3 + 0 + 0) / 4)
    assert found["macro_recall"] == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert found["macro_f1"] == pytest.approx((0.8 + 0.8 + 0 + 0) / 4)


def test_scores_by_class_name_every_class() -> None:
    rows = scores_by_class(LABELS, PREDICTED, ["a", "b", "c", "d"])
    assert [row["n"] for row in rows] == [3, 2, 1, 0]
    assert rows[0]["recall"] == pytest.approx(2 / 3)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)).astype(np.float32)
    shifted = logits + rng.gumbel(size=logits.shape)
    labels = shifted.argmax(1)
    assert fit_temperature(4 * logits, labels) == pytest.approx(4, rel=0.1)
    assert cross_entropy(4 * logits, labels, 4.0) < cross_entropy(4 * logits, labels)
