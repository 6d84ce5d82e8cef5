"""A precision that fits the device: measured, since its name does not tell."""

import time
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn

from springfield.machine.progress import console

ENOUGH = 1.1
"""Times as fast as float32 that bfloat16, which is less exact, has to be."""
BATCHES = {"cpu": 2, "cuda": 256}
"""Pictures of a step that is measured, by the type of the device."""
WARM_UP, STEPS = 2, 5


def settle(asked: str, trainer: pl.Trainer) -> str:
    """Have all processes of a training compute with one precision, from its first epoch on.

    Args:
        asked: Lightning's name of one, or `auto`: that of the checkpoint which training goes on
            from, else what fits the first process's device.
        trainer: whose processes run.

    Returns:
        Lightning's name of what is used.
    """
    if asked != "auto":
        return trainer.precision
    strategy = trainer.strategy
    if strategy.is_global_zero:
        asked = _begun_with(trainer.ckpt_path) or fitting(strategy.root_device)
    asked = strategy.broadcast(asked)
    if asked != trainer.precision:
        strategy.precision_plugin = MixedPrecision("bf16-mixed", strategy.root_device.type)
    return asked


def _begun_with(checkpoint: str | Path | None) -> str | None:
    if checkpoint is None:
        return None
    # Mapped, as little of it is read.
    content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    return str(content[pl.LightningModule.CHECKPOINT_HYPER_PARAMS_KEY]["precision"])


def fitting(device: torch.device) -> Literal["32-true", "bf16-mixed"]:
    """`bf16-mixed` where a device is fast at it, else `32-true`."""
    times = gain(device) if device.type in BATCHES else 0
    found: Literal["32-true", "bf16-mixed"] = "bf16-mixed" if times >= ENOUGH else "32-true"
    console.print(
        f"train.precision: {found}; in bf16-mixed two layers learn {times:.2g} times as fast here"
    )
    return found


def gain(device: torch.device) -> float:
    """How many times as fast as in float32 two convolutions learn in bfloat16."""
    layers = [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(64, 64, 3, padding=1))
    network = network.to(device).to(memory_format=torch.channels_last)
    pixels = torch.ones(BATCHES[device.type], 64, 28, 28)
    pixels = pixels.to(device, memory_format=torch.channels_last)

    def seconds(*, mixed: bool, steps: int) -> float:
        started = _clock(device)
        for _ in range(steps):
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = network(pixels).float().mean()
            loss.backward()
        return _clock(device) - started

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of several the time cannot be told when others use the cores, too
    try:
        for mixed in (False, True):
            seconds(mixed=mixed, steps=WARM_UP)
        return seconds(mixed=False, steps=STEPS) / seconds(mixed=True, steps=STEPS)
    finally:
        torch.set_num_threads(threads)


def _clock(device: torch.device) -> float:
    """Seconds: of a GPU when it has done all, of a CPU this thread's own."""
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()
