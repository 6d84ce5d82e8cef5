"""ONNX files of a network, in fp32 and int8, and how far they agree with it.

They take raw pixels (`image`: uint8, N x H x W x 3, RGB, any size) and give `probabilities`
(float, N x classes), or what else they are told to.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from springfield.machine.errors import UserError
from springfield.machine.progress import track

MAX_DIFFERENCE = 1e-3
"""Of a probability, between a file and the network that it was made from."""
LAYERS = ("Conv", "Gemm", "MatMul")
BETWEEN = ("Relu", "Concat", "MaxPool")
"""Quantised too, so that values stay whole numbers from layer to layer."""

Classify = Callable[[NDArray[Any]], NDArray[np.float32]]
"""From a batch, mostly images (N x H x W x 3), to its probabilities or logits (N x classes)."""


def write_onnx(
    network: Any,
    image: NDArray[np.uint8],
    opset: int,
    path: Path,
    metadata: dict[str, str],
    outputs: tuple[str, ...] = ("probabilities",),
) -> None:
    """Write a network in fp32; `image` (H x W x 3) is an example of what it takes."""
    import torch

    example = torch.from_numpy(np.stack([image, image]))
    dimensions = [torch.export.Dim(name) for name in ("batch", "height", "width")]
    _export(
        network, example, ("image", *outputs), opset, path, metadata,
        dynamic_shapes=(dict(enumerate(dimensions)),),
    )  # fmt: skip


def write_static_onnx(
    network: Any, shape: tuple[int, int, int, int], opset: int, path: Path, metadata: dict[str, str]
) -> None:
    """Write a network from `pixels` (float) of one shape (N x 3 x S x S) to `logits` in fp32."""
    import torch

    _export(network, torch.zeros(shape), ("pixels", "logits"), opset, path, metadata)


def write_series_onnx(
    network: Any, values: NDArray[np.float32], opset: int, path: Path, metadata: dict[str, str]
) -> None:
    """Write a network from `values` (N x window) to `quantiles` (N x horizon x Q) in fp32."""
    import torch

    batch = torch.export.Dim("batch")
    example = torch.from_numpy(np.repeat(values[:1], 2, axis=0))
    _export(
        network, example, ("values", "quantiles"), opset, path, metadata,
        dynamic_shapes=({0: batch},),
    )  # fmt: skip


def quantize_dynamic(source: Path, path: Path, metadata: dict[str, str]) -> None:
    """Weights of recurrent and linear layers in int8; activations are quantised as they come."""
    from onnxruntime import quantization

    plain = onnx.load(source)
    del plain.graph.value_info[:]  # the exporter's name sizes that quantisation changes
    quantization.shape_inference.add_pre_process_metadata(plain)  # or it advises to do so
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "int8.onnx"
        quantization.quantize_dynamic(plain, quantized, per_channel=True)
        _save(onnx.load(quantized), path, metadata)


def _export(
    network: Any,
    example: Any,
    names: tuple[str, ...],
    opset: int,
    path: Path,
    metadata: dict[str, str],
    **shapes: Any,
) -> None:
    import torch

    with warnings.catch_warnings():  # of how an LSTM keeps its weights
        warnings.filterwarnings("ignore", "The tensor attributes", UserWarning)
        warnings.filterwarnings("ignore", "_check_is_size", FutureWarning)
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[names[0]],
            output_names=names[1:],
            opset_version=opset,
            dynamo=True,
            **shapes,
            verbose=False,
        )
    assert program is not None
    _save(program.model_proto, path, metadata)
    onnx.checker.check_model(str(path), full_check=True)


def _save(proto: Any, path: Path, metadata: dict[str, str]) -> None:
    """Save without what differs from run to run (traces of the exporter's source)."""
    graph = proto.graph
    values = (*graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for part in (*graph.node, *values, graph, proto):
        del part.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, path)


def open_onnx(path: Path) -> Classify:
    """A file of one output as a function."""
    run = open_outputs(path)
    return lambda batch: np.asarray(run(batch)[0], np.float32)


def open_outputs(path: Path) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """A file as a function, from a batch to all outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: list(session.run(None, {name: batch}))


def agreement(expected: NDArray[np.float32], found: NDArray[np.float32]) -> tuple[float, float]:
    """The share of frames with the same top-1, and the largest difference of a probability.

    Two classes closer than the difference that is allowed may change places. What is no number is
    the same as nothing, and its difference none (NaN).
    """
    second, first = np.partition(expected, -2, axis=1)[:, -2:].T
    same = (expected.argmax(1) == found.argmax(1)) | (first - second < MAX_DIFFERENCE)
    same &= np.isfinite(expected).all(1) & np.isfinite(found).all(1)
    return float(same.mean()), float(np.abs(expected - found).max())


def check_batches(found: Classify, image: NDArray[np.uint8], expected: Classify) -> None:
    """Batches of any size, and pictures of any size, must give what the checkpoint gives.

    Raises:
        UserError: they do not.
    """
    for count, view in ((1, image), (2, image), (5, image[::2, 1::3])):
        batch = np.repeat(view[None], count, axis=0)
        result = found(batch)
        # Written so that what is no number fails.
        if len(result) != count or not (
            np.abs(result - expected(batch[:1])).max() <= MAX_DIFFERENCE
        ):
            raise UserError(f"export: the ONNX file is wrong for a batch of {count} pictures")


def quantize(
    source: Path,
    frames: list[NDArray[np.uint8]],
    path: Path,
    metadata: dict[str, str],
    ends: int,
    layers: tuple[str, ...] = LAYERS,
) -> list[str]:
    """Static int8 quantisation (QDQ; activations uint8, weights int8 per channel).

    What no layer comes after stays in float, as do the first and the last `ends` layers, whose
    names are returned. Those that share their weights are one layer.

    Args:
        source: the file in fp32.
        frames: batches that the ranges of activations are measured on.
        path: to write.
        metadata: of the file.
        ends: how many layers.
        layers: the kinds of nodes that have weights.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Frames(quantization.CalibrationDataReader):  # type: ignore[misc]
        rest = ({"image": frame} for frame in track(frames, "Calibrating int8"))

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        nodes = onnx.load(prepared).graph.node
        by_weights: dict[str, list[str]] = {}
        for node in nodes:
            if node.op_type in layers:
                by_weights.setdefault(node.input[1], []).append(node.name)
        order = list(by_weights.values())
        kept = [name for names in (*order[:ends], *order[-ends:]) for name in names if ends]
        quantization.quantize_static(
            prepared,
            quantized,
            Frames(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=[*layers, *BETWEEN],
            nodes_to_exclude=[*kept, *_after(nodes, layers)],
            # Ranges by plain extremes let single outliers decide: -2.4 points on real frames.
            extra_options={"CalibMovingAverage": True},
        )
        _save(onnx.load(quantized), path, metadata)
    return kept


def _after(nodes: Any, layers: tuple[str, ...]) -> list[str]:
    """The names of those nodes, sorted as they run, that lead to no layer."""
    needed: set[str] = set()
    found = []
    for node in reversed(nodes):
        if node.op_type in layers or needed & set(node.output):
            needed |= set(node.input)
        else:
            found.append(node.name)
    return found
