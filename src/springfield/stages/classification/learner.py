"""How a classifier learns: its losses, and the scores by which its epochs are compared."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchvision.transforms import v2

from springfield.learning.learner import Learner
from springfield.learning.recipe import OptimizerParams
from springfield.sampling.batches import PADDING
from springfield.stages.classification.network import Classifier
from springfield.stages.classification.train import ClassifierTrainParams


def squared_error(
    logits: Tensor, labels: Tensor, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """Of probabilities, the mean over classes; as PyTorch's losses are called.

    Args:
        logits: N x classes.
        labels: their numbers (N), or their probabilities (N x classes).
        label_smoothing: share of the label that all classes get alike.
        reduction: `mean`, or `none` for one of each sample (N).
    """
    classes = logits.shape[1]
    one_hot = labels if labels.is_floating_point() else functional.one_hot(labels, classes)
    targets = (1 - label_smoothing) * one_hot + label_smoothing / classes
    errors = (logits.softmax(1) - targets).square().mean(1)
    return errors.mean() if reduction == "mean" else errors


LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": functional.cross_entropy,
    "hinge": functional.multi_margin_loss,
    "squared_error": squared_error,
}
"""By `train.loss`."""


class ClassificationLearner(Learner):
    """The chosen loss, with label smoothing, mixup (Zhang et al., 2018), cutmix (Yun et al., 2019).

    Cross-entropy can be that of adjusted logits (Menon et al., 2021): what training adds, the
    network does without afterwards, and its answers are those of classes that are equally frequent.

    Args:
        model: what to train.
        optimizer: how weights are changed.
        params: how long and on what.
        seed: what each epoch's random numbers start from.
        drawn: of each class, its share of the frames that training draws.
    """

    model: Classifier
    params: ClassifierTrainParams
    adjustment: Tensor

    def __init__(
        self,
        model: Classifier,
        optimizer: OptimizerParams,
        params: ClassifierTrainParams,
        seed: int,
        drawn: NDArray[np.float64],
    ) -> None:
        classes = len(model.architecture.classes)
        metrics: dict[str, Metric | MetricCollection] = {
            "val_accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=PADDING),
            "val_macro_f1": MulticlassF1Score(classes, ignore_index=PADDING),
        }
        super().__init__(model, optimizer, params, seed, MetricCollection(metrics))
        mixes = [
            mix(alpha=alpha, num_classes=classes)
            for mix, alpha in ((v2.MixUp, params.mixup), (v2.CutMix, params.cutmix))
            if alpha
        ]
        self.mix = v2.RandomChoice(mixes) if mixes else None
        # The prior is that of the labels that the loss sees: of frames as often as `balance` draws
        # them, copies among them, and smoothed, or a class that is rarer than its share of the
        # smoothing would win without evidence. Mixing leaves the mean label as it is.
        smoothing = params.label_smoothing
        prior = torch.from_numpy((1 - smoothing) * drawn + smoothing / classes)
        # What is never a label has none to divide by, and stays as unlikely as it gets.
        log_prior = prior.where(prior > 0, 1.0).log().float()
        adjustment = params.logit_adjustment * log_prior
        self.register_buffer("adjustment", adjustment, persistent=False)

    def means(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Accuracy and loss, also of the auxiliary head (Szegedy et al., 2015).

        Of mixed pictures the larger part counts as the right answer.
        """
        images, labels = batch
        pixels = images.permute(0, 3, 1, 2).float()
        if self.mix:
            pixels, labels = self.mix(pixels, labels)
        heads = self.model.heads(pixels)
        smoothing = self.params.label_smoothing
        given = {"label_smoothing": smoothing} if smoothing else {}  # which hinge does not take
        loss, *auxiliary = (
            LOSSES[self.params.loss](logits + self.adjustment, labels, **given) for logits in heads
        )
        for other in auxiliary:
            loss = loss + self.params.auxiliary * other
        right = labels.argmax(1) if self.mix else labels
        return {"loss": loss, "accuracy": (heads[0].argmax(1) == right).float().mean()}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch, without the frames that only fill it."""
        images, labels = batch
        logits = self.model.logits(images.permute(0, 3, 1, 2)).float()
        of_any = labels.clamp(min=0)  # losses know no padding, which weighs nothing
        losses = LOSSES[self.params.loss](logits, of_any, reduction="none")
        self.val_loss.update(losses, (labels != PADDING).float())
        self.val_metrics.update(logits, labels)
        right = (logits.argmax(1) == labels).float()
        self.val_scores.update(right.masked_fill(labels == PADDING, torch.nan))

    def val_score(self, metrics: dict[str, Tensor]) -> Tensor:
        """The mean of accuracy and macro-F1, of which a rare class alone moves only the latter."""
        mean = (metrics["val_accuracy"] + metrics["val_macro_f1"]) / 2
        return torch.as_tensor(mean - 1e-3 * metrics["val_loss"])  # which breaks ties
