"""An exponential moving average of the weights."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class MovingAverage(WeightAveraging):
    """An exponential moving average of the weights, whose memory grows with the steps.

    Early on it forgets faster, as TensorFlow's `ExponentialMovingAverage` with `num_updates` does,
    so that the first epochs' average is not the weights that training began with.

    Args:
        decay: the share of the average that a step keeps, from about 9 / (1 - decay) steps on.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep the average where the weights will be; Lightning 2.6 puts them there after this."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """List once what is averaged, and what is copied: batch norm's counts of batches."""
        # Lightning keeps both to itself.
        assert hasattr(self, "_latest_update_step")
        assert self._average_model is not None
        average = self._average_model.module
        self._averaged = _tensors(average, floating=True), _tensors(pl_module, floating=True)
        self._copied = _tensors(average, floating=False), _tensors(pl_module, floating=False)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Update the average; PyTorch's own way has the host wait for the GPU at each step."""
        step = trainer.global_step
        if step == self._latest_update_step:
            return
        self._latest_update_step = step
        kept = torch.tensor(min(step / (9 + step), self._decay) if step > 1 else 0.0)
        torch._foreach_lerp_(*self._averaged, float(1 - kept))
        if self._copied[0]:
            torch._foreach_copy_(*self._copied)


def _tensors(module: torch.nn.Module, *, floating: bool) -> list[Tensor]:
    tensors = (*module.parameters(), *module.buffers())
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point() == floating]
