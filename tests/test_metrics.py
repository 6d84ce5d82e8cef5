"""Scores against values worked out by hand."""

import math
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from springfield.artifacts import onnx_files
from springfield.artifacts.onnx_files import Classify, agreement, check_batches
from springfield.files import write_json
from springfield.images.drawing.plots import write_csv
from springfield.images.store import ImageStore
from springfield.machine.errors import UserError
from springfield.scoring.calibration import (
    calibration_error,
    cross_entropy,
    fit_temperature,
    threshold,
)
from springfield.scoring.paired import paired_test
from springfield.stages.classification.export import Tested, _write_int8
from springfield.stages.classification.scores import intervals, scores, scores_by_class

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
    rows = scores_by_class(LABELS, PREDICTED, np.arange(6), ["a", "b", "c", "d"])
    assert [row["n"] for row in rows] == [3, 2, 1, 0]
    assert rows[0]["recall"] == pytest.approx(2 / 3)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)).astype(np.float32)
    shifted = logits + rng.gumbel(size=logits.shape)
    labels = shifted.argmax(1)
    assert fit_temperature(4 * logits, labels) == pytest.approx(4, rel=0.1)
    assert cross_entropy(4 * logits, labels, 4.0) < cross_entropy(4 * logits, labels)


def test_temperature_stays_humble_where_all_are_right() -> None:
    labels = np.arange(200) % 5
    logits = 3 * np.eye(5, dtype=np.float32)[labels]
    confidence = 1 / (1 + 4 * np.exp(-3 / fit_temperature(logits, labels)))
    assert confidence == pytest.approx(1 - 1 / 202, abs=1e-3)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidences = np.repeat([0.6, 0.9], 10)
    right = np.array([True] * 6 + [False] * 4 + [True] * 5 + [False] * 5)
    assert calibration_error(confidences, right, bins=2) == pytest.approx((0 + 0.4) / 2)


def test_the_threshold_without_a_promise_is_the_lowest_that_val_bears_out() -> None:
    confidences = np.array([0.95, 0.9, 0.8, 0.8, 0.7])
    right, shots = np.array([True, True, True, False, True]), np.arange(5)
    # The two at 0.8 stand or fall together.
    assert threshold(confidences, right, shots, 1.0) == (0.9, False)
    assert threshold(confidences, right, shots, 0.75) == (0.7, False)
    # Nothing bears it out: the highest there is.
    assert threshold(confidences, ~right, shots, 1.0) == (0.95, False)


def test_intervals_are_those_of_a_binomial_where_each_frame_is_its_own_group() -> None:
    labels = np.zeros(400, np.int64)
    predicted = (np.arange(400) % 5 == 0).astype(np.int64)  # 80 % right
    found = intervals(labels, predicted, np.arange(400))
    ends = found["accuracy_low"], found["accuracy_high"]
    assert ends == pytest.approx((0.8 - 1.96 * 0.02, 0.8 + 1.96 * 0.02), abs=0.006)


def test_frames_of_a_group_widen_the_interval() -> None:
    labels = np.zeros(400, np.int64)
    groups = np.arange(400) // 40
    predicted = (groups % 5 == 0).astype(np.int64)
    found = intervals(labels, predicted, groups)
    assert found["accuracy_low"] is not None is not found["accuracy_high"]
    assert found["accuracy_high"] - found["accuracy_low"] > 0.3


def test_the_paired_test_counts_groups_not_frames() -> None:
    wrong, right = np.zeros(80, bool), np.ones(80, bool)
    assert paired_test(wrong, right, np.arange(80)) < 0.001
    assert paired_test(wrong, right, np.arange(80) // 20) == pytest.approx(2 / 2**4)
    assert paired_test(wrong, right, np.zeros(80, np.int64)) == 1
    assert paired_test(right, right, np.arange(80)) == 1


def giving(answer: NDArray[np.float32]) -> Classify:
    """What gives these probabilities for any picture."""
    return lambda batch: np.repeat(answer[None], len(batch), axis=0)


@pytest.mark.parametrize("wrong", ["the checkpoint", "the ONNX file", "both"])
def test_what_is_no_number_agrees_with_nothing(wrong: str) -> None:
    good = np.array([0.75, 0.25], np.float32)
    bad = np.array([np.nan, np.nan], np.float32)
    expected = good if wrong == "the ONNX file" else bad
    found = good if wrong == "the checkpoint" else bad
    same, difference = agreement(expected[None], found[None])
    assert not same
    assert not difference <= 1
    with pytest.raises(UserError, match="wrong for a batch of 1"):
        check_batches(giving(found), np.zeros((6, 6, 3), np.uint8), giving(expected))


def test_an_int8_file_that_gives_no_numbers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is no number, the first class would count as the answer."""
    ids = [str(number) for number in range(100)]
    images = cast("ImageStore", dict.fromkeys(ids, np.zeros((6, 6, 3), np.uint8)))
    first = np.zeros(100, np.int64)
    tested = Tested(images, ids, first, np.tile(np.array([0.75, 0.25], np.float32), (100, 1)))
    monkeypatch.setattr(onnx_files, "quantize", lambda *_: [])
    monkeypatch.setattr(onnx_files, "open_onnx", lambda _: giving(np.full(2, np.nan, np.float32)))
    with pytest.raises(UserError, match=r"int8 loses 100.00% of accuracy"):
        _write_int8(tested, tmp_path / "fp32.onnx", [], tmp_path / "int8.onnx", {})


def test_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    """JSON has none, and others read these files."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "scores.json", {"accuracy": math.nan})
    assert not list(tmp_path.iterdir())


def test_a_name_in_a_table_is_no_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1", "@SUM(A1)", "-2+3", "-1", "cat"]
    write_csv(pd.DataFrame({"class": names, "confidence": -0.5}), tmp_path / "table.csv")
    written = (tmp_path / "table.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in written] == ["'=1+1", "'@SUM(A1)", "'-2+3", "-1", "cat"]
