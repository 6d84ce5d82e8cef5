"""Scores of a detector, against values worked out by hand and against COCO's own evaluation."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from springfield.images.store import write_images
from springfield.learning.curves import curves_plot
from springfield.machine.paths import Paths
from springfield.scoring.calibration import f1_threshold
from springfield.stages.detection import network
from springfield.stages.detection.evaluate import EvaluateParams, run
from springfield.stages.detection.network import Architecture, Detections, Detector
from springfield.stages.detection.params import DetectionParams
from springfield.stages.detection.scores import (
    Answers,
    Boxes,
    average_precisions,
    coco_scores,
    matches,
    scores,
)

from .stage import CPU

CLASSES = ["bart", "lisa"]
FIRST, SECOND, THIRD = [10, 10, 20, 20], [30, 30, 40, 40], [0, 0, 10, 10]
NARROW, AWAY = [30, 30, 40, 36.2], [50, 50, 60, 60]
"""At an IoU of 0.62 with the second, and of 0 with all."""

Frame = tuple[list[tuple[int, Any]], list[tuple[int, Any, float]]]
"""Labelled boxes (class, corners), and found ones (and score)."""
BY_HAND: list[Frame] = [
    ([(0, FIRST)], [(0, FIRST, 0.9), (0, FIRST, 0.6)]),
    ([(0, SECOND)], [(0, AWAY, 0.8), (0, NARROW, 0.7)]),
    ([(0, THIRD)], [(1, THIRD, 0.5)]),
]


def answers(frames: list[Frame], groups: list[int] | None = None) -> Answers:
    def columns(rows: list[Any], column: int, *shape: int) -> NDArray[Any]:
        return np.array([row[column] for row in rows]).reshape(len(rows), *shape)

    truth = Boxes.of(
        [columns(labelled, 1, 4) for labelled, _ in frames],
        [columns(labelled, 0).astype(int) for labelled, _ in frames],
    )
    found = Boxes.of(
        [columns(rows, 1, 4) for _, rows in frames],
        [columns(rows, 0).astype(int) for _, rows in frames],
        [columns(rows, 2) for _, rows in frames],
    )
    return Answers(truth, found, np.array(groups or range(len(frames))), matches(truth, found))


def drawn(frames: int, seed: int, classes: int = 3, digits: int = 6) -> list[Frame]:
    """Some boxes a frame, half of which are found about where they are."""
    rng = np.random.default_rng(seed)

    def box() -> NDArray[np.float64]:
        corner = rng.integers(0, 100, 2)
        return np.concatenate([corner, corner + rng.integers(8, 120, 2)]) * 1.0

    made: list[Frame] = []
    for _ in range(frames):
        labelled = [(int(rng.integers(classes)), box()) for _ in range(rng.integers(0, 4))]
        near = [
            (label, where + rng.normal(0, 4, 4) * [1, 1, 0, 0], round(rng.random(), digits))
            for label, where in labelled * 2
            if rng.random() < 0.7
        ]
        far = [(int(rng.integers(classes)), box(), round(rng.random(), digits)) for _ in range(3)]
        made.append((labelled, near + far))
    return made


def measured(given: Answers, threshold: float = 0.65) -> tuple[dict[str, Any], list[Any], Any]:
    return scores(given, CLASSES, threshold, np.random.default_rng(0))


def test_scores_of_three_frames_are_those_worked_out_by_hand() -> None:
    """Right, wrong, right, and the first one again, of three labelled.

    34 of COCO's 101 recalls are reached at a precision of 1, and 33 more at 2/3; from an IoU of
    0.65 on the first ones alone.
    """
    found, by_class, by_size = measured(answers(BY_HAND))
    assert (found["n"], found["boxes"]) == (3, 3)
    assert found["map50"] == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-3)
    assert found["map"] == pytest.approx((3 * (34 + 33 * 2 / 3) + 7 * 34) / 10 / 101, abs=1e-3)
    assert found["found"] == found["recall_at_1"] == pytest.approx(1 / 3)
    assert found["frame_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert by_class[0]["map50"] == found["map50"]
    assert (by_class[1]["n"], by_class[1]["map50"], by_class[1]["recall"]) == (0, None, None)
    assert (by_size["small"]["n"], by_size["small"]["map50"]) == (3, found["map50"])
    assert by_size["large"] == {"n": 0, "map50": None, "map": None}


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([([], []), ([], [])], {"map50": None, "found": None, "f1": None, "frame_f1": 1.0}),
        ([([], [(0, FIRST, 0.9)])], {"map50": None, "recall": None, "frame_f1": 0.0}),
        ([([(0, FIRST)], [])], {"map50": 0.0, "found": 0.0, "precision": None, "frame_f1": 0.0}),
        (
            [([(0, FIRST)], [(0, FIRST, 0.9)]), ([], [])],  # a background frame
            {"map50": 1.0, "found": 1.0, "f1": 1.0, "frame_f1": 1.0},
        ),
        (
            [([(0, FIRST)], [(1, FIRST, 0.9)])],  # each class on one side only
            {"map50": 0.0, "found": 0.0, "precision": 0.0, "recall": 0.0},
        ),
        (
            [([(0, FIRST), (0, SECOND)], [(0, FIRST, 0.9), (0, FIRST, 0.9), (0, SECOND, 0.9)])],
            {"precision": 2 / 3, "recall": 1.0, "found": 1.0},  # ties
        ),
        (
            [([(0, FIRST)], [(1, AWAY, 0.9), (0, FIRST, 0.5), (0, AWAY, 0.4)])],  # lisa is surer
            {"found": 0.0, "recall_at_1": 1.0, "recall": 0.0},
        ),
    ],
)
def test_frames_without_boxes_or_answers_have_scores(
    frames: list[Frame], expected: dict[str, Any]
) -> None:
    found = measured(answers(frames))[0]
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "digits"), [(1, 6), (3, 6), (7, 1)])
def test_average_precision_is_counted_again_as_coco_counts_it(classes: int, digits: int) -> None:
    """Also of frames that a draw has several times, or not at all; with one digit, scores tie."""
    frames = drawn(60, seed=classes, classes=classes, digits=digits)
    given = answers(frames)
    official = coco_scores(given.truth, given.found, len(frames), classes)[0, :, 0]
    assert average_precisions(given, classes, np.ones((1, 60)))[0] == pytest.approx(
        official, abs=1e-6, nan_ok=True
    )
    if digits > 1:
        weights = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60)) * 1.0
        copies = answers([f for f, w in zip(frames, weights, strict=True) for _ in range(int(w))])
        repeated = coco_scores(copies.truth, copies.found, 60, classes)[0, :, 0]
        assert average_precisions(given, classes, weights[None])[0] == pytest.approx(
            repeated, abs=1e-6, nan_ok=True
        )


@pytest.mark.parametrize("seed", range(3))
def test_recall_at_1_is_that_of_coco_with_one_detection(seed: int) -> None:
    given = answers(drawn(60, seed, classes=2))
    coco = MeanAveragePrecision(
        iou_thresholds=[0.5], max_detection_thresholds=[1, 10, 100], extended_summary=True,
        backend="faster_coco_eval",
    )  # fmt: skip
    coco.update(given.found.by_frame(60), given.truth.by_frame(60))
    of_classes = coco.compute()["recall"][0, :, 0, 0].numpy()
    labelled = np.bincount(given.truth.labels)
    expected = (of_classes * labelled).sum() / labelled.sum()
    assert 0 < expected < measured(given, 0.0)[0]["recall"]
    assert measured(given)[0]["recall_at_1"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_has_the_highest_mean_f1_of_frames(seed: int) -> None:
    given = answers(drawn(20, seed, digits=1 + seed))
    wanted = np.bincount(given.truth.frames, minlength=20)
    found = f1_threshold(given.found.frames, given.found.scores, given.right, wanted)
    every = [given.f1(score).mean() for score in [*given.found.scores, 2.0]]
    assert given.f1(found).mean() == pytest.approx(max(every))


def test_where_no_answer_is_right_none_is_best() -> None:
    frames = [([(0, FIRST)], [(0, AWAY, 0.9)]), ([], [(0, AWAY, 0.8)])]
    given = answers(cast(list[Frame], frames))
    assert f1_threshold(given.found.frames, given.found.scores, given.right, np.array([1, 0])) == 1


def test_intervals_hold_the_scores_and_are_wider_where_frames_are_copies() -> None:
    frames = drawn(30, seed=1, classes=2)
    copies = [frame for frame in frames for _ in range(4)]
    shots, alone = (
        measured(answers(copies, groups.tolist()), 0.3)[0]
        for groups in (np.arange(120) // 4, np.arange(120))
    )
    for name in ("map50", "found", "recall_at_1", "f1", "frame_f1", "precision", "recall"):
        assert alone[name] == shots[name]
        assert 0 <= shots[f"{name}_low"] < shots[name] < shots[f"{name}_high"] <= 1
        widths = [found[f"{name}_high"] - found[f"{name}_low"] for found in (shots, alone)]
        assert widths[0] > 1.4 * widths[1], name


def shots(count: int, rng: np.random.Generator) -> Answers:
    """Shots of three frames with one labelled box each, easier or harder to find all three."""
    frames: list[Frame] = []
    for found in np.repeat(rng.beta(1.6, 0.4, count), 3):
        right = [(0, FIRST, rng.beta(5, 2))] * int(rng.random() < found)
        wrong = [(0, AWAY, rng.beta(2, 4))] * int(rng.random() < 0.5)
        frames.append(([(0, FIRST)], right + wrong))
    return answers(frames, (np.arange(3 * count) // 3).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 40, 100])
def test_95_of_100_intervals_of_average_precision_hold_it(count: int) -> None:
    rng = np.random.default_rng(count)
    true = average_precisions(shots(3000, rng), 1, np.ones((1, 9000)))[0, 0]
    held = []
    for _ in range(120):
        found = measured(shots(count, rng))[0]
        held.append(found["map50_low"] <= true <= found["map50_high"])
    assert np.mean(held) == pytest.approx(0.95, abs=0.04)


def test_where_all_is_found_the_intervals_have_a_width() -> None:
    found, by_class, _ = measured(answers([([(0, FIRST)], [(0, FIRST, 0.9)])] * 5))
    assert found["map50"] == 1
    assert found["map50_high"] == pytest.approx(1)
    assert found["map50_low"] == pytest.approx(by_class[0]["map50_low"])
    assert 0.5 < found["map50_low"] < 0.8


class Eye(Detector):
    """Finds red and blue things on black; sees one of ten frames wrongly."""

    def detect(self, pixels: Tensor) -> Detections:
        """The box around what is red, or blue."""
        found: tuple[list[Tensor], list[float], list[int]] = ([], [], [])
        for picture in pixels:
            for label, channel in enumerate((0, 2)):
                rows, columns = torch.nonzero(picture[channel] > 127, as_tuple=True)
                there = len(rows) > 0
                box = torch.zeros(4)
                if there:
                    ends = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                    box = torch.stack(ends).float()
                found[0].append(box - (30 if int(picture[1].max()) > 127 else 0))
                found[1].append(0.9 - 0.1 * label if there else 0.0)
                found[2].append(label)
        n, (boxes, sure, labels) = len(pixels), found
        return Detections(
            torch.stack(boxes).view(n, 2, 4),
            torch.tensor(sure).view(n, 2),
            torch.tensor(labels).view(n, 2),
        )


def evaluate(paths: Paths, pictures: list[NDArray[np.uint8]], boxes: list[list[Any]]) -> Paths:
    """Run the stage with the eye: a third of the pictures is train, a third val, a third test."""
    for folder in (paths.images.parent, paths.training):
        folder.mkdir(parents=True)
    rows = [
        {
            "id": f"f{number}", "class": found[-1][0] if found else "", "sha256": str(number),
            "source": f"a.zip!{number}.png", "official_split": "", "boxes": json.dumps(found),
            "split": ("train", "val", "test")[3 * number // len(boxes)], "group": number // 2,
        }
        for number, found in enumerate(boxes)
    ]  # fmt: skip
    named = [(str(row["id"]), picture) for row, picture in zip(rows, pictures, strict=True)]
    write_images(paths.images, named)
    table = pd.DataFrame(rows)
    table.drop(columns=["split", "group"]).to_csv(paths.index, index=False)
    table[["id", "split", "group"]].to_csv(paths.split, index=False)
    losses = ("train_loss", "val_loss", "lr", "lr_first_layer")
    pd.DataFrame({"epoch": [0], **dict.fromkeys(losses, 1.0), "val_map50": 0.5}).to_csv(
        paths.training / "metrics.csv", index=False
    )
    pd.DataFrame({"epoch": [0], "images_per_second": 9.0, "waiting_share": 0.1}).to_csv(
        paths.training / "speed.csv", index=False
    )
    eye = Eye(Architecture("resnet10t", 64, [0.5] * 3, [0.25] * 3, CLASSES, 32, 2, 0.6))
    params = SimpleNamespace(seed=1, evaluate=EvaluateParams(baseline=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "load_checkpoint", lambda folder: eye.eval())
        run(cast(DetectionParams, params), paths, CPU)
    return paths


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The stage run on 60 pictures of several sizes, with at most one thing of each class."""
    paths, rng = Paths.within(tmp_path_factory.mktemp("evaluated")), np.random.default_rng(0)
    pictures, rows = [], []
    for number in range(60):
        image = np.zeros((64, 64 + 32 * (number % 2), 3), np.uint8)
        boxes = []
        for label, channel in [(0, 0), (1, 2)][: number % 4]:
            x, y = 32 * label + rng.integers(0, 8), rng.integers(0, 30)
            width, height = rng.integers(12, 24, 2)
            image[y : y + height, x : x + width, channel] = 255
            boxes.append([CLASSES[label], *map(float, (x, y, x + width, y + height))])
        if number % 10 == 9:
            image[..., 1] = 255
        pictures.append(image)
        rows.append(boxes)
    return evaluate(paths, pictures, rows)


