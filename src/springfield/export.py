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


@dataclass
class ExportParams:
    """How the network is written."""

    opset: int = 20
    """Version of ONNX's operators."""
    calibration: int = 200
    """Train frames that the int8 model's ranges are measured on."""


def export(
    params: ExportParams,
    seed: int,
    hashes: dict[str, str],
    *,
    checkpoint: Path,
    prepared: Path,
    split: Path,
    metrics: Path,
    calibration: Path,
    onnx_file: Path,
    int8_file: Path,
    card: Path,
    report: Path,
) -> None:
    """Write the network as ONNX, in fp32 and int8, and compare both with the checkpoint.

    The files take raw pixels (`image`: uint8, N x H x W x 3, RGB, any size) and give
    `probabilities` (float, N x classes): resizing, normalisation and temperature are inside.

    Args:
        params: how the network is written.
        seed: of the frames that int8 is calibrated on.
        hashes: what the network was made from, written into the files.
        checkpoint: the folder that train wrote.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        metrics: the scores that evaluate wrote.
        calibration: the temperature that evaluate wrote.
        onnx_file: file to write: the network in fp32.
        int8_file: file to write: the network in int8.
        card: JSON file to write: classes, input contract, metrics, hashes.
        report: JSON file to write: how far the files agree with the checkpoint.

    Raises:
        UserError: an exported file does not do what the checkpoint does.
    """
    import torch

    from springfield.frames import read_split
    from springfield.model import Probabilities, load_checkpoint
    from springfield.store import ImageStore

    model = load_checkpoint(checkpoint)
    classes, sides = read_split(prepared, split)
    temperature = json.loads(calibration.read_text())["temperature"]
    network = Probabilities(model, temperature).eval()
    images = ImageStore(prepared / "images.arrow")
    ids, labels = sides["test"].ids, sides["test"].labels
    metadata = {"classes": json.dumps(classes), **hashes}

    def reference(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(image)[None]).numpy()[0], np.float32)

    with atomic(onnx_file) as partial:
        with console.status("Writing ONNX"):
            _write_onnx(network, images[ids[0]], params.opset, partial, metadata)
        _check_batches(partial, images[ids[0]], reference)
        expected = _predict(reference, images, ids, "the checkpoint")
        found = _predict(_session(partial), images, ids, "ONNX fp32")
        agreement = float((expected.argmax(1) == found.argmax(1)).mean())
        difference = float(np.abs(expected - found).max())
        if agreement < MIN_AGREEMENT or difference > MAX_DIFFERENCE:
            raise UserError(
                f"export: the ONNX file is not the checkpoint: top-1 agrees on {agreement:.2%}, "
                f"probabilities differ by up to {difference:.1g}"
            )
    rng = np.random.default_rng(seed)
    count = min(params.calibration, len(sides["train"].ids))
    chosen = rng.choice(sides["train"].ids, count, replace=False).tolist()
    accuracy = float((expected.argmax(1) == labels).mean())
    with atomic(int8_file) as partial:
        allowed = max(MAX_INT8_LOSS, MAX_INT8_FRAMES / len(ids))
        _quantize(onnx_file, [images[i][None] for i in chosen], partial, metadata)
        int8_accuracy = float(
            (_predict(_session(partial), images, ids, "ONNX int8").argmax(1) == labels).mean()
        )
        if accuracy - int8_accuracy > allowed + 1e-9:
            raise UserError(
                f"export: int8 loses {accuracy - int8_accuracy:.2%} of accuracy, more than "
                f"{allowed:.2%}; calibrate it on more frames (export.calibration)"
            )
    scores = json.loads(metrics.read_text())
    write_json(
        card,
        {
            "classes": classes,
            "input": {
                "name": "image", "dtype": "uint8", "shape": ["N", "H", "W", 3], "channels": "RGB",
                "size": "any; resized inside to a square", "network_size": model.architecture.size,
            },
            "output": {"name": "probabilities", "dtype": "float32", "shape": ["N", len(classes)]},
            "backbone": model.architecture.backbone,
            "metrics": {side: scores[side] for side in ("val", "test")},
            "files": {path.name: sha256(path) for path in (onnx_file, int8_file)},
            "made_from": hashes,
        },
    )  # fmt: skip
    write_json(
        report,
        {
            "test_frames": len(ids),
            "top1_agreement": agreement,
            "largest_difference": difference,
            "accuracy": {"checkpoint": accuracy, "int8": int8_accuracy},
            "megabytes": {
                path.name: round(path.stat().st_size / 1e6, 1) for path in (onnx_file, int8_file)
            },
        },
    )


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


def _session(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from one image (H x W x 3) to its probabilities."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(None, {"image": image[None]})[0][0], np.float32)


def _predict(
    classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    images: "ImageStore",
    ids: list[str],
    what: str,
) -> NDArray[np.float32]:
    return np.stack([classify(images[image_id]) for image_id in track(ids, f"Testing {what}")])


def _check_batches(
    path: Path,
    image: NDArray[np.uint8],
    reference: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> None:
    """Batches of any size, and pictures of any size, must give what the checkpoint gives."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size, view in ((1, image), (2, image), (5, image[::2, 1::3])):
        batch = np.repeat(view[None], size, axis=0)
        expected = reference(batch[0])
        found = session.run(None, {"image": batch})[0]
        if found.shape[0] != size or np.abs(found - expected).max() > MAX_DIFFERENCE:
            raise UserError(f"export: the ONNX file is wrong for a batch of {size} pictures")


def _quantize(
    source: Path, frames: list[NDArray[np.uint8]], path: Path, metadata: dict[str, str]
) -> None:
    """Static int8 quantisation (QDQ; activations uint8, weights int8 per channel)."""
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
        quantize_static(
            prepared,
            quantized,
            Frames(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
        _save(onnx.load(quantized), path, metadata)
