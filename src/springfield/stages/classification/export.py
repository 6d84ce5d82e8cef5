"""Stage export: an artifact that runs anywhere, proven equal to the checkpoint."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from springfield.files import atomic, sha256, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.artifacts.onnx_files import Classify
    from springfield.images.store import ImageStore
    from springfield.stages.classification.network import Classifier
    from springfield.stages.classification.params import ClassificationParams as Params

TOLD = ("data", "split", "augment", "model", "optimizer", "train")
"""The params that the model's card tells."""
NEEDS = ("seed", "export", *TOLD)
CARD = Path(__file__).with_name("card.md.jinja")
HUB_TASK = "image-classification"
HUB_METRICS = {"accuracy": "accuracy", "f1": "macro_f1"}
MIN_AGREEMENT = 0.999
MAX_INT8_LOSS = 0.003
MAX_INT8_FRAMES = 2
SIDES = ("val", "test", "official_test")
TRITON = """name: "springfield"
backend: "onnxruntime"
max_batch_size: 0
input [{{ name: "pixels", data_type: TYPE_FP32, dims: [{}] }}]
output [{{ name: "logits", data_type: TYPE_FP32, dims: [{}] }}]
"""
"""Of NVIDIA's server; the batch is among the dims."""
FLOAT_ENDS = (0, 1, 4, 16)
"""Layers at either end, where they are most sensitive, that int8 keeps in float; first none."""


@dataclass
class ExportParams:
    """How the network is written."""

    opset: Annotated[int, Field(ge=18, le=22)]
    """Version of ONNX's operators."""
    calibration: PositiveInt
    """Train frames that the int8 model's ranges are measured on."""
    static: NonNegativeInt
    """Pictures of a batch of a third file, for accelerators that want all sizes fixed; 0: none."""


@dataclass(frozen=True)
class Tested:
    """The frames that the files are compared on, and what the checkpoint says of them."""

    images: "ImageStore"
    ids: list[str]
    labels: NDArray[np.int64]
    expected: NDArray[np.float32]
    """Probabilities (N x classes)."""

    def accuracy(self, probabilities: NDArray[np.float32]) -> float:
        """Of what another file, or the checkpoint, says; what is no number is wrong."""
        from springfield.stages.classification.scores import scores

        named = np.where(np.isfinite(probabilities).all(1), probabilities.argmax(1), -1)
        return float(scores(self.labels, named)["accuracy"])


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Write the network as ONNX, in fp32 and int8, and compare both with the checkpoint.

    Resizing, normalisation and temperature are inside the files. Their metadata (each value JSON,
    but for the hashes) are `classes`, `threshold`, `metrics` and the hashes `data`, `params` and
    `code`. Writes also the description (metadata, the files' hashes, the run), the card (the same
    for people, as model hubs read it), and a report of how far files and checkpoint agree.

    Raises:
        UserError: an exported file does not do what the checkpoint does.
    """
    import torch

    from springfield.artifacts.card import model_card
    from springfield.artifacts.onnx_files import write_onnx
    from springfield.images.dataset import read_split
    from springfield.images.store import ImageStore
    from springfield.learning.checkpoint import made_from, trained_in
    from springfield.stages.classification.network import Probabilities, load_checkpoint

    model = load_checkpoint(paths.checkpoint)
    _, sides = read_split(paths.index, paths.split)
    calibrated = json.loads(paths.calibration.read_text())
    scores = json.loads(paths.metrics.read_text())
    hashes = made_from(paths.checkpoint)
    contract = {
        "task": "classification",
        "classes": model.architecture.classes,
        "threshold": calibrated["threshold"],
        "metrics": {side: scores[side] for side in SIDES if side in scores},
    }
    metadata = {name: json.dumps(value) for name, value in contract.items()} | hashes
    network = Probabilities(model, calibrated["temperature"]).eval()

    def checkpoint(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).numpy(), np.float32)

    images, test = ImageStore(paths.images), sides["test"]
    expected = _predict(checkpoint, images, test.ids, "the checkpoint")
    tested = Tested(images, test.ids, test.labels, expected)
    with atomic(paths.onnx) as fp32, atomic(paths.int8) as int8:
        with console.status("Writing ONNX"):
            write_onnx(network, images[test.ids[0]], params.export.opset, fp32, metadata)
        same, difference = _prove(tested, checkpoint, fp32)
        calibrating = _calibrating(params, images, sides["train"].ids)
        accuracy, in_float = _write_int8(tested, fp32, calibrating, int8, metadata)
    with atomic(paths.static, directory=True) as partial:
        _write_static(model, calibrated["temperature"], tested, params.export, metadata, partial)
    described = {
        **contract,
        "scores": ["accuracy", "macro_f1"],
        "sure": calibrated["sure"],
        "promised": calibrated["promised"],
        **_interface(contract["classes"], model.architecture.input_size),
        "backbone": model.architecture.backbone,
        "files": {file.name: sha256(file) for file in (paths.onnx, paths.int8)},
        "made_from": hashes,
        "run_id": json.loads(paths.run.read_text())["run_id"] if paths.run.exists() else "",
    }
    files = {"fp32": paths.onnx, "int8": paths.int8}
    report = {
        "test_frames": len(test.ids),
        "top1_agreement": same,
        "largest_difference": difference,
        "accuracy": {"checkpoint": tested.accuracy(expected), "int8": accuracy},
        "megabytes": {kind: round(file.stat().st_size / 1e6, 1) for kind, file in files.items()},
        "int8_layers_in_float": in_float,
    }
    write_json(paths.description, described)
    write_json(paths.export_report, report)
    with atomic(paths.card) as partial:
        frames = {side: len(content.ids) for side, content in sides.items()}
        chosen = {name: asdict(getattr(params, name)) for name in TOLD}
        chosen["train"]["precision"] = trained_in(paths.checkpoint)  # instead of auto
        text = model_card(CARD, HUB_TASK, HUB_METRICS, chosen, described, scores, report, frames)
        partial.write_text(text)


def _prove(tested: Tested, checkpoint: "Classify", path: Path) -> tuple[float, float]:
    """How far a file agrees with the checkpoint: see `agreement`.

    Raises:
        UserError: too little.
    """
    from springfield.artifacts.onnx_files import check_batches, open_onnx

    classify = open_onnx(path)
    check_batches(classify, tested.images[tested.ids[0]], checkpoint)
    found = _predict(classify, tested.images, tested.ids, "ONNX fp32")
    return _same(tested.expected, found, "the ONNX file")


def _same(
    expected: NDArray[np.float32], found: NDArray[np.float32], what: str
) -> tuple[float, float]:
    from springfield.artifacts.onnx_files import MAX_DIFFERENCE, agreement

    same, difference = agreement(expected, found)
    if not (same >= MIN_AGREEMENT and difference <= MAX_DIFFERENCE):  # also if that is NaN
        raise UserError(
            f"export: {what} is not the checkpoint: top-1 agrees on {same:.2%}, "
            f"probabilities differ by up to {difference:.1g}"
        )
    return same, difference


def _calibrating(params: "Params", images: "ImageStore", ids: list[str]) -> list[NDArray[np.uint8]]:
    """The train frames that int8's ranges are measured on, each a batch."""
    rng = np.random.default_rng(params.seed)
    count = min(params.export.calibration, len(ids))
    return [images[i][None] for i in rng.choice(ids, count, replace=False).tolist()]