def test_evaluate_writes_scores_tables_and_pictures(evaluated: Paths) -> None:
    metrics = json.loads(evaluated.metrics.read_text())
    folder, test = evaluated.evaluation, metrics["test"]
    assert (test["n"], metrics["val"]["n"]) == (20, 20)
    assert 0.5 < test["map"] <= test["map50"] < 1
    assert test["map50"] > metrics["baseline"]["map50"]
    assert 0 <= metrics["baseline"]["found"] <= metrics["baseline"]["placed"] <= 1
    assert 0 <= metrics["baseline"]["named_found"] <= metrics["baseline"]["named"] == 1
    assert [row["class"] for row in metrics["per_class"]["test"]] == CLASSES
    threshold = json.loads(evaluated.calibration.read_text())["threshold"]
    assert 0 < threshold < 0.9
    predictions = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    assert [*predictions.columns[:4]] == ["id", "group", "score", "boxes"]
    assert predictions["score"].mean() == pytest.approx(test["frame_f1"], abs=1e-5)
    nothing = predictions["boxes"] == "[]"
    assert set(predictions.loc[nothing, "class"]) == {"background"}
    page = (folder / "mistakes.html").read_text()
    assert page.count("<figure>") == (predictions["score"] < 1).sum() > 0
    assert "a.zip!49.png" in page
    assert '<code class="whole">49</code>' in page  # its hash, here
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {
        f"{n}.png" for n in ("curves", "examples", "feature_maps", "precision_recall")
    }
    curve = pd.read_csv(folder / "precision_recall.csv")
    assert curve["recall"].is_monotonic_increasing
    assert curve["precision"].iloc[0] <= 1


