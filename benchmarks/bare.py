"""The loops that a tutorial would write, which train.py measures the train stage against."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

from springfield.images.dataset import BoxedFrames, Frames, read_boxes, read_split
from springfield.images.store import ImageStore
from springfield.images.transforms import Augmentation
from springfield.machine.paths import Paths
from springfield.sampling.batches import PADDING
from springfield.stages.classification.network import Architecture as ClassifierArchitecture
from springfield.stages.classification.network import Classifier
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.detection.learner import losses
from springfield.stages.detection.network import (
    CONVOLUTIONS,
    STRIDES,
    Architecture,
    Detector,
)
from springfield.stages.detection.params import DetectionParams

PATHS = Paths()
PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

Batch = Sequence[Tensor]
"""As the data set gives it, its images first."""
Made = tuple[nn.Module, Callable[..., Tensor]]
"""A network, and the loss of a batch."""


@dataclass(frozen=True)
class Measured:
    """What the stage trains on, and what else is trained on the same."""

    frames: "Dataset[tuple[Tensor, ...]]"
    """Batches by their keys."""
    rows: int
    """Frames of train."""
    networks: dict[str, Callable[[], Made]]
    """By the name that the table has; `bare` is the stage's own."""


def steps(
    made: Made, batches: Iterable[Batch], device: str, precision: str, *, compiled: bool = False
) -> Iterator[int]:
    """Train; after each step, how many images it took."""
    model, loss_of = made
    model.to(device).train()
    if compiled:
        backbone: Any = model.backbone
        backbone.compile()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    dtype = PRECISIONS[precision]
    for batch in batches:
        there = [part.to(device, non_blocking=True) for part in batch]
        with torch.autocast(device, dtype, enabled=dtype != torch.float32):
            loss = loss_of(*there)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield len(there[0])


def classifier(params: ClassificationParams, size: int) -> Measured:
    """On frames with a class each, of a size in pixels."""
    classes, sides = read_split(PATHS.index, PATHS.split)
    side, online, model = sides["train"], params.augment.online, params.model
    augmentations = {size: Augmentation(online, size)} if online else {}
    frames = Frames([ImageStore(PATHS.images)], side.ids, side.labels, [size], augmentations)

    def own() -> Made:
        architecture = ClassifierArchitecture(
            model.backbone, model.input_size, model.mean, model.std, classes, model.options
        )
        network = Classifier(architecture, model.drop_rate, auxiliary=params.train.auxiliary > 0)

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            heads = network.heads(images.permute(0, 3, 1, 2))
            return torch.stack([functional.cross_entropy(h, labels) for h in heads]).sum()

        return network, loss

    return Measured(frames, len(side.ids), {"bare": own})


def detector(params: DetectionParams, size: int) -> Measured:
    """On frames with boxes, of a size in pixels."""
    classes, sides = read_boxes(PATHS.index, PATHS.split)
    side, online, model = sides["train"], params.augment.online, params.model
    augmentation = Augmentation(online, size, boxed=True) if online else None
    frames = BoxedFrames(ImageStore(PATHS.images), side, size, augmentation)
    architecture = Architecture(
        model.backbone, size, model.mean, model.std, classes, model.width, model.detections,
        model.iou, model.options,
    )  # fmt: skip

    def own() -> Made:
        network = Detector(architecture, model.drop_rate)

        def loss(images: Tensor, boxes: Tensor, labels: Tensor, _: Tensor) -> Tensor:
            parts = losses(network.places(images.permute(0, 3, 1, 2)), boxes, labels)
            return torch.stack([values.mean() for values in parts.values()]).sum()

        return network, loss

    return Measured(
        frames, len(side.ids), {"bare": own, "torchvision": lambda: _fcos(architecture)}
    )


class _Maps(nn.Module):
    """The maps of a timm network at our detector's strides, as torchvision's takes them."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        name, options = architecture.backbone, architecture.options
        whole: Any = timm.create_model(name, features_only=True, **options)
        places = [whole.feature_info.reduction().index(stride) for stride in STRIDES]
        body: Any = timm.create_model(name, features_only=True, out_indices=places, **options)
        self.body = body.to(memory_format=torch.channels_last)
        self.out_channels = architecture.width
        self.pyramid = FeaturePyramidNetwork(body.feature_info.channels(), self.out_channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.body(images.contiguous(memory_format=torch.channels_last))
        found: dict[str, Tensor] = self.pyramid({str(n): each for n, each in enumerate(maps)})
        return found


def _fcos(architecture: Architecture) -> Made:
    """FCOS of torchvision on the same network, maps and channels, with as many convolutions.

    Its head has two towers of them, one for classes and one for boxes; ours one for both.
    """
    size, classes = architecture.input_size, len(architecture.classes)
    network = FCOS(
        _Maps(architecture), classes, size, size, architecture.mean, architecture.std,
        AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES)),
        FCOSHead(architecture.width, 1, classes, CONVOLUTIONS),
    )  # fmt: skip

    def loss(images: Tensor, boxes: Tensor, labels: Tensor, _: Tensor) -> Tensor:
        targets = [
            {"boxes": corners[of != PADDING], "labels": of[of != PADDING]}
            for corners, of in zip(boxes, labels, strict=True)
        ]
        parts = network(list(images.permute(0, 3, 1, 2) / 255), targets)
        return torch.stack(list(parts.values())).sum()

    return network, loss