def _write_int8(
    tested: Tested,
    fp32: Path,
    calibrating: list[NDArray[np.uint8]],
    path: Path,
    metadata: dict[str, str],
) -> tuple[float, list[str]]:
    """Quantise the network, as much of it as keeps its accuracy; that, and the layers left out.

    Raises:
        UserError: none of it does.
    """
    from springfield.artifacts.onnx_files import open_onnx, quantize

    allowed = max(MAX_INT8_LOSS, MAX_INT8_FRAMES / len(tested.ids))
    expected = tested.accuracy(tested.expected)
    for ends in FLOAT_ENDS:
        kept = quantize(fp32, calibrating, path, metadata, ends)
        found = _predict(open_onnx(path), tested.images, tested.ids, "ONNX int8")
        accuracy = tested.accuracy(found)
        if expected - accuracy <= allowed + 1e-9:
            break
    else:
        raise UserError(
            f"export: int8 loses {expected - accuracy:.2%} of accuracy, more than "
            f"{allowed:.2%}; calibrate it on more frames (export.calibration)"
        )
    if kept:
        console.print(f"int8 keeps {len(kept)} sensitive layers in float", highlight=False)
    return accuracy, kept


def _write_static(
    model: "Classifier",
    temperature: float,
    tested: Tested,
    chosen: ExportParams,
    metadata: dict[str, str],
    folder: Path,
) -> None:
    """Write the network for accelerators as a model of Triton's, and prove it on the test frames.

    Raises:
        UserError: it does not do what the checkpoint does.
    """
    import torch
    from scipy.special import softmax

    from springfield.artifacts.onnx_files import open_onnx, write_static_onnx
    from springfield.stages.classification.network import Logits

    size, batch = model.architecture.input_size, chosen.static
    shape = (batch, 3, size, size)
    answer = (batch, len(model.architecture.classes))
    contract = {"input": {"pixels": shape}, "output": {"logits": answer}} if batch else {}
    write_json(folder / "model.json", {**contract, "temperature": temperature})
    if not batch:
        return
    path = folder / "triton/springfield/1/model.onnx"
    path.parent.mkdir(parents=True)
    dims = [", ".join(map(str, sizes)) for sizes in (shape, answer)]
    (path.parents[1] / "config.pbtxt").write_text(TRITON.format(*dims))
    with console.status("Writing ONNX for accelerators"):
        write_static_onnx(Logits(model).eval(), shape, chosen.opset, path, metadata)

    def seen(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(model.resize(torch.from_numpy(image)[None])[0].numpy())

    classify, found = open_onnx(path), []
    starts = range(0, len(tested.ids), batch)
    for start in track(starts, "Testing ONNX for accelerators"):
        pixels = np.zeros(shape, np.float32)
        ids = tested.ids[start : start + batch]
        pixels[: len(ids)] = [seen(tested.images[i]) for i in ids]
        found.append(classify(pixels)[: len(ids)])
    _same(tested.expected, softmax(np.concatenate(found) / temperature, axis=1), path.name)


def _interface(classes: list[str], size: int) -> dict[str, Any]:
    return {
        "input": {
            "name": "image", "dtype": "uint8", "shape": ["N", "H", "W", 3], "channels": "RGB",
            "size": "any; resized inside to a square",
            "network_size": size,
        },
        "output": {"name": "probabilities", "dtype": "float32", "shape": ["N", len(classes)]},
    }  # fmt: skip


def _predict(
    classify: "Classify", images: "ImageStore", ids: list[str], what: str
) -> NDArray[np.float32]:
    return np.concatenate([classify(images[i][None]) for i in track(ids, f"Testing {what}")])
