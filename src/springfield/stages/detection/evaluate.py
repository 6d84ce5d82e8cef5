"""Stage evaluate: the honest numbers, on one device, every frame counted once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springfield.files import atomic, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import track

if TYPE_CHECKING:
    from springfield.images.dataset import BoxedSide
    from springfield.images.store import ImageStore
    from springfield.stages.detection.network import Detector
    from springfield.stages.detection.params import DetectionParams as Params
    from springfield.stages.detection.scores import Answers, Boxes

NEEDS = ("seed", "evaluate")
SIDES = ("val", "test", "official_test")
BATCH = 32
SHOWN = 24
"""Test frames in the picture of examples."""
MISSES, HEIGHT = 100, 180
"""Shown on the page, and their height in pixels."""
BACKGROUND = "background"
"""In place of a class where nothing is labelled, or found."""


@dataclass
class EvaluateParams:
    """What is measured beside the network."""

    baseline: bool
    """Also the mean box of train with its most frequent class, and with those that the network
    names, to tell how much it adds."""


@dataclass(frozen=True)
class Tested:
    """What pictures and tables of test are made from."""

    ids: list[str]
    answers: "Answers"
    images: "ImageStore"
    classes: list[str]
    threshold: float

    def boxes(self, frame: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of a frame's labelled boxes, and of its found ones above the threshold."""
        truth, found = self.answers.truth, self.answers.found
        shown = (found.frames == frame) & (found.scores >= self.threshold)
        return np.flatnonzero(truth.frames == frame), np.flatnonzero(shown)


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Score the checkpoint on val and test; choose on val the score from which a box is shown.

    Writes: the scores of val, test and, if the data set has one that the split leaves out,
    `official_test`, the same by class and by size; the `threshold`, that of the highest mean F1 of
    the frames; found and labelled boxes as COCO's files; and pictures and tables, all of test but
    the training's curves.

    Raises:
        UserError: there is no checkpoint, or it gives no numbers.
    """
    from springfield.images.dataset import read_boxes
    from springfield.images.drawing.lettering import lettering
    from springfield.images.drawing.plots import write_csv
    from springfield.images.store import ImageStore
    from springfield.learning.curves import curves_plot
    from springfield.scoring.calibration import f1_threshold
    from springfield.stages.detection.network import load_checkpoint
    from springfield.stages.detection.plots import write_coco, write_plots

    model = load_checkpoint(paths.checkpoint).to(machine.hardware.device)
    images = ImageStore(paths.images)
    classes, sides = read_boxes(paths.index, paths.split)
    if classes != model.architecture.classes:
        raise UserError(
            "the checkpoint knows other classes than the data; 'springfield train' or 'dvc repro' "
            "makes one for them"
        )
    index = pd.read_csv(paths.index, dtype=str, keep_default_na=False).set_index("id")
    groups = pd.read_csv(paths.split, dtype=str).set_index("id")["group"].reindex(index.index)
    groups = groups.fillna(index["sha256"])  # of the official test set: each frame for itself
    answers = {s: _answers(model, images, sides[s], s, groups) for s in SIDES if s in sides}
    val = answers["val"]
    wanted = np.bincount(val.truth.frames, minlength=len(val.groups))
    threshold = f1_threshold(val.found.frames, val.found.scores, val.right, wanted)

    result = _result(answers, classes, threshold, np.random.default_rng(params.seed))
    if params.evaluate.baseline:
        result["baseline"] = _baselines(images, sides, answers["test"], classes, threshold)
    test = Tested(sides["test"].ids, answers["test"], images, classes, threshold)
    with atomic(paths.evaluation, directory=True) as partial, lettering(classes):
        predictions = _predictions(test, index, groups)
        write_csv(predictions, partial / "predictions.csv")
        frames = [(i, *images.size(i)) for i in test.ids]
        write_coco(test.answers, frames, classes, partial)
        _misses_page(test, predictions, index, partial / "mistakes.html")
        write_plots(test.answers, classes, partial)
        _looks(model, test, partial)
        curves_plot(paths.training, partial / "curves.png")
    write_json(paths.calibration, {"threshold": threshold})
    write_json(paths.metrics, result)


def _answers(
    model: "Detector", images: "ImageStore", side: "BoxedSide", name: str, groups: "pd.Series[str]"
) -> "Answers":
    """What is found in the frames of a side, each resized by the model itself as in the export.

    Raises:
        UserError: some boxes are no numbers, which no score would tell.
    """
    import torch

    from springfield.stages.detection.scores import Boxes

    device = model.mean.device
    boxes: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    with torch.inference_mode():
        for start in track(range(0, len(side.ids), BATCH), f"Evaluating {name}"):
            ids = side.ids[start : start + BATCH]
            arrays = [torch.from_numpy(images[i])[None] for i in ids]
            pixels = torch.cat([model.resize(array.to(device)) for array in arrays])
            found = model.detect(pixels)
            sizes = torch.tensor([images.size(i) * 2 for i in ids])  # as x1 y1 x2 y2
            scale = sizes[:, None] / model.architecture.input_size
            boxes.extend((found.boxes.cpu() * scale).numpy())
            scores.extend(found.scores.cpu().numpy())
            labels.extend(found.labels.cpu().numpy())
    assert len(boxes) == len(side.ids)
    pairs = zip(boxes, scores, strict=True)
    finite = [bool(np.isfinite(b).all() and np.isfinite(sure).all()) for b, sure in pairs]
    if bad := finite.count(False):
        raise UserError(
            f"the checkpoint gives no numbers for {bad} of {len(finite)} {name} frames; train it "
            "again with a lower optimizer.lr or another train.precision"
        )
    return _scored(side, Boxes.of(boxes, labels, scores), pd.factorize(groups[side.ids])[0])


def _scored(side: "BoxedSide", found: "Boxes", groups: NDArray[np.int64]) -> "Answers":
    from springfield.stages.detection.scores import Answers, Boxes, matches

    truth = Boxes.of(side.boxes, side.labels)
    return Answers(truth, found, groups, matches(truth, found))


def _result(
    answers: dict[str, "Answers"], classes: list[str], threshold: float, rng: np.random.Generator
) -> dict[str, Any]:
    """What `metrics.json` holds of each side, and of each class and size of it."""
    from springfield.stages.detection.scores import scores

    found = {side: scores(a, classes, threshold, rng) for side, a in answers.items()}
    return {
        **{side: every for side, (every, _, _) in found.items()},
        "per_class": {side: by_class for side, (_, by_class, _) in found.items()},
        "by_size": {side: by_size for side, (_, _, by_size) in found.items()},
        "primary": {"name": "map50", "higher": True},
    }


def _baselines(
    images: "ImageStore",
    sides: dict[str, "BoxedSide"],
    answers: "Answers",
    classes: list[str],
    threshold: float,
) -> dict[str, float | None]:
    """Test scores of the mean box of train, which tell how much it adds to find the place.

    Of the most frequent class of train; and (`named_map50`, ...) of each class that the detector
    sees in a frame, as sure as its best box of it: the detector as a classifier, which knows no
    place. `placed` and `named` are the shares of the frames with labels where the place is right,
    and where the surest class is.

    Args:
        images: all frames.
        sides: which of them are where, and their boxes.
        answers: what was found in test.
        classes: their names.
        threshold: the score from which on a box is shown.
    """
    from springfield.stages.detection.scores import IOU, Boxes, overlaps, scores

    train, test = sides["train"], sides["test"]
    sizes = {
        side: np.array([images.size(i) * 2 for i in sides[side].ids])  # as x1 y1 x2 y2
        for side in ("train", "test")
    }
    parts = np.concatenate([b / s for b, s in zip(train.boxes, sizes["train"], strict=True)])
    box, every = (parts.mean(0) * sizes["test"]).round(2), np.arange(len(test.ids))
    label = np.bincount(np.concatenate(train.labels), minlength=len(classes)).argmax()
    usual = Boxes(every, box, np.full(len(every), label), np.ones(len(every)))
    truth, found = answers.truth, answers.found
    seen, surest = found.frames * len(classes) + found.labels, found.surest
    frames = found.frames[surest]
    named = Boxes(frames, box[frames], found.labels[surest], found.scores[surest])
    result: dict[str, float | None] = {}
    names = ("map50", "map", "found", "recall_at_1", "f1")
    for prefix, boxes, lowest in (("", usual, 1.0), ("named_", named, threshold)):
        moved = _scored(test, boxes, answers.groups)
        reached = scores(moved, classes, lowest, np.random.default_rng(0))[0]
        result |= {prefix + name: reached[name] for name in names}
    labelled = np.unique(truth.frames)
    theirs, _, iou = overlaps(truth, usual)
    best = np.append(seen, -1)[answers.best()]
    right = np.isin(best[labelled], truth.frames * len(classes) + truth.labels)
    placed = len(np.unique(theirs[iou >= IOU]))
    shares = {"placed": placed, "named": int(right.sum())}
    return result | {name: hits / max(1, len(labelled)) for name, hits in shares.items()}


def _predictions(test: Tested, index: pd.DataFrame, groups: "pd.Series[str]") -> pd.DataFrame:
    """A frame a row; `predicted` is its best box, and `class` what that is for.

    If it is for none, `class` is the frame's rarest.
    """
    answers, nothing = test.answers, len(test.classes)
    names, best = np.array([*test.classes, BACKGROUND]), answers.best()
    rarest = index.loc[test.ids, "class"].replace("", BACKGROUND)
    true = np.append(answers.truth.labels, nothing)[np.append(answers.matched, -1)[best]]
    confidence = np.append(answers.found.scores, 0.0)[best]
    found = np.append(answers.found.labels, nothing)[best]
    return pd.DataFrame(
        {
            "id": test.ids,
            "group": groups[test.ids].to_list(),
            "score": answers.f1(test.threshold),
            "boxes": index.loc[test.ids, "boxes"].to_list(),
            "class": np.where(true < nothing, names[true], rarest),
            "predicted": names[np.where(confidence >= test.threshold, found, nothing)],
            "confidence": confidence,
        }
    )


def _misses_page(test: Tested, predictions: pd.DataFrame, index: pd.DataFrame, path: Path) -> None:
    from springfield.images.drawing.boxes import FOUND, LABELLED, draw_boxes
    from springfield.images.drawing.misses_page import write_misses_page
    from springfield.images.drawing.thumbnail import thumbnail

    truth, found = test.answers.truth, test.answers.found
    wrong = predictions[predictions["score"] < 1]
    worst = wrong.sort_values(["score", "confidence"], ascending=[True, False], kind="stable")
    shown = []
    for frame in worst.index[:MISSES]:
        name, (labelled, seen) = test.ids[frame], test.boxes(frame)
        picture = draw_boxes(test.images[name], truth.corners[labelled], colour=LABELLED)
        picture = draw_boxes(picture, found.corners[seen], colour=FOUND)
        sure = zip(found.labels[seen], found.scores[seen], strict=True)
        shown.append(
            {
                "picture": thumbnail(picture, HEIGHT),
                "labelled": [test.classes[label] for label in truth.labels[labelled]],
                "found": [f"{test.classes[label]} {score:.0%}" for label, score in sure],
                "f1": predictions["score"][frame],
                **index.loc[name, ["source", "sha256"]],
            }
        )
    write_misses_page(shown, len(wrong), len(predictions), path)


def _looks(model: "Detector", test: Tested, folder: Path) -> None:
    """Pictures of what the network finds in some test frames, and of what is inside it."""
    from springfield.stages.detection.inside import score_maps_plot
    from springfield.stages.detection.plots import examples_plot

    frames = np.linspace(0, len(test.ids) - 1, min(SHOWN, len(test.ids))).astype(int).tolist()
    pictures = [test.images[test.ids[frame]] for frame in frames]
    boxes = [test.boxes(frame) for frame in frames]
    fullest = max(range(len(frames)), key=lambda n: len(boxes[n][0]))
    figures = {
        "examples": examples_plot(pictures, boxes, test.answers, test.classes),
        "feature_maps": score_maps_plot(model, pictures[fullest], test.classes),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