def test_coco_reads_what_was_found_and_comes_to_the_same_scores(evaluated: Paths) -> None:
    labelled = COCO(str(evaluated.evaluation / "instances.json"))
    found = labelled.loadRes(str(evaluated.evaluation / "detections.json"))
    official = COCOeval_faster(labelled, found, "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    test = json.loads(evaluated.metrics.read_text())["test"]
    assert official.stats[0] == pytest.approx(test["map"], abs=1e-6)
    assert official.stats[1] == pytest.approx(test["map50"], abs=1e-6)
    assert [labelled.cats[number]["name"] for number in (1, 2)] == CLASSES


def test_baselines_tell_what_the_place_adds(tmp_path: Path) -> None:
    """All at about the same place; of 20 test frames the eye names 15 rightly.

    13 of them are of the class that is the most frequent in train: all that the mean box alone can
    be right of. COCO's precision at 6 of 8 is 0.75, at the last 13 of 18; the other class has 0.
    """
    pictures, boxes = [], []
    for number in range(60):
        seen = int(number % 10 >= 7)
        x, y = 20 + number % 3, 20 + number % 2
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[y : y + 20, x : x + 20, 2 * seen] = 255
        label = 1 - seen if number in (40, 41, 47, 50, 57) else seen
        pictures.append(picture)
        boxes.append([[CLASSES[label], *map(float, (x, y, x + 20, y + 20))]])
    found = json.loads(evaluate(Paths.within(tmp_path), pictures, boxes).metrics.read_text())
    baseline = found["baseline"]
    assert baseline["placed"] == 1
    assert baseline["named"] == baseline["named_found"] == found["test"]["found"] == 15 / 20
    assert baseline["found"] == baseline["recall_at_1"] == 13 / 20
    assert baseline["named_recall_at_1"] == 15 / 20
    assert baseline["map50"] == pytest.approx((6 * 0.75 + 7 * 13 / 18) / 13 / 2, abs=0.01)
    assert baseline["named_map50"] == pytest.approx(found["test"]["map50"])
    assert baseline["named_map"] < found["test"]["map"]


def test_curves_show_each_part_of_the_loss(
    evaluated: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = ("train_class_loss", "train_box_loss", "train_quality_loss")
    metrics = pd.read_csv(evaluated.training / "metrics.csv").assign(**dict.fromkeys(parts, 0.5))
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    shutil.copy(evaluated.training / "speed.csv", tmp_path)
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    curves_plot(tmp_path, tmp_path / "curves.png")
    labels = [line.get_label() for line in drawn[0].axes[0].lines]
    assert labels == [name.replace("_", " ") for name in ("train_loss", "val_loss", *parts)]
