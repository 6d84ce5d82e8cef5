"""One training with Lightning's Trainer, on every device there is, from where it was stopped."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import joblib
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
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
from torch.utils.data import DataLoader

from springfield.files import atomic
from springfield.learning.ema import MovingAverage
from springfield.learning.history import History
from springfield.learning.learner import Learner, Network
from springfield.learning.recipe import TrainParams
from springfield.machine.epochs import Epochs
from springfield.machine.errors import UserError, explained
from springfield.machine.hardware import Machine
from springfield.machine.launch import end_between_steps, launched
from springfield.machine.resume import Checkpoints, epoch_of, newest


@dataclass(frozen=True)
class Part:
    """What one process takes of each batch."""

    rank: int
    world: int
    here: int
    """Processes on this machine."""
    workers: int
    """Processes that load, if shared memory has room for their batches."""
    epoch: int
    """That training starts with: loader processes start before Lightning says which it is."""


Loaders = Callable[[Part], tuple[DataLoader[Any], DataLoader[Any]]]
"""Makes what train and val are loaded with."""


def fit(learner: Learner, loaders: Loaders, machine: Machine, report: Path) -> bool:
    """Train, and leave the learner with the weights of the epoch with the best val score.

    Args:
        learner: what to train.
        loaders: of train and val.
        machine: devices, loggers, and the folder of checkpoints to go on from.
        report: folder to write: `metrics.csv` and `speed.csv`, an epoch a row.

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
    resumed = newest(machine.work)
    train, val = loaders(_part(trainer, params, machine, resumed))
    if params.limit_batches * len(train) < 1:
        raise UserError(
            f"train.limit_batches={params.limit_batches} of {len(train)} batches is none; take at "
            f"least {1 / len(train):.2g}"
        )
    with explained(params.batch_size, params.accumulate):
        trainer.ckpt_path = resumed  # which the learner's set-up looks at
        trainer.fit(learner, train, val, weights_only=True)
    if not trainer.is_global_zero:
        return False
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    learner.load_state_dict(state)
    with atomic(report, directory=True) as partial:
        for name, table in (("metrics", history.metrics()), ("speed", history.speed())):
            table.to_csv(partial / f"{name}.csv", index=False, lineterminator="\n")
    return True


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


def _part(trainer: pl.Trainer, params: TrainParams, machine: Machine, resumed: Path | None) -> Part:
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
    epoch = epoch_of(resumed) + 1 if resumed else 0
    return Part(trainer.global_rank, world, trainer.num_devices, workers, epoch)


def _trainer(learner: Learner, machine: Machine, callbacks: list[Callback]) -> pl.Trainer:
    params, hardware = learner.params, machine.hardware
    devices, nodes = launched() or (hardware.devices, hardware.nodes)
    if devices == "auto":
        devices = 1 if hardware.accelerator == "cpu" else max(1, torch.cuda.device_count())
    several = nodes > 1 or (len(devices) if isinstance(devices, list) else devices) != 1
    if params.max_minutes:
        timer = Timer(timedelta(minutes=params.max_minutes), interval=Interval.epoch)
        callbacks = [*callbacks, timer]
    if params.patience:
        callbacks = [*callbacks, *_early_stop(params.patience)]
    if several:
        callbacks = [*callbacks, end_between_steps()]
        if hardware.device != "cpu":
            share_batch_norm(learner.model)
    ddp = DDPStrategy(
        timeout=timedelta(minutes=10),  # for a process that never came
        find_unused_parameters=params.head_epochs > 0,  # only the head learns then
    )
    plugins: list[Any] = [Checkpoints()]
    if SLURMEnvironment.detect() and "TORCHELASTIC_RUN_ID" not in os.environ:
        # SLURM starts the job again; Lightning's own way would go on in the middle of an epoch.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=ddp if several else "auto",
            plugins=plugins,
            precision="32-true" if params.precision == "auto" else params.precision,
            benchmark=True,  # cuDNN tries which way is the fastest; sizes do not change
            max_epochs=params.epochs,
            limit_train_batches=params.limit_batches,
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


def share_batch_norm(model: Network) -> None:
    """Let all processes share batch norm's statistics, whose kernels exist on GPUs only.

    Lightning takes PyTorch's own conversion, which drops the activation in timm's layers of both.
    """
    model.backbone = convert_sync_batchnorm(model.backbone)  # type: ignore[no-untyped-call]
