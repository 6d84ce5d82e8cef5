"""How the classifier learns: loss, metrics, optimiser and schedule, for Lightning's Trainer."""

import difflib
import inspect
import math
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from timm.layers import convert_sync_batchnorm
from timm.optim import (
    create_optimizer_v2,
    get_optimizer_class,
    list_optimizers,
    param_groups_layer_decay,
)
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchvision.transforms import v2

from springfield.errors import UserError
from springfield.frames import PADDING
from springfield.model import Classifier


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
        assert self._average_model is not None
        average = self._average_model.module
        self._averaged = _tensors(average, floating=True), _tensors(pl_module, floating=True)
        self._copied = _tensors(average, floating=False), _tensors(pl_module, floating=False)

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
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


class SyncBatchNorm(TorchSyncBatchNorm):
    """Batch norm whose statistics all processes share.

    PyTorch's own conversion, which Lightning takes, drops the activation in timm's layers of both.
    """

    def apply(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model with its layers converted."""
        converted: torch.nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def revert(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model as it is: Lightning's own way back drops the activation too."""
        return model


class Learner(pl.LightningModule):
    """Fine-tune a classifier.

    Args:
        model: what to train.
        optimizer: a timm optimiser by name.
        lr: learning rate of the head, of all processes together.
        weight_decay: of weights; biases and norms have none.
        layer_decay: factor of the learning rate from each layer to the one before it.
        warmup: share of the steps in which the learning rate rises.
        head_epochs: epochs in which only the head learns.
        label_smoothing: probability spread over all classes.
        mixup: alpha of the Beta distribution that pictures are mixed by (Zhang et al., 2018); 0:
            never.
        cutmix: the same for pieces pasted into each other (Yun et al., 2019); with both, each batch
            draws one of them.
        auxiliary: weight of the auxiliary head's loss (Szegedy et al., 2015).
        seed: what each epoch's random numbers start from.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        optimizer: str,
        lr: float,
        weight_decay: float,
        layer_decay: float,
        warmup: float,
        head_epochs: int,
        label_smoothing: float,
        mixup: float,
        cutmix: float,
        auxiliary: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.layer_decay = layer_decay
        self.warmup = warmup
        self.head_epochs = head_epochs
        self.label_smoothing = label_smoothing
        self.auxiliary = auxiliary
        self.seed = seed
        classes = len(model.architecture.classes)
        mixes = [
            mix(alpha=alpha, num_classes=classes)
            for mix, alpha in ((v2.MixUp, mixup), (v2.CutMix, cutmix))
            if alpha
        ]
        self.mix = v2.RandomChoice(mixes) if mixes else None
        self.val_loss = MeanMetric()
        self.val_metrics = MetricCollection(
            {
                "val_accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=PADDING),
                "val_macro_f1": MulticlassF1Score(classes, ignore_index=PADDING),
            }
        )

    def on_train_epoch_start(self) -> None:
        """Freeze the trunk in the first epochs, batch norm's statistics with it."""
        frozen = self.current_epoch < self.head_epochs
        for parameter in self.model.trunk_parameters():
            parameter.requires_grad_(not frozen)
        self.model.train(not frozen)
        self.first_bad = torch.full((), -1, device=self.device)
        self.loss_sum = torch.zeros((), device=self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Start each epoch's random numbers anew, so that a resumed run draws the same ones."""
        if batch_idx == 0:
            own = 10_007 * self.global_rank  # or all would draw the same dropout
            torch.manual_seed(self.seed * 1_000_003 + self.current_epoch + own)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of a batch."""
        images, labels = batch
        pixels = images.permute(0, 3, 1, 2).float()
        if self.mix:
            pixels, labels = self.mix(pixels, labels)
        loss, *auxiliary = (
            functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            for logits in self.model.heads(pixels)
        )
        for other in auxiliary:
            loss = loss + self.auxiliary * other
        is_first = (self.first_bad < 0) & ~torch.isfinite(loss.detach())
        self.first_bad = torch.where(is_first, batch_idx, self.first_bad)
        self.loss_sum += loss.detach()
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop when the loss is no number any more; log its mean at the end of the epoch.

        Raises:
            UserError: which step it was.
        """
        last = self.trainer.is_last_batch
        # Asking the device makes it wait, so not at each step.
        if (batch_idx % 50 == 0 or last) and (step := int(self.first_bad)) >= 0:
            raise UserError(
                f"the loss is not finite since epoch {self.current_epoch}, step {step}; lower "
                "optimizer.lr, set optimizer.clip, or take another train.precision"
            )
        if last:  # in each step it was the dearest thing Lightning did, by a profile
            self.log_dict(
                {"step": float(self.current_epoch), "train_loss": self.loss_sum / (batch_idx + 1)},
                on_step=False,
                on_epoch=True,
                sync_dist=True,
            )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm; Lightning's own refuses a fused optimiser even where no loss is scaled."""
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch, without the frames that only fill it."""
        images, labels = batch
        logits = self.model.logits(images.permute(0, 3, 1, 2)).float()
        losses = functional.cross_entropy(logits, labels, ignore_index=PADDING, reduction="none")
        self.val_loss.update(losses, (labels != PADDING).float())
        self.val_metrics.update(logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log what all processes counted, with the epoch, not the step, as the curves' axis."""
        optimizer = self.trainer.optimizers[0]
        loss, metrics = self.val_loss.compute(), self.val_metrics.compute()
        self.log_dict(
            {
                "step": float(self.current_epoch),
                "lr": max(group["lr"] for group in optimizer.param_groups),
                "lr_first_layer": min(group["lr"] for group in optimizer.param_groups),
                "val_loss": loss,
                **metrics,
                # A rare class has a frame or two: macro-F1 alone leaps. The loss breaks ties.
                "val_score": (metrics["val_accuracy"] + metrics["val_macro_f1"]) / 2 - 1e-3 * loss,
            }
        )
        self.val_loss.reset()
        self.val_metrics.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Layer-wise rates (as in BEiT), linear warm-up and cosine decay by step.

        Raises:
            UserError: no such optimiser.
        """
        groups = param_groups_layer_decay(
            self.model.backbone, self.weight_decay, layer_decay=self.layer_decay
        )
        for group in groups:
            group["lr"] = self.lr * group.pop("lr_scale")
        try:
            kind = get_optimizer_class(self.optimizer, bind_defaults=False)
        except ValueError as error:
            near = difflib.get_close_matches(self.optimizer, map(str, list_optimizers()))
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UserError(f"optimizer.name: timm has no '{self.optimizer}'{hint}") from error
        # On CPUs a fused step takes a quarter of the time. With a scaled loss it cannot be clipped.
        can = "fused" in inspect.signature(kind).parameters and self.trainer.precision != "16-mixed"
        fused: dict[str, Any] = {"fused": True} if can else {}
        optimizer = create_optimizer_v2(groups, self.optimizer, lr=self.lr, **fused)
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(self.warmup * steps))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
