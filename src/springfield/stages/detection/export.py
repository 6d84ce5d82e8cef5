"""Stage export: an artifact that runs anywhere, proven equal to the checkpoint."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from springfield.files import atomic, sha256, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.images.dataset import BoxedSide
    from springfield.images.store import ImageStore
    from springfield.stages.detection.params import DetectionParams

TOLD = ("data", "split", "augment", "model", "optimizer", "train")
"""The params that the model's card tells."""
NEEDS = ("seed", "export", *TOLD)
CARD = Path(__file__).with_name("card.md.jinja")
HUB_TASK = "object-detection"
HUB_METRICS = {"mAP@0.5": "map50", "mAP@0.5:0.95": "map"}
OUTPUTS = ("boxes", "scores", "labels")
LAYERS = ("Conv",)
"""Those with weights; the only matrix products are those of non-maximum suppression."""
FLOAT_ENDS = (0, 2, 4)
"""Layers at either end, where they are most sensitive, that int8 keeps in float; first none. The
last four are the head; with more, Inception v3 is not 1.5 times as fast as in fp32."""
MAX_PIXELS, MAX_SCORE = 0.5, 1e-3
"""By how much a box of the file and one of the checkpoint may differ, in corners and in score."""
MIN_AGREEMENT = 0.999
"""Share of the boxes that both have: two that overlap nearly as much as is allowed may hide each
other in the one and not in the other."""
MAX_INT8_LOSS = 0.01
"""Of the mean average precision at IoU 0.5, by int8."""
SIDES = ("val", "test", "official_test")


@dataclass
class ExportParams:
    """How the network is written."""

    opset: Annotated[int, Field(ge=18, le=22)]
    """Version of ONNX's operators."""
    calibration: PositiveInt
    """Train frames that the int8 model's ranges are measured on."""


class Found(NamedTuple):
    """What is found in one picture."""

    boxes: NDArray[np.float32]
    """x1 y1 x2 y2: K x 4."""
    scores: NDArray[np.float32]
    """K, the highest first; 0: no box."""
    labels: NDArray[np.int64]
    """K."""


Find = Callable[[NDArray[np.uint8]], list[NDArray[Any]]]
"""From a batch of pictures (N x H x W x 3) to boxes, scores and labels."""


@dataclass(frozen=True)
class Tested:
    """The frames that the files are compared on."""

    images: "ImageStore"
    side: "BoxedSide"
    classes: int

    def found(self, find: Find, what: str) -> list[Found]:
        """What is found in each of them."""
        ids = track(self.side.ids, f"Testing {what}")
        return [Found(*(out[0] for out in find(self.images[i][None]))) for i in ids]

    def map50(self, found: list[Found]) -> float:
        """COCO's mean average precision at IoU 0.5; 0 where nothing is labelled."""
        from springfield.stages.detection.scores import Boxes, coco_scores

        truth = Boxes.of(self.side.boxes, self.side.labels)
        boxes, scores, labels = (list(outputs) for outputs in zip(*found, strict=True))
        answers = Boxes.of(boxes, labels, scores)
        precisions = coco_scores(truth, answers, len(found), self.classes)[0, :, 0]
        return float(np.nanmean(precisions)) if np.isfinite(precisions).any() else 0.0


