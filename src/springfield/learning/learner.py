"""How a network learns: optimiser, schedule, and what each step watches, for Lightning."""

import difflib
import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from timm.models import group_modules
from timm.optim import (
    create_optimizer_v2,
    get_optimizer_class,
    get_optimizer_info,
    list_optimizers,
    param_groups_layer_decay,
    param_groups_weight_decay,
)
from torch import Tensor, nn
from torchmetrics import CatMetric, MeanMetric, MetricCollection

from springfield.learning.precision import settle
from springfield.learning.recipe import OptimizerParams, TrainParams
from springfield.machine.errors import DivergedError, UserError


class Network(Protocol):
    """What a task's network has."""

    backbone: nn.Module
    """Layer by layer its rates decay, where timm knows its layers; what is beside it has the full
    rate."""

    def trunk_parameters(self) -> Iterable[nn.Parameter]:
        """All but those of the head."""

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """PyTorch's."""

    def train(self, mode: bool = True) -> nn.Module:
        """PyTorch's."""


class Learner(pl.LightningModule):
    """Fine-tune a network; a task adds its losses and its scores.

    Args:
        model: what to train.
        optimizer: how weights are changed.
        params: how long and on what.
        seed: what each epoch's random numbers start from.
        val_metrics: what is counted on val, by the names that curves have.
    """

    def __init__(
        self,
        model: Network,
        optimizer: OptimizerParams,
        params: TrainParams,
        seed: int,
        val_metrics: MetricCollection,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.params = params
        self.seed = seed
        self.val_loss = MeanMetric()
        self.val_metrics = val_metrics
        self.val_scores = CatMetric(nan_strategy="disable")
        """Of each sample, by which epochs are compared."""
        self.trunk_learns = True
        self.frozen = first_layers(model.backbone, params.frozen)
        for layer in self.frozen:
            layer.requires_grad_(requires_grad=False)

    def means(self, batch: Any) -> dict[str, Tensor]:
        """The mean loss of a training batch, as `loss`, and what else its curves show."""
        raise NotImplementedError

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Update `val_loss`, `val_metrics`, and `val_scores` (NaN: it only fills the batch)."""
        raise NotImplementedError

    def val_score(self, metrics: dict[str, Tensor]) -> Tensor:
        """By which epochs are compared: higher is better."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Settle the precision, which checkpoints and loggers are told as a hyper-parameter."""
        self.save_hyperparameters({"precision": settle(self.params.precision, self.trainer)})

    def on_train_epoch_start(self) -> None:
        """Freeze the trunk in the first epochs, batch norm's statistics with it."""
        if self.trunk_learns != (self.current_epoch >= self.params.head_epochs):
            self.trunk_learns = not self.trunk_learns
            self._learn_with(trunk=self.trunk_learns)
        self.model.train(self.trunk_learns)
        for layer in self.frozen:
            layer.eval()
        self.first_bad = torch.full((), -1, device=self.device)
        self.sums: dict[str, Tensor] = {}

    def _learn_with(self, *, trunk: bool) -> None:
        for parameter in self.model.trunk_parameters():
            parameter.requires_grad_(trunk)
        for layer in self.frozen:
            layer.requires_grad_(requires_grad=False)
        strategy = self.trainer.strategy
        if isinstance(strategy, DDPStrategy):
            # It averages the gradients of what learnt when it was made, and waits for all of them.
            strategy.barrier()  # a GPU may still be changing the weights
            strategy.model = self
            strategy.configure_ddp()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Start each epoch's random numbers anew, so that a resumed run draws the same ones."""
        if batch_idx == 0:
            own = 10_007 * self.global_rank  # or all would draw the same dropout
            torch.manual_seed(self.seed * 1_000_003 + self.current_epoch + own)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch; notes the first that is no number."""
        means = self.means(batch)
        loss = means["loss"]
        is_first = (self.first_bad < 0) & ~torch.isfinite(loss.detach())
        self.first_bad = torch.where(is_first, batch_idx, self.first_bad)
        for name, value in means.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        return loss + self._l1() if self.optimizer.l1 else loss

    def _l1(self) -> Tensor:
        """The penalty of the weights that learn, of those that weight decay concerns, too."""
        weights = (w for w in self.parameters() if w.requires_grad and w.ndim > 1)
        return self.optimizer.l1 * torch.stack([weight.abs().sum() for weight in weights]).sum()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop when the loss is no number any more; log its mean at the end of the epoch.

        Raises:
            DivergedError: which step it was.
        """
        last = self.trainer.is_last_batch
        # Asking the device makes it wait, so not at each step.
        if (batch_idx % 50 == 0 or last) and (step := int(self.first_bad)) >= 0:
            raise DivergedError(
                f"the loss is not finite since epoch {self.current_epoch}, step {step}; lower "
                "optimizer.lr, set optimizer.clip, or take another train.precision"
            )
        if last:  # in each step it was the dearest thing Lightning did, by a profile
            curves = {f"train_{name}": total / (batch_idx + 1) for name, total in self.sums.items()}
            curves["step"] = torch.tensor(float(self.current_epoch))
            self.log_dict(curves, on_step=False, on_epoch=True, sync_dist=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the norm; Lightning's own refuses a fused optimiser even where no loss is scaled."""
        if self.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimizer.clip)

    def on_validation_epoch_end(self) -> None:
        """Log what all processes counted, with the epoch, not the step, as the curves' axis."""
        rates = [group["lr"] for group in self.trainer.optimizers[0].param_groups]
        metrics = {"val_loss": self.val_loss.compute(), **self.val_metrics.compute()}
        self.log_dict(
            {
                "step": float(self.current_epoch),
                "lr": max(rates),
                "lr_first_layer": min(rates),
                **metrics,
                "val_score": self.val_score(metrics),
            }
        )
        self.scores = self.val_scores.compute()
        for metric in (self.val_loss, self.val_metrics, self.val_scores):
            metric.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Layer-wise rates (as in BEiT), linear warm-up and cosine decay by step.

        Raises:
            UserError: no such optimiser, or it takes no such momentum.
        """
        chosen = self.optimizer
        backbone, decay = self.model.backbone, chosen.weight_decay
        if chosen.layer_decay < 1:
            groups = param_groups_layer_decay(backbone, decay, layer_decay=chosen.layer_decay)
        else:
            groups = param_groups_weight_decay(backbone, decay)
        others = [child for name, child in self.model.named_children() if name != "backbone"]
        if others:
            groups += param_groups_weight_decay(nn.ModuleList(others), decay)
        for group in groups:
            group["lr"] = chosen.lr * group.pop("lr_scale", 1.0)
        options: dict[str, Any] = {}
        kind = _optimizer_class(chosen.name)
        if chosen.momentum is not None:
            if not get_optimizer_info(chosen.name).has_momentum:
                raise UserError(f"optimizer.momentum: {chosen.name} takes none; set it to null")
            options["momentum"] = chosen.momentum
        # On CPUs a fused step takes a quarter of the time. With a scaled loss it cannot be clipped.
        can = "fused" in inspect.signature(kind).parameters
        if can and self.trainer.precision != "16-mixed":
            options["fused"] = True
        try:
            optimizer = create_optimizer_v2(groups, chosen.name, lr=chosen.lr, **options)
        except ValueError as error:
            raise UserError(f"optimizer: {chosen.name}: {error}") from error
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(chosen.warmup * steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def first_layers(backbone: nn.Module, count: int) -> list[nn.Module]:
    """The modules of so many layers, from the first on; layers as those whose rates decay.

    Raises:
        UserError: the network has no more layers than that, or timm does not know them.
    """
    if not count:
        return []
    matcher: Any = getattr(backbone, "group_matcher", dict)
    layers = group_modules(backbone, matcher())
    if count >= len(layers):
        raise UserError(f"train.frozen={count}: the network has {len(layers)} layers")
    return [backbone.get_submodule(name) for layer in range(count) for name in layers[layer]]


def _optimizer_class(name: str) -> Any:
    try:
        return get_optimizer_class(name, bind_defaults=False)
    except ValueError as error:
        near = difflib.get_close_matches(name, map(str, list_optimizers()))
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise UserError(f"optimizer.name: timm has no '{name}'{hint}") from error
