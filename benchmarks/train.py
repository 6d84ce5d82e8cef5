"""Images per second of `springfield train`, beside plain PyTorch, on the current data.

    make bench-train [EXPERIMENT=simpsons_cpu]

With the network, precision, batch size and augmentation of params.yaml, on one device, in turns:
the train stage; a bare loop on the same frames and loader; the same loop on one batch that is
always there, which no data can slow down. Rounds are short, and speeds compared within each,
because a machine's own speed changes. Medians are added to benchmarks/results/train.csv.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tables import add, hardware, provenance
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from springfield.compose import Params, load
from springfield.frames import Batches, Frames, loader, read_split
from springfield.model import Architecture, Classifier
from springfield.store import ImageStore, write_images
from springfield.train import train
from springfield.transforms import Augmentation

PREPARED, SPLIT = Path("data/prepared"), Path("data/split.csv")
RESULTS = Path("benchmarks/results/train.csv")
ROUNDS, WARM_UP, SECONDS = 9, 5, 12
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations per second that NVIDIA's data sheets state."""

Batch = tuple[torch.Tensor, torch.Tensor]


def bare(params: Params, classes: list[str], batches: Iterable[Batch], device: str) -> float:
    """Images per second of the loop that a tutorial would write."""
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
    images_seen, started = 0, 0.0
    for step, (images, labels) in enumerate(batches):
        if step == WARM_UP:
            _wait(device)
            images_seen, started = 0, time.perf_counter()
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            heads = classifier.heads(images.permute(0, 3, 1, 2))
            loss = sum(functional.cross_entropy(logits, labels) for logits in heads)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        images_seen += len(images)
    _wait(device)
    return images_seen / (time.perf_counter() - started)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def stage(params: Params, steps: int, folder: Path) -> "pd.Series[float]":
    """The speed of an epoch of the train stage, after one that warms up."""
    frames = pd.read_csv(SPLIT, dtype=str)[["id", "split"]]
    size = params.train.batch_size
    chosen = [
        frames[frames["split"] == "train"][: steps * size],
        frames[frames["split"] == "val"][:size],
    ]
    augmented = folder / "augmented"
    augmented.mkdir()
    write_images(augmented / "images.arrow", [])
    (augmented / "index.csv").write_text("id,class\n")
    pd.concat(chosen).to_csv(folder / "split.csv", index=False)
    train(
        replace(params.model, weights=None, pretrained=None),
        params.optimizer,
        replace(params.train, epochs=2, head_epochs=0, balance=0.0, accumulate=1),
        params.augment.online,
        params.seed,
        replace(params.hardware, devices=1, nodes=1),
        prepared=PREPARED,
        split=folder / "split.csv",
        augmented=augmented,
        checkpoint=folder / "checkpoint",
        report=folder / "train",
        work=folder / "work",
        weights=folder,
        mirror=None,
        root=Path(),
        made_from={},
        loggers=[],
    )
    return pd.read_csv(folder / "train/speed.csv").iloc[-1]


def flops(params: Params, classes: list[str]) -> int:
    """Operations of a training step, an image."""
    model = params.model
    network = Classifier(
        Architecture(
            model.backbone, model.input_size, model.mean, model.std, classes, model.options
        )
    )
    side = params.train.input_size or model.input_size
    pixels = torch.zeros(2, 3, side, side)
    with FlopCounterMode(display=False) as counter:
        network.heads(pixels)[0].sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops()) // 2


def main() -> None:
    """Measure in turns, and note medians."""
    params = load(Path("params.yaml"))
    device = "cuda" if torch.cuda.is_available() and params.hardware.accelerator != "cpu" else "cpu"
    size = params.train.batch_size
    classes, sides = read_split(PREPARED, SPLIT)
    side = sides["train"]
    online = params.augment.online
    input_size = params.train.input_size or params.model.input_size
    augmentation = Augmentation(online, input_size) if online else None
    store = ImageStore(PREPARED / "images.arrow")
    frames = Frames([store], side.ids, side.labels, input_size, augmentation)
    workers = (
        params.hardware.workers if params.hardware.workers is not None else 4 * (device == "cuda")
    )
    one = frames[[(0, row) for row in range(size)]]

    def batches(steps: int) -> Iterable[Batch]:
        return loader(frames, Batches(steps * size, size, seed=params.seed), workers)

    trial = bare(params, classes, batches(WARM_UP + 10), device)
    steps = max(WARM_UP + 10, min(len(side.ids) // size, int(SECONDS * trial / size)))
    there = tuple(tensor.to(device) for tensor in one)
    speeds: dict[str, list[float]] = {"stage": [], "bare": [], "synthetic": [], "waiting": []}
    peak_memory = 0
    for _ in range(ROUNDS):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with tempfile.TemporaryDirectory() as folder:
            epoch = stage(params, steps, Path(folder))
        if device == "cuda":
            peak_memory = torch.cuda.max_memory_allocated()
        speeds["stage"].append(epoch["images_per_second"])
        speeds["waiting"].append(epoch["waiting_share"])
        speeds["bare"].append(bare(params, classes, batches(steps), device))
        speeds["synthetic"].append(bare(params, classes, repeat(there, steps), device))  # type: ignore[arg-type]
    median = {name: statistics.median(values) for name, values in speeds.items()}
    to_bare, to_synthetic = (
        statistics.median(a / b for a, b in zip(speeds["stage"], speeds[other], strict=True))
        for other in ("bare", "synthetic")
    )
    row: dict[str, Any] = {
        **provenance(hardware()),
        "backbone": params.model.backbone,
        "input_size": input_size,
        "batch_size": size,
        "precision": params.train.precision,
        "compile": params.train.compile,
        "steps": steps,
        **{
            f"{name}_images_per_second": round(median[name], 1)
            for name in ("stage", "bare", "synthetic")
        },
        "stage_to_bare": round(to_bare, 3),
        "stage_to_synthetic": round(to_synthetic, 3),
        "waiting_share": round(median["waiting"], 4),
        "peak_memory_gib": "",
        "share_of_peak": "",
    }
    if device == "cuda":
        row["peak_memory_gib"] = round(peak_memory / 2**30, 1)
        for name, peak in PEAKS.items():
            if name in torch.cuda.get_device_name():
                row["share_of_peak"] = round(median["stage"] * flops(params, classes) / peak, 3)
    add(RESULTS, [row])
    for name, value in row.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