def run(params: "DetectionParams", paths: Paths, machine: Machine) -> None:
    """Write the detector as ONNX, in fp32 and int8, and compare both with the checkpoint.

    Resizing, normalisation and non-maximum suppression are inside the files. Their metadata (each
    value JSON, but for the hashes) are `task`, `classes`, `threshold`, `iou`, `metrics` and the
    hashes `data`, `params` and `code`. Writes also the description, the card, and a report.

    Raises:
        UserError: the file in fp32 does not do what the checkpoint does.
    """
    import torch

    from springfield.artifacts.card import model_card
    from springfield.artifacts.onnx_files import open_outputs, write_onnx
    from springfield.images.dataset import read_boxes
    from springfield.images.store import ImageStore
    from springfield.learning.checkpoint import made_from, trained_in
    from springfield.stages.detection.network import load_checkpoint

    model = load_checkpoint(paths.checkpoint)
    classes, sides = read_boxes(paths.index, paths.split)
    scores = json.loads(paths.metrics.read_text())
    hashes = made_from(paths.checkpoint)
    contract = {
        "task": "detection",
        "classes": model.architecture.classes,
        "threshold": json.loads(paths.calibration.read_text())["threshold"],
        "iou": model.architecture.iou,
        "metrics": {side: scores[side] for side in SIDES if side in scores},
    }
    metadata = {name: json.dumps(value) for name, value in contract.items()} | hashes

    def checkpoint(batch: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            return [part.numpy() for part in model(torch.from_numpy(batch))]

    tested = Tested(ImageStore(paths.images), sides["test"], len(classes))
    expected = tested.found(checkpoint, "the checkpoint")
    first = tested.images[tested.side.ids[0]]
    with atomic(paths.onnx) as fp32, atomic(paths.int8) as int8:
        with console.status("Writing ONNX"):
            write_onnx(model, first, params.export.opset, fp32, metadata, OUTPUTS)
        _check_batches(open_outputs(fp32), first, checkpoint)
        proof = _prove(expected, tested.found(open_outputs(fp32), "ONNX fp32"))
        calibrating = _calibrating(params, tested.images, sides["train"].ids)
        quantized = _write_int8(tested, tested.map50(expected), fp32, calibrating, int8, metadata)
    with atomic(paths.static, directory=True) as partial:
        write_json(partial / "model.json", {})  # accelerators are for classifiers
    described = {
        **contract,
        "scores": ["map50", "map"],
        **_interface(model.architecture.input_size, len(expected[0].scores)),
        "backbone": model.architecture.backbone,
        "files": {file.name: sha256(file) for file in (paths.onnx, paths.int8)},
        "made_from": hashes,
        "run_id": json.loads(paths.run.read_text())["run_id"] if paths.run.exists() else "",
    }
    files = {"fp32": paths.onnx, "int8": paths.int8}
    report = {
        "test_frames": len(tested.side.ids),
        **proof,
        **quantized,
        "megabytes": {kind: round(file.stat().st_size / 1e6, 1) for kind, file in files.items()},
    }
    write_json(paths.description, described)
    write_json(paths.export_report, report)
    with atomic(paths.card) as partial:
        frames = {side: len(content.ids) for side, content in sides.items()}
        chosen = {name: asdict(getattr(params, name)) for name in TOLD}
        chosen["train"]["precision"] = trained_in(paths.checkpoint)  # instead of auto
        text = model_card(CARD, HUB_TASK, HUB_METRICS, chosen, described, scores, report, frames)
        partial.write_text(text)


def _check_batches(found: Find, image: NDArray[np.uint8], checkpoint: Find) -> None:
    """Batches of any size, and pictures of any size, must give what the checkpoint gives.

    Raises:
        UserError: they do not.
    """
    for count, view in ((1, image), (2, image), (5, image[::2, 1::3])):
        batch = np.repeat(view[None], count, axis=0)
        result, expected = found(batch), Found(*(out[0] for out in checkpoint(batch[:1])))
        rows = [Found(*(out[row] for out in result)) for row in range(len(result[0]))]
        if len(rows) != count or agreement([expected] * count, rows)[0] < 1:
            raise UserError(f"export: the ONNX file is wrong for a batch of {count} pictures")


def _prove(expected: list[Found], found: list[Found]) -> dict[str, float]:
    """How far a file agrees with the checkpoint.

    Raises:
        UserError: too little.
    """
    same, pixels, score = agreement(expected, found)
    if not same >= MIN_AGREEMENT:
        raise UserError(
            f"export: the ONNX file is not the checkpoint: of all boxes only {same:.2%} are the "
            f"same within {MAX_PIXELS} pixels and {MAX_SCORE} of the score"
        )
    return {"same_boxes": same, "largest_difference_pixels": pixels, "largest_difference": score}


def agreement(expected: list[Found], found: list[Found]) -> tuple[float, float, float]:
    """The share of boxes that two have in common, and their largest differences.

    A box is in the other where that has one of its class that differs by no more than `MAX_PIXELS`
    and `MAX_SCORE`, at whatever place: boxes of the same score have no order. Those that are hardly
    better than the last one may lack, since others may have taken the last of the K places. What
    is no number is no box.

    Returns:
        the share, and the largest differences of a corner, in pixels, and of a score.
    """
    same, of, pixels, score = 0, 0, 0.0, 0.0
    for a, b in zip(expected, found, strict=True):
        corners = np.abs(a.boxes[:, None] - b.boxes).max(-1)
        scores = np.abs(a.scores[:, None] - b.scores)
        equal = (corners <= MAX_PIXELS) & (scores <= MAX_SCORE) & (a.labels[:, None] == b.labels)
        equal &= (a.scores > 0)[:, None] & (b.scores > 0)
        for of_one, has in ((a.scores, equal.any(1)), (b.scores, equal.any(0))):
            lowest = of_one[of_one > 0].min(initial=np.inf)
            counted = has | ~(of_one <= lowest + MAX_SCORE)
            same, of = same + int(has.sum()), of + int(counted.sum())
        nearest = np.where(equal, corners, np.inf).argmin(1)
        rows = np.flatnonzero(equal.any(1))
        pixels = max(pixels, corners[rows, nearest[rows]].max(initial=0.0))
        score = max(score, scores[rows, nearest[rows]].max(initial=0.0))
    return same / max(1, of), float(pixels), float(score)


def _calibrating(
    params: "DetectionParams", images: "ImageStore", ids: list[str]
) -> list[NDArray[np.uint8]]:
    """The train frames that int8's ranges are measured on, each a batch."""
    rng = np.random.default_rng(params.seed)
    count = min(params.export.calibration, len(ids))
    return [images[i][None] for i in rng.choice(ids, count, replace=False).tolist()]


def _write_int8(
    tested: Tested,
    expected: float,
    fp32: Path,
    calibrating: list[NDArray[np.uint8]],
    path: Path,
    metadata: dict[str, str],
) -> dict[str, Any]:
    """Quantise the network, as much of it as keeps its precision; what the report says of that.

    Where none of it does, the file is the one in fp32, and the report says why.
    """
    from springfield.artifacts.onnx_files import open_outputs, quantize

    tried = {}
    for ends in FLOAT_ENDS:
        kept = quantize(fp32, calibrating, path, metadata, ends, LAYERS)
        tried[ends] = tested.map50(tested.found(open_outputs(path), "ONNX int8"))
        if expected - tried[ends] <= MAX_INT8_LOSS + 1e-9:
            break
    else:
        path.write_bytes(fp32.read_bytes())
        why = (
            f"int8 loses {expected - max(tried.values()):.2%} of mAP50 at best, more than "
            f"{MAX_INT8_LOSS:.0%}: its file is the one in fp32"
        )
        console.print(why, highlight=False)
        return {"map50": {"checkpoint": expected, "int8": expected}, "no_int8": why}
    if kept:
        console.print(f"int8 keeps {len(kept)} sensitive layers in float", highlight=False)
    map50 = {"checkpoint": expected, "int8": tried[ends]}
    return {"map50": map50, "int8_layers_in_float": kept}


def _interface(size: int, most: int) -> dict[str, Any]:
    return {
        "input": {
            "name": "image", "dtype": "uint8", "shape": ["N", "H", "W", 3], "channels": "RGB",
            "size": "any; resized inside to a square",
            "network_size": size,
        },
        "outputs": [
            {
                "name": "boxes", "dtype": "float32", "shape": ["N", most, 4],
                "means": "x1 y1 x2 y2 in pixels of the given picture, which they do not leave",
            },
            {
                "name": "scores", "dtype": "float32", "shape": ["N", most],
                "means": "0 to 1, the highest first; 0: no box, only filled up",
            },
            {
                "name": "labels", "dtype": "int64", "shape": ["N", most],
                "means": "positions in classes",
            },
        ],
        "suppression": "done inside: boxes of a class that overlap by more than iou are one",
    }  # fmt: skip
