"""Latency, images per second, size and accuracy of the checkpoint and of what export made of it.

    make bench-infer [EXPERIMENT=simpsons_cpu]

With one thread and with two, for batches of 1 and 16 test frames of the network's input size.
Medians over turns are added to benchmarks/results/infer.csv.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tables import add, processor, provenance

from springfield.config import load
from springfield.images.dataset import read_split, resize
from springfield.images.store import ImageStore
from springfield.machine.paths import Paths
from springfield.machine.progress import track
from springfield.serving.predict import Predictor
from springfield.stages.classification.network import Probabilities, load_checkpoint

PATHS = Paths()
RESULTS = Path("benchmarks/results/infer.csv")
THREADS, BATCHES = (1, 2), (1, 16)
TURNS, SECONDS = 5, 2.0

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def eager() -> Classify:
    """The checkpoint in PyTorch, as evaluate runs it."""
    temperature = json.loads(PATHS.calibration.read_text())["temperature"]
    network = Probabilities(load_checkpoint(PATHS.checkpoint), temperature).eval()

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(images)).numpy(), np.float32)

    return classify


def accuracy(classify: Classify, images: ImageStore, ids: list[str], labels: Any) -> float:
    """The share of frames, each at its own size, that are named rightly."""
    named = [int(classify(images[i][None]).argmax()) for i in track(ids, "Accuracy")]
    return float((np.array(named) == labels).mean())


def latency(classify: Classify, batch: NDArray[np.uint8]) -> float:
    """Median seconds a call, over about two seconds of calls."""
    classify(batch)
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        started = time.perf_counter()
        classify(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure in turns, print a table, and note it."""
    params = load(Path("params.yaml"))
    images = ImageStore(PATHS.images)
    _, sides = read_split(PATHS.index, PATHS.split)
    test = sides["test"]
    frames = np.stack(
        [resize(images[i], params.model.input_size) for i in test.ids[: max(BATCHES)]]
    )
    sizes = {
        "torch": sum(f.stat().st_size for f in PATHS.checkpoint.glob("*.safetensors")),
        "onnx fp32": PATHS.onnx.stat().st_size,
        "onnx int8": PATHS.int8.stat().st_size,
    }
    measured: dict[tuple[str, int, int], list[float]] = {}
    right: dict[str, float] = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        engines: dict[str, Classify] = {
            "torch": eager(),
            "onnx fp32": Predictor(PATHS.onnx, threads).probabilities,
            "onnx int8": Predictor(PATHS.int8, threads).probabilities,
        }
        if threads == max(THREADS):
            right = {
                name: accuracy(classify, images, test.ids, test.labels)
                for name, classify in engines.items()
            }
        for _ in track(range(TURNS), f"{threads} threads"):
            for name, classify in engines.items():
                for size in BATCHES:
                    seconds = latency(classify, frames[:size])
                    measured.setdefault((name, threads, size), []).append(seconds)
    table = Table("engine", "threads", "batch", "ms", "images/s", "MB", "test accuracy")
    rows: list[dict[str, Any]] = []
    for (name, threads, size), turns in measured.items():
        seconds = statistics.median(turns)
        rows.append(
            {
                **provenance(processor()),
                "backbone": params.model.backbone,
                "input_size": params.model.input_size,
                "engine": name,
                "threads": threads,
                "batch": size,
                "milliseconds": round(1000 * seconds, 2),
                "images_per_second": round(size / seconds, 1),
                "megabytes": round(sizes[name] / 1e6, 1),
                "test_accuracy": round(right[name], 4),
            }
        )
        table.add_row(*(str(value) for value in list(rows[-1].values())[5:]))
    Console().print(table)
    add(RESULTS, rows)


if __name__ == "__main__":
    main()
