"""The detector: raw pixels in, boxes out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou

from springfield.learning.checkpoint import read_checkpoint
from springfield.machine.errors import UserError

STRIDES = (16, 32)
"""Of the maps that boxes are read from: pixels of the input from one place to the next."""
CONVOLUTIONS = 2
"""Of the head."""
PRIOR = 0.01
"""Probability of a class at any place, at the start."""
QUALITY = 0.15
"""Share of the quality in a score; 0.3 and 0.5 are no better on val."""
CHECKPOINT = "backbone."
"""How names of a classifier's checkpoint of this pipeline begin."""


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a detector again."""

    backbone: str
    input_size: int
    mean: list[float]
    std: list[float]
    classes: list[str]
    width: int
    """Channels of the head."""
    detections: int
    """Boxes of a picture, at most."""
    iou: float
    """Overlap past which two boxes of a class are of one thing."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the backbone."""


class Places(NamedTuple):
    """What the head says of each of P places; lengths in pixels of the square input."""

    logits: Tensor
    """Of the classes: N x P x classes."""
    boxes: Tensor
    """x1 y1 x2 y2: N x P x 4."""
    quality: Tensor
    """Logits of the IoU of a place's box with the true one: N x P."""
    points: Tensor
    """x and y: P x 2."""
    strides: Tensor
    """P."""


class Detections(NamedTuple):
    """What is found in pictures, the most probable first; nothing: all zero."""

    boxes: Tensor
    """x1 y1 x2 y2: N x K x 4."""
    scores: Tensor
    """0 to 1: N x K."""
    labels: Tensor
    """Positions in the list of classes: N x K."""


class Detector(nn.Module):
    """A small FCOS (Tian et al., 2019) that carries its own resizing and normalisation.

    Each place of two maps of a timm backbone, at strides 16 and 32, says of which class the thing
    around it is, how far its four sides are, and how well it hits them (the IoU of Wu et al., 2020,
    in place of the centreness).

    Args:
        architecture: what to build.
        drop_rate: dropout of whole channels before the last layers.

    Raises:
        UserError: timm has no such backbone, it has no such maps, or does not take these options.
    """

    backbone: Any
    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone, self.indices, channels = _backbone(architecture)
        width = architecture.width
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        tower = [
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.GroupNorm(math.gcd(32, width), width),
                nn.ReLU(inplace=True),
            )
            for _ in range(CONVOLUTIONS)
        ]
        self.tower = nn.Sequential(*tower, nn.Dropout2d(drop_rate))
        self.classes = _last(width, len(architecture.classes), -math.log((1 - PRIOR) / PRIOR))
        self.sides = _last(width, 4 + 1, 0.0)  # and the quality
        for name in ("mean", "std"):
            values = torch.tensor(getattr(architecture, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values * 255, persistent=False)

    def resize(self, images: Tensor) -> Tensor:
        """Pixels (float, N x 3 x size x size, 0 to 255) of images (uint8, N x H x W x 3)."""
        pixels, size = images.permute(0, 3, 1, 2).float(), self.architecture.input_size
        return functional.interpolate(pixels, size, mode="bilinear", antialias=True)

    def places(self, pixels: Tensor) -> Places:
        """What the head says of pixels (N x 3 x size x size, 0 to 255)."""
        images = ((pixels.float() - self.mean) / self.std).contiguous(
            memory_format=torch.channels_last
        )
        maps = self.backbone.forward_intermediates(
            images, indices=self.indices, intermediates_only=True
        )
        fine, coarse = (layer(found) for layer, found in zip(self.lateral, maps, strict=True))
        fine = fine + functional.interpolate(coarse, fine.shape[-2:])
        found = [
            self._level(features, stride, pixels.shape[-1])
            for features, stride in zip((fine, coarse), STRIDES, strict=True)
        ]
        logits, boxes, quality = (torch.cat([level[n] for level in found], 1) for n in range(3))
        points, strides = (torch.cat([level[n] for level in found]) for n in (3, 4))
        return Places(logits, boxes, quality, points, strides)

    def _level(self, features: Tensor, stride: int, size: int) -> Places:
        rows, columns = features.shape[-2:]
        features = self.tower(features)
        logits = self.classes(features).flatten(2).transpose(1, 2)
        sides = self.sides(features).flatten(2).transpose(1, 2).float()
        # Networks that pad nothing have fewer places, around the middle of the picture.
        x, y = (
            (size - (n - 1) * stride) / 2
            + stride * torch.arange(n, device=features.device, dtype=torch.float32)
            for n in (columns, rows)
        )
        points = torch.cartesian_prod(y, x).flip(1)
        distances = stride * sides[..., :4].exp()
        boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
        return Places(logits, boxes, sides[..., 4], points, torch.full_like(points[:, 0], stride))

    def detect(self, pixels: Tensor) -> Detections:
        """What is found in pixels (N x 3 x size x size, 0 to 255), in pixels of that square."""
        return self.best(self.places(pixels))

    def best(self, found: Places) -> Detections:
        """Of what all places say, what is given: the most probable, one for each thing.

        A box is the mean of those that it hides, by their scores (Gidaris and Komodakis, 2015).
        """
        size, classes = self.architecture.input_size, len(self.architecture.classes)
        quality = found.quality[..., None].sigmoid() ** QUALITY
        scores = found.logits.float().sigmoid() ** (1 - QUALITY) * quality
        count = min(self.architecture.detections, scores[0].numel())
        best, order = scores.flatten(1).topk(count)
        labels = order % classes
        where = (order // classes)[..., None].expand(-1, -1, 4)
        boxes = found.boxes.gather(1, where).clamp(0, size)
        same = alike(boxes, labels, self.architecture.iou)
        votes = (same * best[:, None, :])[..., None]
        # No product of matrices: mixed precision would round the corners to whole pixels.
        boxes = (votes * boxes[:, None]).sum(2) / votes.sum(2)
        final, order = (best * ~suppressed(same)).topk(count)
        there = final > 0
        boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4)) * there[..., None]
        return Detections(boxes, final, labels.gather(1, order) * there)

    def forward(self, images: Tensor) -> Detections:
        """What is found in RGB images (uint8, N x H x W x 3, any H and W), in their pixels."""
        found = self.detect(self.resize(images))
        height, width = images.shape[1:3]
        scale = torch.tensor([width, height, width, height], device=images.device)
        return found._replace(boxes=found.boxes * scale / self.architecture.input_size)

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters below the head."""
        found: Iterator[nn.Parameter] = self.backbone.parameters()
        return found


def alike(boxes: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Which pairs of boxes of a picture may be of the same thing: N x K x K.

    Args:
        boxes: x1 y1 x2 y2: N x K x 4.
        labels: N x K.
        iou: overlap past which those of a class are.
    """
    itself = torch.eye(boxes.shape[1], dtype=torch.bool, device=boxes.device)
    overlapping: Tensor = (box_iou(boxes, boxes) > iou) | itself
    return overlapping & (labels[:, :, None] == labels[:, None, :])


