"""Images per second of `springfield train`, beside plain PyTorch, on the current data.

    make bench-train [EXPERIMENT=simpsons_cpu]

With the network, precision, batch size and augmentation of params.yaml, on one device: the train
stage; a bare loop on the same frames and loader; the same loop on one batch that is always there,
which no data can slow down. They take turns within the stage's epochs, a second or more each,
because a machine's own speed changes. A row is added to benchmarks/results/train.csv.
"""

import math
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tables import add, hardware, provenance
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.flop_counter import FlopCounterMode

from springfield import pipeline
from springfield.cli.debug import few_frames_paths
from springfield.config import load
from springfield.images.dataset import Frames, read_split
from springfield.images.store import ImageStore
from springfield.images.transforms import Augmentation
from springfield.learning.precision import fitting
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.sampling.batches import Batches, loader
from springfield.stages.classification.network import Architecture, Classifier
from springfield.stages.classification.params import ClassificationParams

PATHS = Paths()
RESULTS = Path("benchmarks/results/train.csv")
WARM_UP = 5
"""Steps."""
SECONDS = 90
"""Of the stage, about."""
TURN = {"cpu": 1, "cuda": 15}
"""Seconds. What a GPU's loaders fetch while others take theirs must not count."""
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations per second that NVIDIA's data sheets state."""

Batch = tuple[torch.Tensor, torch.Tensor]


def bare(
    params: ClassificationParams, classes: list[str], batches: Iterable[Batch], device: str
) -> Iterator[int]:
    """The loop that a tutorial would write; after each step, how many images it took."""
    model = params.model
    architecture = Architecture(
        model.backbone, model.input_size, model.mean, model.std, classes, model.options
    )
    classifier = Classifier(architecture, model.drop_rate, auxiliary=params.train.auxiliary > 0)
    classifier = classifier.to(device).train()
    optimizer = torch.optim.AdamW(classifier.parameters(), 1e-5)
    if params.train.compile:
        classifier.backbone.compile()
    dtype = PRECISIONS[params.train.precision]
    for images, labels in batches:
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            heads = classifier.heads(images.permute(0, 3, 1, 2))
            loss = sum(functional.cross_entropy(logits, labels) for logits in heads)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        yield len(images)


def timed(loop: Iterator[int], steps: int, device: str) -> tuple[int, float]:
    """Images and seconds of the loop's next steps."""
    started = time.perf_counter()
    images = sum(next(loop) for _ in range(steps))
    _wait(device)
    return images, time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class Turns:
    """Let other loops take turns with the stage: called after each step of an optimiser.

    Args:
        first: the stage's step after which they are made ready; it warms up until then.
        every: steps of a turn.
        loops: what takes turns.
        device: where.
    """

    def __init__(
        self, first: int, every: int, loops: dict[str, Iterator[int]], device: str
    ) -> None:
        self.first = first
        self.every = every
        self.loops = loops
        self.device = device
        self.step = 0
        self.busy = False
        self.peak_memory = 0
        self.away = 0.0
        """Seconds that the stage did not have."""
        self.images = dict.fromkeys(loops, 0)
        self.seconds = dict.fromkeys(loops, 0.0)

    def __call__(self, *_: Any) -> None:
        """Count a step of the stage; after some, let the others run as many."""
        if self.busy:
            return
        self.step += 1
        if self.step < self.first or (self.step - self.first) % self.every:
            return
        _wait(self.device)
        self.busy, started = True, time.perf_counter()
        if self.step == self.first:
            self.peak_memory = torch.cuda.max_memory_allocated() if self.device == "cuda" else 0
            for loop in self.loops.values():
                timed(loop, WARM_UP, self.device)
        else:
            for name, loop in self.loops.items():
                images, seconds = timed(loop, self.every, self.device)
                self.images[name] += images
                self.seconds[name] += seconds
            self.away += time.perf_counter() - started
        self.busy = False


