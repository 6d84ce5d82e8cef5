"""Latency, images per second, size and score of the checkpoint and of what export made of it.

    make bench-infer [EXPERIMENT=simpsons_cpu]

Of a classifier or a detector, with one thread and with two, for single test frames of the network's
input size and for batches. Medians over turns are added to benchmarks/results/infer.csv, and the
seconds that `springfield predict` takes for a picture, as a process of its own, to predict.csv.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from tables import add, processor, provenance

from springfield.config import load
from springfield.images.dataset import read_boxes, read_split, resize
from springfield.images.store import ImageStore
from springfield.machine.paths import Paths
from springfield.machine.progress import track
from springfield.serving.predict import open_model
from springfield.stages.classification import network as classification
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.detection import network as detection
from springfield.stages.detection.export import Tested
from springfield.stages.detection.params import DetectionParams

PATHS = Paths()
RESULTS = Path("benchmarks/results/infer.csv")
PROCESSES = RESULTS.with_stem("predict")
THREADS = (1, 2)
TURNS, SECONDS = 5, 2.0

Find = Callable[[NDArray[np.uint8]], list[NDArray[Any]]]
"""From images (N x H x W x 3) to all outputs."""


@dataclass(frozen=True)
class Measured:
    """What is measured of a task."""

    network: torch.nn.Module
    ids: list[str]
    """Test frames."""
    batches: tuple[int, ...]
    score: str
    """The column."""
    scored: Callable[[Find], float]
    """The score of test frames, each at its own size."""


def classifier(images: ImageStore) -> Measured:
    """Its score is the share of frames that are named rightly."""
    temperature = json.loads(PATHS.calibration.read_text())["temperature"]
    checkpoint = classification.load_checkpoint(PATHS.checkpoint)
    network = classification.Probabilities(checkpoint, temperature)
    test = read_split(PATHS.index, PATHS.split)[1]["test"]

    def accuracy(find: Find) -> float:
        named = [int(find(images[i][None])[0].argmax()) for i in track(test.ids, "Accuracy")]
        return float((np.array(named) == test.labels).mean())

    return Measured(network, test.ids, (1, 16), "test_accuracy", accuracy)


def detector(images: ImageStore) -> Measured:
    """Its score is COCO's mean average precision at an IoU of 0.5."""
    network = detection.load_checkpoint(PATHS.checkpoint)
    classes, sides = read_boxes(PATHS.index, PATHS.split)
    test = sides["test"]
    tested = Tested(images, test, len(classes))

    def map50(find: Find) -> float:
        return tested.map50(tested.found(find, "mAP50"))

    return Measured(network, test.ids, (1, 8), "test_map50", map50)


def eager(network: torch.nn.Module) -> Find:
    """The checkpoint in PyTorch, as evaluate runs it."""
    network.eval()

    def find(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = network(torch.from_numpy(images))
        return [part.numpy() for part in (found if isinstance(found, tuple) else [found])]

    return find


def runtime(path: Path, threads: int) -> Find:
    """A file in ONNX Runtime."""
    session = open_model(path, threads).session
    return lambda images: list(session.run(None, {"image": images}))


def latency(find: Find, batch: NDArray[np.uint8]) -> float:
    """Median seconds a call, over about two seconds of calls."""
    find(batch)
    times: list[float] = []
    while sum(times) < SECONDS or len(times) < 3:
        started = time.perf_counter()
        find(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def process(model: Path, picture: NDArray[np.uint8]) -> float:
    """Median seconds of `springfield predict PICTURE`, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture.png")
        Image.fromarray(picture).save(file)
        command = [sys.executable, "-m", "springfield", "predict", "--model", str(model), str(file)]
        times = []
        for _ in range(1 + TURNS):
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])  # the first reads the code from disk


def main() -> None:
    """Measure in turns, print a table, and note it."""
    params = load(Path("params.yaml"))
    assert isinstance(params, ClassificationParams | DetectionParams), "this measures pictures"
    images = ImageStore(PATHS.images)
    of_classes = isinstance(params, ClassificationParams)
    task = classifier(images) if of_classes else detector(images)
    size, most = params.model.input_size, max(task.batches)
    frames = np.stack([resize(images[i], size) for i in task.ids[:most]])
    files = {"onnx fp32": PATHS.onnx, "onnx int8": PATHS.int8}
    sizes = {name: file.stat().st_size for name, file in files.items()}
    sizes["torch"] = sum(f.stat().st_size for f in PATHS.checkpoint.glob("*.safetensors"))
    measured: dict[tuple[str, int, int], list[float]] = {}
    scores: dict[str, float] = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        engines = {"torch": eager(task.network)}
        engines |= {name: runtime(file, threads) for name, file in files.items()}
        if threads == max(THREADS):
            scores = {name: task.scored(find) for name, find in engines.items()}
        for _ in track(range(TURNS), f"{threads} threads"):
            for name, find in engines.items():
                for count in task.batches:
                    seconds = latency(find, frames[:count])
                    measured.setdefault((name, threads, count), []).append(seconds)
    about = {
        **provenance(processor()),
        "experiment": params.experiment,
        "backbone": params.model.backbone,
        "input_size": size,
    }
    table = Table("engine", "threads", "batch", "ms", "images/s", "MB", task.score)
    rows: list[dict[str, Any]] = []
    for (name, threads, count), turns in measured.items():
        seconds = statistics.median(turns)
        rows.append(
            {
                **about,
                "engine": name,
                "threads": threads,
                "batch": count,
                "milliseconds": round(1000 * seconds, 2),
                "images_per_second": round(count / seconds, 1),
                "megabytes": round(sizes[name] / 1e6, 1),
                task.score: round(scores[name], 4),
            }
        )
        table.add_row(*(str(value) for value in list(rows[-1].values())[len(about) :]))
    Console().print(table)
    add(RESULTS, rows)
    own = [
        {**about, "engine": name, "seconds": round(process(file, images[task.ids[0]]), 2)}
        for name, file in files.items()
    ]
    for row in own:
        print(f"springfield predict, {row['engine']}: {row['seconds']} s")
    add(PROCESSES, own)


if __name__ == "__main__":
    main()
