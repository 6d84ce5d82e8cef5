"""Images per second of `springfield train`, beside plain PyTorch, on the current data.

    make bench-train [EXPERIMENT=simpsons_cpu]

and then with loader processes, of the experiment that is current now (real frames need a mirror):

    springfield compose hardware.workers=2 && make bench-train

With the network, precision, batch size and augmentation of params.yaml, on one device: the train
stage; a bare loop on the same frames and loader; the same loop on one batch that is always there,
which no data can slow down; of a detector also a bare loop with torchvision's FCOS on the same
network. They take turns within the stage's epochs, because a machine's own speed changes. A row is
added to benchmarks/results/train.csv.
"""

import math
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from bare import PATHS, Batch, Measured, classifier, detector, steps
from tables import add, hardware, provenance
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.flop_counter import FlopCounterMode

from springfield import pipeline
from springfield.cli.debug import few_frames_paths
from springfield.config import load
from springfield.learning.precision import fitting
from springfield.machine.hardware import Machine
from springfield.sampling.batches import Batches, loader
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.detection.params import DetectionParams

RESULTS = Path("benchmarks/results/train.csv")
WARM_UP = 5
"""Steps."""
SECONDS = 90
"""Of the stage, about."""
TURN, LOADED_TURN = 1, 15
"""Seconds without and with loader processes: what these fetch while others have theirs must not
count."""
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations per second that NVIDIA's data sheets state."""

Params = ClassificationParams | DetectionParams


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


def stage(params: Params, batches: int, epochs: int, folder: Path) -> pd.DataFrame:
    """The speed of each epoch of the train stage."""
    frames = pd.read_csv(PATHS.split, dtype=str)
    size = params.train.batch_size
    chosen = [
        frames[frames["split"] == "train"][: batches * size],
        frames[frames["split"] == "val"][:size],
    ]
    paths = few_frames_paths(folder, pd.concat(chosen))
    recipe: Any = replace(params.train, epochs=epochs, head_epochs=0, accumulate=1, patience=0)
    if isinstance(params, ClassificationParams):
        recipe = replace(recipe, balance=0.0)
    model: Any = replace(params.model, weights=None)
    one = Machine(replace(params.hardware, devices=1, nodes=1))
    pipeline.run(replace(params, model=model, train=recipe), paths, one, "train")
    return pd.read_csv(paths.training / "speed.csv")


def flops(measured: Measured, batch: Batch) -> int:
    """Operations of a training step, an image."""
    few = [part[:2].cpu() for part in batch]
    with FlopCounterMode(display=False) as counter:
        next(steps(measured.networks["bare"](), [few], "cpu", "32-true"))
    return int(counter.get_total_flops()) // len(few[0])


def chosen(device: str) -> tuple[Params, int]:
    """The params, for one size of the images, which is the other."""
    params = load(Path("params.yaml"))
    assert isinstance(params, Params), "this measures pictures"
    train: Any = replace(params.train, frozen=0)
    if train.precision == "auto":
        train = replace(train, precision=fitting(torch.device(device)))
    size = params.model.input_size
    if isinstance(params, ClassificationParams):
        size = max(params.train.sizes or [size])
        train = replace(train, sizes=[size])
    return replace(params, train=train), size


def main() -> None:
    """Measure, and note."""
    device = load(Path("params.yaml")).hardware.device
    params, input_size = chosen(device)
    if isinstance(params, ClassificationParams):
        measured = classifier(params, input_size)
    else:
        measured = detector(params, input_size)
    size, train = params.train.batch_size, params.train
    workers = params.hardware.workers
    if workers is None:  # as the stage has it
        workers = min(12, joblib.cpu_count()) if device == "cuda" else 0

    def real(name: str) -> Iterator[int]:
        batches = loader(measured.frames, Batches(measured.rows, size, seed=params.seed), workers)
        endless = chain.from_iterable(repeat(batches))
        made = measured.networks[name]()
        return steps(made, endless, device, train.precision, compiled=train.compile)

    trial = real("bare")
    timed(trial, WARM_UP, device)
    images, seconds = timed(trial, 10, device)
    del trial
    wanted = SECONDS * images / seconds / size
    epochs = math.ceil(wanted / max(1, measured.rows // size))
    batches = math.ceil(wanted / epochs)
    one = [part.to(device) for part in measured.frames[[(0, row) for row in range(size)]]]
    loops = {name: real(name) for name in measured.networks}
    made = measured.networks["bare"]()
    loops["synthetic"] = steps(made, repeat(one), device, train.precision, compiled=train.compile)
    turn = LOADED_TURN if workers else TURN
    turns = Turns(batches, math.ceil(turn * images / seconds / size), loops, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        handle = register_optimizer_step_post_hook(turns)
        speed = stage(params, batches, 1 + epochs, Path(folder)).iloc[1:]
        handle.remove()
    epoch_seconds = batches * size / speed["images_per_second"]
    own_seconds = epoch_seconds.sum() - turns.away
    stage_speed = epochs * batches * size / own_seconds
    speeds = {name: turns.images[name] / turns.seconds[name] for name in loops}
    row: dict[str, Any] = {
        **provenance(hardware()),
        "backbone": params.model.backbone,
        "input_size": input_size,
        "batch_size": size,
        "precision": train.precision,
        "compile": train.compile,
        "workers": workers,
        "steps": epochs * batches,
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
                row["share_of_peak"] = round(stage_speed * flops(measured, one) / peak, 3)
    add(RESULTS, [row])
    for name, value in row.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