def stage(params: ClassificationParams, steps: int, epochs: int, folder: Path) -> pd.DataFrame:
    """The speed of each epoch of the train stage."""
    frames = pd.read_csv(PATHS.split, dtype=str)
    size = params.train.batch_size
    chosen = [
        frames[frames["split"] == "train"][: steps * size],
        frames[frames["split"] == "val"][:size],
    ]
    paths = few_frames_paths(folder, pd.concat(chosen))
    recipe = replace(
        params.train, epochs=epochs, head_epochs=0, balance=0.0, accumulate=1, patience=0
    )
    measured = replace(params, model=replace(params.model, weights=None), train=recipe)
    one = Machine(replace(params.hardware, devices=1, nodes=1))
    pipeline.run(measured, paths, one, "train")
    return pd.read_csv(paths.training / "speed.csv")


def flops(params: ClassificationParams, classes: list[str]) -> int:
    """Operations of a training step, an image."""
    model = params.model
    network = Classifier(
        Architecture(
            model.backbone, model.input_size, model.mean, model.std, classes, model.options
        )
    )
    side = params.train.sizes[0]
    pixels = torch.zeros(2, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        network.heads(pixels)[0].sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2


def main() -> None:
    """Measure, and note."""
    params = load(Path("params.yaml"))
    assert isinstance(params, ClassificationParams), "this measures pictures"
    device = params.hardware.device
    input_size = max(params.train.sizes or [params.model.input_size])
    precision = params.train.precision
    if precision == "auto":
        precision = fitting(torch.device(device))
    train = replace(params.train, precision=precision, sizes=[input_size], frozen=0)
    params = replace(params, train=train)
    size = params.train.batch_size
    classes, sides = read_split(PATHS.index, PATHS.split)
    side = sides["train"]
    online = params.augment.online
    augmentations = {input_size: Augmentation(online, input_size)} if online else {}
    store = ImageStore(PATHS.images)
    frames = Frames([store], side.ids, side.labels, [input_size], augmentations)
    workers = (
        params.hardware.workers if params.hardware.workers is not None else 4 * (device == "cuda")
    )
    one = frames[[(0, row) for row in range(size)]]

    def real() -> Iterator[int]:
        batches = loader(frames, Batches(len(side.ids), size, seed=params.seed), workers)
        return bare(params, classes, chain.from_iterable(repeat(batches)), device)

    trial = real()
    timed(trial, WARM_UP, device)
    images, seconds = timed(trial, 10, device)
    del trial
    wanted = SECONDS * images / seconds / size
    epochs = math.ceil(wanted / max(1, len(side.ids) // size))
    steps = math.ceil(wanted / epochs)
    there = (one[0].to(device), one[1].to(device))
    loops = {"bare": real(), "synthetic": bare(params, classes, repeat(there), device)}
    turns = Turns(steps, math.ceil(TURN[device] * images / seconds / size), loops, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        handle = register_optimizer_step_post_hook(turns)
        speed = stage(params, steps, 1 + epochs, Path(folder)).iloc[1:]
        handle.remove()
    epoch_seconds = steps * size / speed["images_per_second"]
    own_seconds = epoch_seconds.sum() - turns.away
    stage_speed = epochs * steps * size / own_seconds
    speeds = {name: turns.images[name] / turns.seconds[name] for name in loops}
    row: dict[str, Any] = {
        **provenance(hardware()),
        "backbone": params.model.backbone,
        "input_size": input_size,
        "batch_size": size,
        "precision": params.train.precision,
        "compile": params.train.compile,
        "steps": epochs * steps,
        "stage_images_per_second": round(stage_speed, 1),
        **{f"{name}_images_per_second": round(value, 1) for name, value in speeds.items()},
        **{f"stage_to_{name}": round(stage_speed / value, 3) for name, value in speeds.items()},
        "waiting_share": round((speed["waiting_share"] * epoch_seconds).sum() / own_seconds, 4),
        "peak_memory_gib": "",
        "share_of_peak": "",
    }
    if device == "cuda":
        row["peak_memory_gib"] = round(turns.peak_memory / 2**30, 1)
        for name, peak in PEAKS.items():
            if name in torch.cuda.get_device_name():
                row["share_of_peak"] = round(stage_speed * flops(params, classes) / peak, 3)
    add(RESULTS, [row])
    for name, value in row.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