def suppressed(same: Tensor, rounds: int = 20) -> Tensor:
    """Which boxes (N x K) a better one of the same thing hides: non-maximum suppression.

    Cluster-NMS (Zheng et al., 2020) says the same as going through the boxes one by one, for all
    pictures at once: after n rounds it is right wherever no more than n boxes hide each other in a
    row.

    Args:
        same: which are `alike`, the best first: N x K x K.
        rounds: how many.
    """
    hides = same.float().triu(1)
    hidden = torch.zeros_like(hides[:, :1])
    for _ in range(rounds):
        hidden = ((1 - hidden) @ hides > 0).float()
    return hidden[:, 0] > 0


def _last(width: int, channels: int, start: float) -> nn.Conv2d:
    """A convolution that says `start` at first, nearly."""
    layer = nn.Conv2d(width, channels, 3, padding=1)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, start)
    return layer


def _backbone(architecture: Architecture) -> tuple[nn.Module, list[int], list[int]]:
    """A network of timm without what is above its last map; which of its maps, their channels."""
    name = architecture.backbone
    if not timm.is_model(name):
        raise UserError(f"model.backbone: timm has no '{name}'")
    create = partial(timm.create_model, name, num_classes=0, **architecture.options)
    try:
        made: Any = create()
        info = {layer["reduction"]: place for place, layer in enumerate(made.feature_info)}
        indices = [info[stride] for stride in STRIDES]
        channels = [made.feature_info[place]["num_chs"] for place in indices]
        made.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    except (AttributeError, KeyError) as error:
        raise UserError(
            f"model.backbone: {name} gives no maps at strides {STRIDES}; take a convolutional one"
        ) from error
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f"model.options: {name}: {error}") from error
    return made.to(memory_format=torch.channels_last), indices, channels


def load_backbone(model: Detector, weights: Path) -> None:
    """Load weights of a classifier, of timm or of this pipeline: all but those above the maps.

    Raises:
        UserError: the weights are those of another network.
    """
    state = load_file(weights)
    if all(name.startswith(CHECKPOINT) for name in state):
        state = {name.removeprefix(CHECKPOINT): value for name, value in state.items()}
    try:
        missing = model.backbone.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        raise UserError(f"{weights.name}: {str(error).splitlines()[-1].strip()}") from error
    if missing:
        raise UserError(
            f"{weights.name} does not fit {model.architecture.backbone}: it lacks {len(missing)} "
            f"names, the first is {missing[0]}"
        )


def load_checkpoint(folder: Path) -> Detector:
    """The detector of a checkpoint, in evaluation mode.

    Raises:
        UserError: there is none.
    """
    architecture, state = read_checkpoint(folder)
    model = Detector(Architecture(**architecture))
    model.load_state_dict(state)
    return model.eval()
