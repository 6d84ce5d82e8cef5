"""`springfield train --preset`: can it learn, what is slow, does it run at all; in minutes."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
from torch.profiler import profile

from springfield.errors import UserError
from springfield.progress import console
from springfield.store import write_images
from springfield.train import train

if TYPE_CHECKING:
    from springfield.compose import Params

FRAMES, STEPS = 64, 240
"""Of `overfit`."""


def debug(
    preset: Literal["overfit", "profile", "fast"],
    params: "Params",
    *,
    prepared: Path,
    split: Path,
    folder: Path,
    weights: Path,
    mirror: str | None,
    root: Path,
) -> None:
    """Train on a few frames on one device, without a run in MLflow, and say what was found.

    Args:
        preset: `overfit` learns 64 frames by heart (a network that cannot has a fault that more
            data will not mend), `profile` trains eight batches and says what took the time, `fast`
            trains two batches through every line of a training.
        params: of the experiment.
        prepared: the folder that prepare wrote.
        split: the table that split wrote.
        folder: to write everything to; emptied first.
        weights: folder where pretrained weights are kept once fetched.
        mirror: a folder or URL that is asked for them.
        root: the primary repository.

    Raises:
        UserError: with `overfit`, not all frames were learnt.
    """
    frames = pd.read_csv(split, dtype=str)[["id", "split"]]
    train_side = frames[frames["split"] == "train"].sample(frac=1, random_state=params.seed)
    recipe, online = replace(params.train, head_epochs=0, patience=0), params.augment.online
    if preset == "overfit":
        train_side = train_side[:FRAMES]
        val_side = train_side.assign(split="val")
        batch_size = min(16, len(train_side))
        recipe = replace(
            recipe, batch_size=batch_size, epochs=STEPS * batch_size // len(train_side),
            accumulate=1, label_smoothing=0.0, mixup=0.0, cutmix=0.0, auxiliary=0.0, ema=0.0,
            balance=0.0,
        )  # fmt: skip
        online = []
    else:
        batches = 8 if preset == "profile" else 2
        train_side = train_side[: batches * recipe.batch_size]
        val_side = frames[frames["split"] == "val"][: recipe.batch_size]
        recipe = replace(recipe, epochs=1)

    shutil.rmtree(folder, ignore_errors=True)
    augmented = folder / "augmented"
    augmented.mkdir(parents=True)
    write_images(augmented / "images.arrow", [])
    (augmented / "index.csv").write_text("id,class\n")
    pd.concat([train_side, val_side]).to_csv(folder / "split.csv", index=False)
    with profile() if preset == "profile" else nullcontext() as profiled:
        train(
            params.model,
            params.optimizer,
            recipe,
            online,
            params.seed,
            replace(params.hardware, devices=1, nodes=1),
            prepared=prepared,
            split=folder / "split.csv",
            augmented=augmented,
            checkpoint=folder / "checkpoint",
            report=folder / "train",
            work=folder / "work",
            weights=weights,
            mirror=mirror,
            root=root,
            made_from={},
            loggers=[],
        )
    shutil.rmtree(folder / "work")

    metrics = pd.read_csv(folder / "train/metrics.csv").iloc[-1]
    speed = pd.read_csv(folder / "train/speed.csv").iloc[-1]
    console.print(
        f"{speed['images_per_second']:.1f} images per second, {speed['waiting_share']:.1%} of the "
        f"time waiting for data; {folder / 'train/curves.png'}"
    )
    if profiled:
        averages = profiled.key_averages()
        where = "device" if any(event.self_device_time_total for event in averages) else "cpu"
        table = averages.table(sort_by=f"self_{where}_time_total", row_limit=15)
        (folder / "profile.txt").write_text(table)
        profiled.export_chrome_trace(str(folder / "trace.json"))
        for event in sorted(averages, key=lambda e: -getattr(e, f"self_{where}_time_total"))[:10]:
            console.print(f"{getattr(event, f'self_{where}_time_total') / 1e6:8.2f} s  {event.key}")
        console.print(f"all of it: {folder / 'profile.txt'}, and trace.json for ui.perfetto.dev")
    if preset == "overfit":
        console.print(f"train accuracy on {len(train_side)} frames: {metrics['val_accuracy']:.1%}")
        if metrics["val_accuracy"] < 1:
            raise UserError(
                f"{len(train_side)} frames are not learnt by heart: look at the curves, another "
                "optimizer.lr, and whether equal frames have different labels"
            )
