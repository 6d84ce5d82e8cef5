"""`springfield train --preset`: can it learn, what is slow, does it run at all; in minutes."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch.profiler import profile

from springfield import pipeline
from springfield.config import Params
from springfield.images.store import write_images
from springfield.learning.curves import curves_plot
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.detection.params import DetectionParams
from springfield.stages.forecasting.params import ForecastingParams

Pictures = ClassificationParams | DetectionParams
FOLDER = Path(".springfield/debug")
FRAMES, STEPS = 64, 240
"""Of `overfit`."""


def debug(preset: Literal["overfit", "profile", "fast"], params: Params, machine: Machine) -> None:
    """Train on a few frames on one device, without a run in MLflow, and say what was found.

    Args:
        preset: `overfit` learns 64 frames by heart (a network that cannot has a fault that more
            data will not mend), `profile` trains eight batches and says what took the time, `fast`
            trains two batches through every line of a training.
        params: of the experiment.
        machine: of which one device is used.

    Raises:
        UserError: with `overfit`, not all frames were learnt.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    if preset == "overfit" and not isinstance(params, ClassificationParams):
        raise UserError("--preset overfit is for classifiers; look at train_loss of a few epochs")
    frames = pd.DataFrame()
    if isinstance(params, ForecastingParams):
        params = _few_batches(preset, params)
        paths = replace(Paths(), checkpoint=FOLDER / "checkpoint", training=FOLDER / "train")
    else:
        params, frames = _few(preset, params)
        paths = few_frames_paths(FOLDER, frames)
    one = replace(
        machine, hardware=replace(machine.hardware, devices=1, nodes=1), work=FOLDER / "work"
    )
    with profile() if preset == "profile" else nullcontext() as profiled:
        pipeline.run(params, paths, one, "train")
    shutil.rmtree(FOLDER / "work")

    curves_plot(paths.training, FOLDER / "curves.png")
    metrics = pd.read_csv(paths.training / "metrics.csv").iloc[-1]
    speed = pd.read_csv(paths.training / "speed.csv").iloc[-1]
    console.print(
        f"{speed['images_per_second']:.1f} images per second, {speed['waiting_share']:.1%} of the "
        f"time waiting for data; {FOLDER / 'curves.png'}"
    )
    if profiled:
        _tell_profile(profiled)
    if preset == "overfit":
        n = int((frames["split"] == "train").sum())
        console.print(f"train accuracy on {n} frames: {metrics['val_accuracy']:.1%}")
        if metrics["val_accuracy"] < 1:
            raise UserError(
                f"{n} frames are not learnt by heart: look at the curves, another "
                "optimizer.lr, and whether equal frames have different labels"
            )


def few_frames_paths(folder: Path, frames: pd.DataFrame) -> Paths:
    """Paths, in a new folder, of a training on the frames of a table `id,split,group`."""
    own = replace(
        Paths(),
        split=folder / "split.csv",
        augmented=folder / "augmented",
        checkpoint=folder / "checkpoint",
        training=folder / "train",
    )
    own.augmented.mkdir(parents=True)
    write_images(own.augmented / "images.arrow", [])
    (own.augmented / "index.csv").write_text("id,class\n")
    frames.to_csv(own.split, index=False)
    return own


def _few_batches(preset: str, params: ForecastingParams) -> ForecastingParams:
    """An epoch of a few batches; a series has no samples that could be taken out of it."""
    size = 8 if preset == "profile" else 2
    values = int((pd.read_csv(Paths().split, dtype=str)["split"] == "train").sum())
    batches = max(1, (values - params.model.input_size) // params.train.batch_size)
    share = min(1.0, size / batches)
    recipe = replace(params.train, epochs=1, patience=0, max_minutes=0.0, limit_batches=share)
    return replace(params, train=recipe)


def _few(preset: str, params: Pictures) -> tuple[Pictures, pd.DataFrame]:
    """What a preset trains with, and on which frames."""
    frames = pd.read_csv(Paths().split, dtype=str)[["id", "split", "group"]]
    train = frames[frames["split"] == "train"].sample(frac=1, random_state=params.seed)
    recipe: Any = replace(
        params.train, head_epochs=0, patience=0, limit_batches=1.0, max_minutes=0.0
    )
    augment: Any = params.augment
    if preset == "overfit":
        train = train[:FRAMES]
        val = train.assign(split="val")
        size = min(16, len(train))
        recipe = replace(
            recipe, batch_size=size, epochs=STEPS * size // len(train), accumulate=1,
            label_smoothing=0.0, mixup=0.0, cutmix=0.0, auxiliary=0.0, ema=0.0, balance=0.0,
        )  # fmt: skip
        augment = replace(augment, online=[])
    else:
        batches = 8 if preset == "profile" else 2
        train = train[: batches * recipe.batch_size]
        val = frames[frames["split"] == "val"][: recipe.batch_size]
        recipe = replace(recipe, epochs=1)
    return replace(params, train=recipe, augment=augment), pd.concat([train, val])


def _tell_profile(profiled: Any) -> None:
    averages = profiled.key_averages()
    where = "device" if any(event.self_device_time_total for event in averages) else "cpu"
    table = averages.table(sort_by=f"self_{where}_time_total", row_limit=15)
    (FOLDER / "profile.txt").write_text(table)
    profiled.export_chrome_trace(str(FOLDER / "trace.json"))
    for event in sorted(averages, key=lambda e: -getattr(e, f"self_{where}_time_total"))[:10]:
        console.print(f"{getattr(event, f'self_{where}_time_total') / 1e6:8.2f} s  {event.key}")
    console.print(f"all of it: {FOLDER / 'profile.txt'}, and trace.json for ui.perfetto.dev")
