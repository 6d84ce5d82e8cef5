"""How a detector learns: its losses, and the scores by which its epochs are compared."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou, generalized_box_iou_loss, sigmoid_focal_loss

from springfield.learning.learner import Learner
from springfield.learning.recipe import OptimizerParams, TrainParams
from springfield.sampling.batches import PADDING
from springfield.stages.detection.network import STRIDES, Detector, Places

RADIUS = 1.5
"""Of the middle of a box, in strides: places farther from it are not asked to find it."""
FARTHEST = 4 * STRIDES[0]
"""Pixels to a box's farthest side from which on the coarser map finds it."""
IOU = 0.5

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Images (uint8, N x size x size x 3), boxes (N x M x 4), their labels (N x M; `PADDING`: none),
and whether a frame is one, not only filling the batch (N)."""


class DetectionLearner(Learner):
    """Focal loss (Lin et al., 2017), GIoU loss (Rezatofighi et al., 2019), IoU (Wu et al., 2020).

    Args:
        model: what to train.
        optimizer: how weights are changed.
        params: how long and on what.
        seed: what each epoch's random numbers start from.
    """

    model: Detector

    def __init__(
        self, model: Detector, optimizer: OptimizerParams, params: TrainParams, seed: int
    ) -> None:
        metrics: dict[str, Metric | MetricCollection] = {"val_map": _MeanAveragePrecision()}
        super().__init__(model, optimizer, params, seed, MetricCollection(metrics))

    def means(self, batch: Batch) -> dict[str, Tensor]:
        """The loss and its three parts."""
        images, boxes, labels, _ = batch
        parts = losses(self.model.places(images.permute(0, 3, 1, 2)), boxes, labels)
        means = {name: values.mean() for name, values in parts.items()}
        return {"loss": torch.stack(list(means.values())).sum(), **means}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch, without the frames that only fill it."""
        images, boxes, labels, real = batch
        places = self.model.places(images.permute(0, 3, 1, 2))
        parts = losses(places, boxes, labels)
        self.val_loss.update(torch.stack(list(parts.values())).sum(0)[real])
        found = self.model.best(places)
        # At once: a device that is asked frame by frame waits each time.
        counts = torch.stack([(found.scores > 0).sum(1), (labels != PADDING).sum(1), real], 1)
        answers, truths, scores = [], [], []
        for row, (shown, labelled, is_real) in enumerate(counts.tolist()):
            answer = {name: values[row, :shown] for name, values in found._asdict().items()}
            truth = {"boxes": boxes[row, :labelled], "labels": labels[row, :labelled]}
            scores.append(_found(answer, truth) if labelled else 1 - found.scores[row, 0])
            if is_real:
                answers.append(answer)
                truths.append(truth)
        self.val_metrics.update(answers, truths)
        self.val_scores.update(torch.stack(scores).masked_fill(~real, torch.nan))

    def val_score(self, metrics: dict[str, Tensor]) -> Tensor:
        """COCO's mean average precision at IoU 0.5."""
        return torch.as_tensor(metrics["val_map50"] - 1e-3 * metrics["val_loss"])  # breaks ties


def losses(places: Places, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The three losses of each frame (N), each a mean over the places that have a box to find.

    By frame, so that a batch's loss does not depend on how it is divided.

    Args:
        places: what a detector says.
        boxes: x1 y1 x2 y2, in the same pixels: N x M x 4.
        labels: N x M; `PADDING`: no box.
    """
    logits, found = places.logits.float(), places.boxes
    box = assign(places, boxes, labels)
    positive = box != PADDING
    n = positive.sum(1).clamp(min=1)
    rows = torch.arange(len(boxes), device=boxes.device)[:, None]
    wanted = boxes[rows, box.clamp(min=0)]
    classes = functional.one_hot(labels[rows, box.clamp(min=0)].clamp(min=0), logits.shape[-1])
    focal = sigmoid_focal_loss(logits, classes.float() * positive[..., None]).sum((1, 2)) / n
    overlap = generalized_box_iou_loss(found, wanted)
    hit = box_iou(found[..., None, :], wanted[..., None, :])[..., 0, 0].detach()
    quality = functional.binary_cross_entropy_with_logits(places.quality, hit, reduction="none")
    return {
        "class_loss": focal,
        "box_loss": (overlap * positive).sum(1) / n,
        "quality_loss": (quality * positive).sum(1) / n,
    }


def assign(places: Places, boxes: Tensor, labels: Tensor) -> Tensor:
    """Which box each place is to find (N x P; `PADDING`: none): the smallest it is central in.

    Small boxes are for the finer map, large ones for the coarser.
    """
    points, strides = places.points[:, None], places.strides[:, None]
    x, y = points.unbind(-1)
    x1, y1, x2, y2 = boxes[:, None].unbind(-1)
    sides = torch.stack([x - x1, y - y1, x2 - x, y2 - y])  # 4 x N x P x M
    middle = torch.stack([x - (x1 + x2) / 2, y - (y1 + y2) / 2]).abs().amax(0)
    farthest = sides.amax(0)
    of_map = torch.where(strides == STRIDES[0], farthest <= FARTHEST, farthest > FARTHEST)
    fits = (sides.amin(0) > 0) & (middle < RADIUS * strides) & of_map
    fits &= labels[:, None] != PADDING
    areas = ((x2 - x1) * (y2 - y1)).expand_as(middle).masked_fill(~fits, torch.inf)
    smallest, box = areas.min(-1)
    return box.masked_fill(smallest.isinf(), PADDING)


def _found(answer: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
    """The share of a frame's labelled boxes that are among as many best answers."""
    n = len(truth["labels"])
    overlap = box_iou(truth["boxes"], answer["boxes"][:n]) >= IOU
    same = truth["labels"][:, None] == answer["labels"][:n]
    found_at: Tensor = (overlap & same).any(1)
    return found_at.float().mean()


class _MeanAveragePrecision(MeanAveragePrecision):
    """COCO's two scores, by the names that curves have."""

    def __init__(self) -> None:
        super().__init__(backend="faster_coco_eval")

    def compute(self) -> dict[str, Tensor]:
        """At IoU 0.5, and the mean of 0.5 to 0.95."""
        for name, parts in self.metric_state.items():
            if isinstance(parts, list) and parts:  # at once: it is asked for box by box
                sizes = [len(part) for part in parts]
                setattr(self, name, list(torch.split_with_sizes(torch.cat(parts).cpu(), sizes)))
        found: dict[str, Any] = super().compute()
        return {"val_map50": found["map_50"], "val_map": found["map"]}
