"""The metrics and the speed of each epoch, which a resumed training goes on with."""

import time
from typing import Any, cast

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from springfield.sampling.batches import PADDING

SPEED = ("seconds", "images_per_second", "waiting_share")


class History(pl.Callback):
    """Keep what the learner logged, an epoch a row, and save it with each checkpoint.

    Args:
        batch_size: frames that all processes together take in a step of the loop.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.rows: list[dict[str, float]] = []
        self.scores: list[Tensor] = []
        """By epoch, of the val samples, in their order; NaN: not known."""
        self.order: list[int] = []
        """The val samples that the learner's scores are of: as many processes have them."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of epochs."""
        self._ended = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of training."""
        self._started = self._handed_over = time.perf_counter()
        self._waited = self._trained = 0.0

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Add the time since the last batch: nothing but waiting for this one."""
        self._waited += time.perf_counter() - self._handed_over

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any,
        batch_idx: int,
    ) -> None:  # fmt: skip
        """Start to wait; the last batch ends the training part of the epoch."""
        self._handed_over = time.perf_counter()
        if trainer.is_last_batch:
            self._trained = self._handed_over - self._started
            speed = self.batch_size * (batch_idx + 1) / self._trained
            waiting = self._waited / self._trained
            pl_module.log_dict(
                {"images_per_second": speed, "waiting_share": waiting}, on_step=False, on_epoch=True
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row: epoch, seconds since the last row (so all is in them), what was logged."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        logged.pop("step", None)
        started, self._ended = self._ended, time.perf_counter()
        seconds = round(self._ended - started, 2)
        self.rows.append({"epoch": trainer.current_epoch, "seconds": seconds, **logged})
        self.scores.append(self._by_sample(cast(Tensor, pl_module.scores).cpu()))

    def _by_sample(self, scores: Tensor) -> Tensor:
        """A training may go on with more processes or fewer, in which they have another order."""
        order = torch.tensor(self.order)
        there = order != PADDING
        found = scores.new_full((int(there.sum()),), torch.nan)
        found[order[there]] = scores[there]
        return found

    def metrics(self) -> pd.DataFrame:
        """Loss, scores and learning rates; the same in each training with the same params."""
        return pd.DataFrame(self.rows).drop(columns=list(SPEED))

    def speed(self) -> pd.DataFrame:
        """Seconds of whole epochs, validation and checkpoints included, and of training alone.

        Of the latter: images per second, and the share of the time that it waited for data.
        """
        return pd.DataFrame(self.rows)[["epoch", *SPEED]]

    def state_dict(self) -> dict[str, Any]:
        """What goes into a checkpoint."""
        return {"rows": self.rows, "scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint brings back."""
        self.rows, self.scores = list(state_dict["rows"]), list(state_dict["scores"])
