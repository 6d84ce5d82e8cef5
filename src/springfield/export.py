"""Stage export: an artifact that runs anywhere, proven equal to the checkpoint."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from springfield.errors import UserError
from springfield.files import atomic, sha256, write_json
from springfield.progress import console, track

if TYPE_CHECKING:
    from springfield.store import ImageStore

MIN_AGREEMENT = 0.999
MAX_DIFFERENCE = 1e-3
MAX_INT8_LOSS = 0.003
MAX_INT8_FRAMES = 2
SIDES = ("val", "test", "official_test")
LAYERS = ("Conv", "Gemm", "MatMul")
BETWEEN = ("Relu", "Concat", "MaxPool")
"""Quantised too, so that values stay whole numbers from layer to layer."""
FLOAT_ENDS = (0, 1, 4, 16)
"""Layers at either end, where they are most sensitive, that int8 keeps in float; first none."""


@dataclass
class ExportParams:
    """How the network is written."""

    opset: int
    """Version of ONNX's operators."""
    calibration: int
    """Train frames that the int8 model's ranges are measured on."""


def export(
    params: ExportParams,
    seed: int,
    chosen: dict[str, Any],
    *,
    checkpoint: Path,
    prepared: Path,
    split: Path,
    metrics: Path,
    calibration: Path,
    run: Path,
    onnx_file: Path,
    int8_file: Path,
    description: Path,
    card: Path,
    report: Path,
) -> None:
    """Write the network as ONNX, in fp32 and int8, and compare both with the checkpoint.

    The files take raw pixels (`image`: uint8, N x H x W x 3, RGB, any size) and give
    `probabilities` (float, N x classes): resizing, normalisation and temperature are inside.
    Their metadata (each value JSON, but for the hashes) are `classes`, `threshold`, `metrics` and
    the hashes `data`, `params` and `code`.

    Args:
        params: how the network is written.
        seed: of the frames that int8 is calibrated on.
        chosen: the params that the card tells: `data`, `split`, `augment`, `model`, `optimizer`,
            `train`.
        checkpoint: the folder that train wrote.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        metrics: the scores that evaluate wrote.
        calibration: the temperature and the threshold that evaluate wrote.
        run: the id of the run that train wrote.
        onnx_file: file to write: the network in fp32.
        int8_file: file to write: the network in int8.
        description: JSON file to write: the metadata, the files' hashes, the run.
        card: Markdown file to write: the same for people, as model hubs read it.
        report: JSON file to write: how far the files agree with the checkpoint.

    Raises:
        UserError: an exported file does not do what the checkpoint does.
    """
    import torch

    from springfield.frames import read_split
    from springfield.model import Probabilities, load_checkpoint, made_from
    from springfield.model_card import model_card
    from springfield.store import ImageStore

    model = load_checkpoint(checkpoint)
    classes, sides = read_split(prepared, split)
    calibrated = json.loads(calibration.read_text())
    network = Probabilities(model, calibrated["temperature"]).eval()
    images = ImageStore(prepared / "images.arrow")
    ids, labels = sides["test"].ids, sides["test"].labels
    hashes = made_from(checkpoint)
    scores = json.loads(metrics.read_text())
    contract = {
        "classes": classes,
        "threshold": calibrated["threshold"],
        "metrics": {side: scores[side] for side in SIDES if side in scores},
    }
    metadata = {name: json.dumps(value) for name, value in contract.items()} | hashes
    rng = np.random.default_rng(seed)
    count = min(params.calibration, len(sides["train"].ids))
    calibrating = rng.choice(sides["train"].ids, count, replace=False).tolist()

    def reference(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).numpy(), np.float32)

    with atomic(onnx_file) as fp32, atomic(int8_file) as int8:
        with console.status("Writing ONNX"):
            _write_onnx(network, images[ids[0]], params.opset, fp32, metadata)
        _check_batches(_session(fp32), images[ids[0]], reference)
        expected = _predict(reference, images, ids, "the checkpoint")
        found = _predict(_session(fp32), images, ids, "ONNX fp32")
        agreement, difference = _agreement(expected, found)
        if agreement < MIN_AGREEMENT or difference > MAX_DIFFERENCE:
            raise UserError(
                f"export: the ONNX file is not the checkpoint: top-1 agrees on {agreement:.2%}, "
                f"probabilities differ by up to {difference:.1g}"
            )
        accuracy = float((expected.argmax(1) == labels).mean())
        allowed = max(MAX_INT8_LOSS, MAX_INT8_FRAMES / len(ids))
        for ends in FLOAT_ENDS:
            kept = _quantize(fp32, [images[i][None] for i in calibrating], int8, metadata, ends)
            predicted = _predict(_session(int8), images, ids, "ONNX int8").argmax(1)
            int8_accuracy = float((predicted == labels).mean())
            if accuracy - int8_accuracy <= allowed + 1e-9:
                break
        else:
            raise UserError(
                f"export: int8 loses {accuracy - int8_accuracy:.2%} of accuracy, more than "
                f"{allowed:.2%}; calibrate it on more frames (export.calibration)"
            )
    if kept:
        console.print(f"int8 keeps {len(kept)} sensitive layers in float", highlight=False)
    found_in = {
        **contract,
        "input": {
            "name": "image", "dtype": "uint8", "shape": ["N", "H", "W", 3], "channels": "RGB",
            "size": "any; resized inside to a square",
            "network_size": model.architecture.input_size,
        },
        "output": {"name": "probabilities", "dtype": "float32", "shape": ["N", len(classes)]},
        "backbone": model.architecture.backbone,
        "files": {path.name: sha256(path) for path in (onnx_file, int8_file)},
        "made_from": hashes,
        "run_id": json.loads(run.read_text())["run_id"],
    }  # fmt: skip
    write_json(description, found_in)
    fidelity = {
        "test_frames": len(ids),
        "top1_agreement": agreement,
        "largest_difference": difference,
        "accuracy": {"checkpoint": accuracy, "int8": int8_accuracy},
        "megabytes": {
            name: round(path.stat().st_size / 1e6, 1)
            for name, path in (("fp32", onnx_file), ("int8", int8_file))
        },
        "int8_layers_in_float": kept,
    }
    write_json(report, fidelity)
    with atomic(card) as partial:
        frames = {side: len(content.ids) for side, content in sides.items()}
        partial.write_text(model_card(chosen, found_in, scores, fidelity, frames))


