"""One training with Lightning's Trainer, on every device there is, from where it was stopped."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    Timer,
)
from pytorch_lightning.callbacks.timer import Interval
from pytorch_lightning.strategies import DDPStrategy
from timm.layers import convert_sync_batchnorm
from torch import nn

from springfield.files import atomic, write_json
from springfield.learning.ema import MovingAverage
from springfield.learning.history import History
from springfield.learning.learner import Learner, Network
from springfield.learning.recipe import TrainParams
from springfield.learning.selection import is_better
from springfield.machine.distributed import EndTogether, start_together
from springfield.machine.epochs import Epochs
from springfield.machine.errors import UserError, explained
from springfield.machine.hardware import Machine
from springfield.machine.launch import by_slurm, processes
from springfield.machine.progress import console
from springfield.machine.resume import Checkpoints, epoch_of
from springfield.sampling.batches import Loader


@dataclass(frozen=True)
class Part:
    """What one process takes of each batch."""

    rank: int
    world: int
    here: int
    """Processes on this machine."""
    workers: int
    """Processes that load, if shared memory has room for their batches."""


Loaders = Callable[[Part], tuple[Loader, Loader]]
"""Makes what train and val are loaded with; train's sampler is told the epoch."""


def fit(
    learner: Learner, loaders: Loaders, groups: NDArray[np.int64], machine: Machine, report: Path
) -> bool:
    """Train, and leave the learner with the weights of the last epoch, or of a better one.

    Args:
        learner: what to train.
        loaders: of train and val.
        groups: of the val samples (N); those that belong together have the same number, from 0 on.
        machine: devices, loggers, and the folder of checkpoints to go on from.
        report: folder to write: `metrics.csv` and `speed.csv`, an epoch a row, and `kept.json`.

    Returns:
        whether this is the process that has the weights and wrote the report.

    Raises:
        UserError: params that do not fit each other, the data or the machine.
    """
    assert machine.work
    params = learner.params
    if params.compile:
        learner.model.backbone.compile()
    history = History(params.batch_size // params.accumulate)
    best, last = _two(machine.work, "best", "val_score"), _two(machine.work, "last", "epoch")
    # Averaging is not waiting for data: before the clock of the history.
    average = [MovingAverage(params.ema)] if params.ema else []
    trainer = _trainer(learner, machine, [*average, history, best, last])
    train, val = loaders(_part(trainer, params, machine))
    batches = len(train) // params.accumulate
    if params.limit_batches * batches < 1:
        raise UserError(
            f"train.limit_batches={params.limit_batches} of {batches} batches is none; take at "
            f"least {math.ceil(1000 / batches) / 1000:g}"
        )
    # Whole batches, also where they come in pieces.
    trainer.limit_train_batches = int(params.limit_batches * batches) * params.accumulate
    history.order = val.batches.of_all()
    with explained(params.batch_size // trainer.world_size, params.accumulate):
        resumed = start_together(trainer, machine.work, machine.made_from)
        # Loader processes start before Lightning says which epoch it is.
        train.batches.set_epoch(epoch_of(resumed) + 1 if resumed else 0)
        trainer.ckpt_path = resumed  # which the learner's set-up looks at
        trainer.fit(learner, train, val, weights_only=True)
    if not trainer.is_global_zero:
        return False
    kept = _kept(params, history, best, last, groups)
    learner.load_state_dict(torch.load(kept, map_location="cpu", weights_only=True)["state_dict"])
    with atomic(report, directory=True) as partial:
        for name, table in (("metrics", history.metrics()), ("speed", history.speed())):
            table.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")
        write_json(partial / "kept.json", {"epoch": epoch_of(kept)})
    return True


def _kept(
    params: TrainParams,
    history: History,
    best: ModelCheckpoint,
    last: ModelCheckpoint,
    groups: NDArray[np.int64],
) -> Path:
    """The checkpoint of the last epoch, unless another is better or the rate was not annealed."""
    paths = Path(best.best_model_path), Path(last.best_model_path)
    chosen, final = (epoch_of(path) for path in paths)
    if chosen == final:
        return paths[1]
    scores = (history.scores[epoch].numpy() for epoch in (chosen, final))
    there = ~np.isnan(history.scores[final].numpy())
    earlier, later = (score[there] for score in scores)
    annealed = final + 1 == params.epochs and not params.patience
    if annealed and not is_better(earlier, later, groups[there], params.epochs):
        console.print(
            f"kept: epoch {final + 1}, the last; epoch {chosen + 1} has the best val score, but by "
            "no more than chance"
        )
        return paths[1]
    console.print(f"kept: epoch {chosen + 1}, which has the best val score")
    return paths[0]


def _two(work: Path, name: str, monitor: str) -> ModelCheckpoint:
    """The two best: a loss of power while one is written leaves the one before it."""
    return ModelCheckpoint(
        work, f"{name}-{{epoch}}", monitor=monitor, mode="max", save_top_k=2,
        auto_insert_metric_name=False, enable_version_counter=False,
    )  # fmt: skip


def _early_stop(patience: int) -> list[Callback]:
    early = EarlyStopping("val_score", mode="max", patience=patience)

    def stop_again(trainer: pl.Trainer, *_: Any) -> None:
        """It had stopped when this was interrupted; Lightning restores the count only."""
        trainer.should_stop = early.wait_count >= early.patience

    return [early, LambdaCallback(on_train_start=stop_again)]


def _part(trainer: pl.Trainer, params: TrainParams, machine: Machine) -> Part:
    world = trainer.world_size
    if params.batch_size % (world * params.accumulate):
        raise UserError(
            f"train.batch_size={params.batch_size} cannot be divided by {world} devices and "
            f"train.accumulate={params.accumulate}; take a multiple of {world * params.accumulate}"
        )
    workers = machine.hardware.workers
    if workers is None:
        on_cpu = trainer.strategy.root_device.type == "cpu"
        workers = 0 if on_cpu else min(12, joblib.cpu_count() // trainer.num_devices)
    return Part(trainer.global_rank, world, trainer.num_devices, workers)


def _trainer(learner: Learner, machine: Machine, callbacks: list[Callback]) -> pl.Trainer:
    params, hardware = learner.params, machine.hardware
    devices, nodes = processes(hardware)
    several = nodes > 1 or (len(devices) if isinstance(devices, list) else devices) != 1
    if params.max_minutes:
        timer = Timer(timedelta(minutes=params.max_minutes), interval=Interval.epoch)
        callbacks = [*callbacks, timer]
    if params.patience:
        callbacks = [*callbacks, *_early_stop(params.patience)]
    if several:
        callbacks = [*callbacks, EndTogether()]
        if hardware.device != "cpu":
            share_batch_norm(learner.model)
    plugins: list[Any] = [Checkpoints()]
    if by_slurm():
        # SLURM starts the job again; Lightning's own way would go on in the middle of an epoch.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=ddp(learner) if several else "auto",
            plugins=plugins,
            precision="32-true" if params.precision == "auto" else params.precision,
            benchmark=True,  # cuDNN tries which way is the fastest, anew for each size
            max_epochs=params.epochs,
            accumulate_grad_batches=params.accumulate,
            # By default it is drawn a hundred times a second, which takes time from training.
            callbacks=[*callbacks, Epochs(refresh_rate=5)],
            logger=list(machine.loggers),
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            enable_model_summary=False,
        )
    except (MisconfigurationException, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"hardware or train.precision: {' '.join(str(error).split())}") from error


def ddp(learner: nn.Module) -> DDPStrategy:
    """Average gradients; where batch norm is not shared, take the first process's statistics."""
    shared = any(isinstance(module, nn.SyncBatchNorm) for module in learner.modules())
    patience = timedelta(minutes=10)  # for a process that never came
    return DDPStrategy(timeout=patience, forward_sync_buffers=not shared)


def share_batch_norm(model: Network) -> None:
    """Let all processes share batch norm's statistics, whose kernels exist on GPUs only.

    Lightning takes PyTorch's own conversion, which drops the activation in timm's layers of both.
    """
    model.backbone = convert_sync_batchnorm(model.backbone)  # type: ignore[no-untyped-call]
