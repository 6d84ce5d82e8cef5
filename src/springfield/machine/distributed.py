"""What the processes of a training agree on: where they start, and when they end."""

import socket
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor, distributed

from springfield.machine.errors import UserError
from springfield.machine.resume import newest


def start_together(trainer: pl.Trainer, work: Path, made_from: dict[str, str]) -> Path | None:
    """Start or meet the other processes; the checkpoint that all of them go on from.

    The first one chooses it: what a shared disk lists can differ between machines for a while.

    Args:
        trainer: whose `fit` finds the processes running.
        work: folder of the checkpoints.
        made_from: hashes that must be the same everywhere.

    Raises:
        UserError: the processes do not have the same data, params, code or checkpoint.
    """
    strategy = trainer.strategy
    if strategy.launcher is None:
        return newest(work)
    strategy.launcher.launch(strategy.setup_environment, trainer=trainer)
    chosen = strategy.broadcast(newest(work) if strategy.is_global_zero else None)
    own = {**made_from, "checkpoint": chosen and chosen.is_file()}
    everywhere: list[Any] = [None] * trainer.world_size
    distributed.all_gather_object(everywhere, (socket.gethostname(), own))
    for rank, (host, other) in enumerate(everywhere):
        if differ := [key for key, value in everywhere[0][1].items() if other[key] != value]:
            _stop(
                f"process {rank} on {host} has not the {' and '.join(differ)} of process 0 on "
                f"{everywhere[0][0]}; all of them need the project in one folder that they share",
                first=strategy.is_global_zero,
            )
    return chosen


def _stop(message: str, *, first: bool) -> None:
    if first:
        raise UserError(message)
    time.sleep(10)  # for the first to say so: launchers kill it when another one ends before
    raise SystemExit(1)


class EndTogether(pl.Callback):
    """After SIGTERM to any of the processes, end all of them after the same step.

    Lightning's own handler talks to the others from wherever it interrupted this one.
    """

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the place of Lightning's handler, which it keeps to itself."""
        self._received = False
        self._asked: tuple[Any, Tensor] | None = None
        # Apart from the gradients, and so that no process waits for a GPU.
        self._group: Any = distributed.new_group(backend="gloo")
        connector, loop = trainer._signal_connector, trainer.fit_loop.epoch_loop
        assert hasattr(connector, "_sigterm_notifier_fn")
        assert hasattr(loop, "_broadcast_sigterm_tensor")
        connector._sigterm_notifier_fn = self._receive
        loop._broadcast_sigterm_tensor = lambda: None

    def _receive(self, *_: Any) -> None:
        self._received = True

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Ask all whether one should end; look at the answer a step later, when it is there."""
        anyone = torch.tensor(int(self._received))
        work = distributed.all_reduce(anyone, distributed.ReduceOp.MAX, self._group, async_op=True)
        before, self._asked = self._asked, (work, anyone)
        if before:
            before[0].wait()
            if before[1]:
                raise SIGTERMException