def _write_onnx(
    network: Any, image: NDArray[np.uint8], opset: int, path: Path, metadata: dict[str, str]
) -> None:
    import onnx
    import torch

    dimensions = {name: torch.export.Dim(name) for name in ("batch", "height", "width")}
    example = torch.from_numpy(np.stack([image, image]))
    program = torch.onnx.export(
        network,
        (example,),
        input_names=["image"],
        output_names=["probabilities"],
        opset_version=opset,
        dynamic_shapes=({0: dimensions["batch"], 1: dimensions["height"], 2: dimensions["width"]},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    _save(program.model_proto, path, metadata)
    onnx.checker.check_model(str(path), full_check=True)


def _save(proto: Any, path: Path, metadata: dict[str, str]) -> None:
    """Save without what differs from run to run (traces of the exporter's source)."""
    import onnx

    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
    del proto.graph.metadata_props[:], proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, path)


Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From a batch of images (N x H x W x 3) to their probabilities (N x classes)."""


def _session(path: Path) -> Classify:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: np.asarray(session.run(None, {"image": batch})[0], np.float32)


def _predict(
    classify: Classify, images: "ImageStore", ids: list[str], what: str
) -> NDArray[np.float32]:
    return np.concatenate([classify(images[i][None]) for i in track(ids, f"Testing {what}")])


def _agreement(expected: NDArray[np.float32], found: NDArray[np.float32]) -> tuple[float, float]:
    """The share of frames with the same top-1, and the largest difference of a probability.

    Two classes closer than the difference that is allowed may change places.
    """
    second, first = np.partition(expected, -2, axis=1)[:, -2:].T
    same = (expected.argmax(1) == found.argmax(1)) | (first - second < MAX_DIFFERENCE)
    return float(same.mean()), float(np.abs(expected - found).max())


def _check_batches(found: Classify, image: NDArray[np.uint8], expected: Classify) -> None:
    """Batches of any size, and pictures of any size, must give what the checkpoint gives."""
    for count, view in ((1, image), (2, image), (5, image[::2, 1::3])):
        batch = np.repeat(view[None], count, axis=0)
        result = found(batch)
        if len(result) != count or np.abs(result - expected(batch[:1])).max() > MAX_DIFFERENCE:
            raise UserError(f"export: the ONNX file is wrong for a batch of {count} pictures")


def _quantize(
    source: Path,
    frames: list[NDArray[np.uint8]],
    path: Path,
    metadata: dict[str, str],
    ends: int,
) -> list[str]:
    """Static int8 quantisation (QDQ; activations uint8, weights int8 per channel).

    The first and the last `ends` layers stay in float; their names are returned.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Frames(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(track(frames, "Calibrating int8"))

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self.rest, None)
            return None if frame is None else {"image": frame}

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        layers = [node.name for node in onnx.load(prepared).graph.node if node.op_type in LAYERS]
        kept = [*layers[:ends], *layers[-ends:]] if ends else []
        quantize_static(
            prepared,
            quantized,
            Frames(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=[*LAYERS, *BETWEEN],
            nodes_to_exclude=kept,
            # Ranges by plain extremes let single outliers decide: -2.4 points on real frames.
            extra_options={"CalibMovingAverage": True},
        )
        _save(onnx.load(quantized), path, metadata)
    return kept
