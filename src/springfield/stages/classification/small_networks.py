"""A network for pictures of about 30 pixels, registered with timm beside its own."""

from dataclasses import dataclass
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

default_cfgs = generate_default_cfgs({"small_cnn.untrained": {"classifier": "head"}})


@dataclass(frozen=True)
class Convolution:
    """A convolution with ReLU."""

    width: int
    """Filters."""
    kernel: int
    """Side of a filter in pixels."""
    pad: bool = False
    """With a border of zeros, so that the side stays what it is."""
    norm: bool = False
    """With batch norm before ReLU."""
    pool: bool = True
    """With a max-pooling of 2 x 2 after it."""


class SmallCNN(nn.Module):
    """The network of first lectures: convolutions and poolings, then dense layers.

    Args:
        convolutions: the arguments of each `Convolution`.
        dense: widths of the dense layers before the last one.
        img_size: side of the input in pixels.
        channels: 3: red, green and blue; 1: their mean.
        global_pool: what the dense layers see of each filter is its maximum, not its value at each
            place; then the input may have another side, too.
        crop: side of the part that it looks at, in pixels: anywhere in training, the middle
            otherwise; 0: all of the input.
        num_classes: width of the last layer.
        drop_rate: dropout before the last layer.
    """

    def __init__(
        self,
        convolutions: list[dict[str, Any]],
        dense: list[int],
        img_size: int,
        channels: int = 3,
        global_pool: bool = False,
        crop: int = 0,
        num_classes: int = 10,
        in_chans: int = 3,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.crop = crop
        layers: list[nn.Module] = []
        width, side = channels, crop or img_size
        for layer in (Convolution(**arguments) for arguments in convolutions):
            padding = layer.kernel // 2 if layer.pad else 0
            side -= 0 if layer.pad else layer.kernel - 1
            layers.append(
                nn.Conv2d(width, layer.width, layer.kernel, padding=padding, bias=not layer.norm)
            )
            if layer.norm:
                layers.append(nn.BatchNorm2d(layer.width))
            layers.append(nn.ReLU())
            if layer.pool:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            width = layer.width
        if global_pool:
            layers.append(nn.AdaptiveMaxPool2d(1))
            side = 1
        layers.append(nn.Flatten())
        width *= side * side
        for outputs in dense:
            layers += [nn.Linear(width, outputs), nn.ReLU()]
            width = outputs
        layers.append(nn.Dropout(drop_rate))
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N x classes) of normalised pixels (N x 3 x size x size)."""
        if self.crop:
            pixels = self._cropped(pixels)
        if self.channels == 1:
            pixels = pixels.mean(1, keepdim=True)
        logits: Tensor = self.head(self.trunk(pixels))
        return logits

    def _cropped(self, pixels: Tensor) -> Tensor:
        free = pixels.shape[-1] - self.crop
        if not self.training:
            middle = slice(free // 2, free // 2 + self.crop)
            return pixels[:, :, middle, middle]
        windows = pixels.unfold(2, self.crop, 1).unfold(3, self.crop, 1)
        places = torch.randint(free + 1, (2, len(pixels)), device=pixels.device)
        return windows[torch.arange(len(pixels), device=pixels.device), :, places[0], places[1]]

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head


@register_model
def small_cnn(pretrained: bool = False, **options: Any) -> SmallCNN:
    """A `SmallCNN`."""
    model: SmallCNN = build_model_with_cfg(SmallCNN, "small_cnn", pretrained, **options)
    return model
