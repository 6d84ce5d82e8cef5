"""`springfield train --preset`: can it learn, what is slow, does it run at all; in minutes."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
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
from springfield.series.dataset import read_split
from springfield.stages.forecasting.params import ForecastingParams

FOLDER = Path(".springfield/debug")
SAMPLES = 64
"""Of `overfit`."""
SIZES, STEPS = {"images": 16, "series": 4}, {"images": 240, "series": 960}
"""Of its batches, and how many of them it takes."""
REGULARISATION = (
    "label_smoothing", "mixup", "cutmix", "auxiliary", "ema", "balance",
    "logit_adjustment",
)  # fmt: skip
"""Of a recipe, as far as it has them."""
LEARNT = {"val_accuracy": ("accuracy", 1.0), "val_map50": ("mAP50", 0.95)}
"""What scores of frames are called, and from where on these are learnt by heart."""
LEFT = 0.1
"""Of the spread of a series: the mean error up to which its windows are."""


def debug(preset: Literal["overfit", "profile", "fast"], params: Params, machine: Machine) -> None:
    """Train on a few samples on one device, without a run in MLflow, and say what was found.

    Args:
        preset: `overfit` learns 64 samples by heart (a network that cannot has a fault that more
            data will not mend), `profile` trains eight batches and says what took the time, `fast`
            trains two batches through every line of a training.
        params: of the experiment.
        machine: of which one device is used.

    Raises:
        UserError: with `overfit`, not all samples were learnt.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    few = _few_windows if isinstance(params, ForecastingParams) else _few_frames
    params, table = few(preset, _unregularised(params) if preset == "overfit" else params)
    paths = few_frames_paths(FOLDER, table)
    one = replace(
        machine, hardware=replace(machine.hardware, devices=1, nodes=1), work=FOLDER / "work"
    )
    with profile() if preset == "profile" else nullcontext() as profiled:
        pipeline.run(params, paths, one, "train")
    shutil.rmtree(FOLDER / "work")

    curves_plot(paths.training, FOLDER / "curves.png")
    speed = pd.read_csv(paths.training / "speed.csv").iloc[-1]
    console.print(
        f"{speed['images_per_second']:.1f} images per second, {speed['waiting_share']:.1%} of the "
        f"time waiting for data; {FOLDER / 'curves.png'}"
    )
    if profiled:
        _tell_profile(profiled)
    if preset == "overfit":
        _tell_learnt(params, paths)


def few_frames_paths(folder: Path, frames: pd.DataFrame) -> Paths:
    """Paths, in a new folder, of a training on the samples of a table `id,split,group`."""
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


def _unregularised(params: Any) -> Any:
    """The same params without what keeps a network from learning by heart."""
    recipe = {name: 0.0 for name in REGULARISATION if hasattr(params.train, name)}
    return replace(
        params,
        augment=replace(params.augment, online=[]),
        model=replace(params.model, drop_rate=0.0),
        optimizer=replace(params.optimizer, weight_decay=0.0, l1=0.0),
        train=replace(params.train, accumulate=1, **recipe),
    )


def _few_windows(preset: str, params: Any) -> tuple[Any, pd.DataFrame]:
    """What a preset trains a forecaster with, and the sides of the values of its series."""
    table = pd.read_csv(Paths().split, dtype=str)[["id", "split", "group"]]
    known, horizon = int((table["split"] == "train").sum()), params.model.horizon
    lost = params.model.input_size + horizon - 1
    recipe = replace(params.train, head_epochs=0, patience=0, max_minutes=0.0, limit_batches=1.0)
    if preset == "overfit":
        known = min(known, lost + SAMPLES)
        sides = {"train": known, "val": horizon, "test": len(table) - known - horizon}
        table["split"] = np.repeat(list(sides), list(sides.values()))
        recipe = _by_heart(recipe, known - lost, "series")
    else:
        size = 8 if preset == "profile" else 2
        batches = max(1, (known - params.model.input_size) // recipe.batch_size)
        recipe = replace(recipe, epochs=1, limit_batches=min(1.0, size / batches))
    return replace(params, train=recipe), table


def _few_frames(preset: str, params: Any) -> tuple[Any, pd.DataFrame]:
    """What a preset trains with, and on which frames."""
    frames = pd.read_csv(Paths().split, dtype=str)[["id", "split", "group"]]
    train = frames[frames["split"] == "train"].sample(frac=1, random_state=params.seed)
    recipe = replace(params.train, head_epochs=0, patience=0, max_minutes=0.0, limit_batches=1.0)
    if preset == "overfit":
        train = train[:SAMPLES]
        val = train.assign(split="val")
        recipe = _by_heart(recipe, len(train), "images")
    else:
        batches = 8 if preset == "profile" else 2
        train = train[: batches * recipe.batch_size]
        val = frames[frames["split"] == "val"][: recipe.batch_size]
        recipe = replace(recipe, epochs=1)
    return replace(params, train=recipe), pd.concat([train, val])


def _by_heart(recipe: Any, samples: int, kind: str) -> Any:
    """In small batches, for as many epochs as make up the steps."""
    size = min(SIZES[kind], samples)
    return replace(recipe, batch_size=size, epochs=STEPS[kind] * size // samples)


def _tell_learnt(params: Params, paths: Paths) -> None:
    """Say how well a training on few samples knows them in the end.

    Raises:
        UserError: not by heart.
    """
    last = pd.read_csv(paths.training / "metrics.csv").iloc[-1]
    n = int((pd.read_csv(paths.split, dtype=str)["split"] == "train").sum())
    if isinstance(params, ForecastingParams):
        known = read_split(paths.series, paths.index, paths.split).known()
        error = last["train_mae"] / np.abs(known - known.mean()).mean()
        what = f"{n - params.model.input_size - params.model.horizon + 1} windows"
        learnt, told = error <= LEFT, f"train error on {what}: {error:.1%} of the spread"
    else:
        what, score = f"{n} frames", next(name for name in LEARNT if name in last)
        called, enough = LEARNT[score]
        learnt, told = last[score] >= enough, f"train {called} on {what}: {last[score]:.1%}"
    console.print(told)
    if not learnt:
        raise UserError(
            f"{what} are not learnt by heart: look at the curves, another optimizer.lr, and "
            "whether equal samples have different labels"
        )


def _tell_profile(profiled: Any) -> None:
    averages = profiled.key_averages()
    where = "device" if any(event.self_device_time_total for event in averages) else "cpu"
    table = averages.table(sort_by=f"self_{where}_time_total", row_limit=15)
    (FOLDER / "profile.txt").write_text(table)
    profiled.export_chrome_trace(str(FOLDER / "trace.json"))
    for event in sorted(averages, key=lambda e: -getattr(e, f"self_{where}_time_total"))[:10]:
        console.print(f"{getattr(event, f'self_{where}_time_total') / 1e6:8.2f} s  {event.key}")
    console.print(f"all of it: {FOLDER / 'profile.txt'}, and trace.json for ui.perfetto.dev")
