"""How a classifier learns: its losses, and the scores by which its epochs are compared."""

import torch
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


class ClassificationLearner(Learner):
    """Cross-entropy with label smoothing, mixup (Zhang et al., 2018), cutmix (Yun et al., 2019).

    Args:
        model: what to train.
        optimizer: how weights are changed.
        params: how long and on what.
        seed: what each epoch's random numbers start from.
    """

    model: Classifier
    params: ClassifierTrainParams

    def __init__(
        self,
        model: Classifier,
        optimizer: OptimizerParams,
        params: ClassifierTrainParams,
        seed: int,
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

    def means(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Accuracy and cross-entropy, also of the auxiliary head (Szegedy et al., 2015).

        Of mixed pictures the larger part counts as the right answer.
        """
        images, labels = batch
        pixels = images.permute(0, 3, 1, 2).float()
        if self.mix:
            pixels, labels = self.mix(pixels, labels)
        heads = self.model.heads(pixels)
        loss, *auxiliary = (
            functional.cross_entropy(logits, labels, label_smoothing=self.params.label_smoothing)
            for logits in heads
        )
        for other in auxiliary:
            loss = loss + self.params.auxiliary * other
        right = labels.argmax(1) if self.mix else labels
        return {"loss": loss, "accuracy": (heads[0].argmax(1) == right).float().mean()}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count a batch, without the frames that only fill it."""
        images, labels = batch
        logits = self.model.logits(images.permute(0, 3, 1, 2)).float()
        losses = functional.cross_entropy(logits, labels, ignore_index=PADDING, reduction="none")
        self.val_loss.update(losses, (labels != PADDING).float())
        self.val_metrics.update(logits, labels)
        right = (logits.argmax(1) == labels).float()
        self.val_scores.update(right.masked_fill(labels == PADDING, torch.nan))

    def val_score(self, metrics: dict[str, Tensor]) -> Tensor:
        """The mean of accuracy and macro-F1, of which a rare class alone moves only the latter."""
        mean = (metrics["val_accuracy"] + metrics["val_macro_f1"]) / 2
        return torch.as_tensor(mean - 1e-3 * metrics["val_loss"])  # which breaks ties
