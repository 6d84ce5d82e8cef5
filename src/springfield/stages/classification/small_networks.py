"""A network for pictures of about 30 pixels, registered with timm beside its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import get_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

POOLINGS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "max": (nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    "average": (nn.AvgPool2d, nn.AdaptiveAvgPool2d),
}
"""What makes a picture smaller, and what leaves one value of it."""
default_cfgs = generate_default_cfgs({"small_cnn.untrained": {"classifier": "head"}})


@dataclass(frozen=True)
class Convolution:
    """A convolution with an activation."""

    width: int
    """Filters."""
    kernel: int
    """Side of a filter in pixels."""
    pad: bool = False
    """With a border of zeros, so that the side stays what it is."""
    norm: bool = False
    """With batch norm before the activation."""
    pool: bool = True
    """With pooling after it."""


class SmallCNN(nn.Module):
    """The network of first lectures: convolutions and poolings, then dense layers.

    Args:
        convolutions: the arguments of each `Convolution`.
        dense: widths of the dense layers before the last one.
        img_size: side of the input in pixels.
        channels: 3: red, green and blue; 1: their mean.
        global_pool: what the dense layers see of each filter is its maximum (or average), not its
            value at each place; then the input may have another side, too.
        crop: side of the part that it looks at, in pixels: anywhere in training, the middle
            otherwise; 0: all of the input.
        activation: timm's name of one: `relu`, `leaky_relu`, `tanh`, `sigmoid`, ...
        pooling: `max` or `average`.
        pool_size: side of a pooling in pixels.
        drops: dropout after each convolution and dense layer in turn; none: no dropout there.
        num_classes: width of the last layer.
        drop_rate: dropout before the last layer.

    Raises:
        ValueError: no such activation or pooling, or no pixel is left of the picture.
    """

    def __init__(
        self,
        convolutions: list[dict[str, Any]],
        dense: list[int],
        img_size: int,
        channels: int = 3,
        global_pool: bool = False,
        crop: int = 0,
        activation: str = "relu",
        pooling: str = "max",
        pool_size: int = 2,
        drops: Sequence[float] = (),
        num_classes: int = 10,
        in_chans: int = 3,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.crop = crop
        if pooling not in POOLINGS:
            raise ValueError(f"pooling={pooling}: there are {' and '.join(POOLINGS)}")
        pool, pool_all = POOLINGS[pooling]
        if drops and len(drops) != len(convolutions) + len(dense):
            raise ValueError(
                f"drops={list(drops)}: the network has {len(convolutions)} convolutions and "
                f"{len(dense)} dense layers"
            )
        dropout = iter([[nn.Dropout(rate)] for rate in drops])
        bend = _activation(activation)
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
            layers.append(bend())
            if layer.pool:
                layers.append(pool(pool_size))
                side //= pool_size
            if side < 1:
                raise ValueError(
                    "no pixel is left of the picture; take smaller kernels or poolings"
                )
            layers += next(dropout, [])
            width = layer.width
        if global_pool:
            layers.append(pool_all(1))
            side = 1
        layers.append(nn.Flatten())
        width *= side * side
        for outputs in dense:
            layers += [nn.Linear(width, outputs), bend(), *next(dropout, [])]
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


def _activation(name: str) -> type[nn.Module]:
    try:
        found: type[nn.Module] = get_act_layer(name)
    except KeyError as error:
        raise ValueError(f"activation={name}: timm has none of this name") from error
    return found


@register_model
def small_cnn(pretrained: bool = False, **options: Any) -> SmallCNN:
    """A `SmallCNN`."""
    model: SmallCNN = build_model_with_cfg(SmallCNN, "small_cnn", pretrained, **options)
    return model
