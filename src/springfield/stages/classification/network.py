"""The classifier: raw pixels in, logits out."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from springfield.learning.checkpoint import read_checkpoint
from springfield.machine.errors import UserError

AUXILIARY = "AuxLogits."
"""The auxiliary head's name in timm's Inception v3."""


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a classifier again."""

    backbone: str
    input_size: int
    mean: list[float]
    std: list[float]
    classes: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the backbone."""


def configuration(backbone: str) -> dict[str, Any]:
    """What timm says of a network, such as `mean`, `std` and `input_size` (channels, H, W).

    Raises:
        UserError: there is no such network; the text names near ones.
    """
    from springfield.stages.classification import small_networks  # noqa: F401 - registers

    if not timm.is_model(backbone):
        known = timm.list_models()
        near = [name for name in known if name.startswith(backbone)]
        near = near or difflib.get_close_matches(backbone, known)
        hint = f"; near it: {', '.join(near[:3])}" if near else ""
        raise UserError(f"model.backbone: timm has no '{backbone}'{hint}")
    try:
        found: Any = timm.get_pretrained_cfg(backbone, allow_unregistered=False)
        return asdict(found)
    except RuntimeError as error:
        raise UserError(f"model.backbone: {error}") from error


class Classifier(nn.Module):
    """A timm backbone that carries its own resizing and normalisation.

    Args:
        architecture: what to build.
        drop_rate: dropout before the head.
        auxiliary: with the second head that Inception v3 has for training, at 299 pixels or more.

    Raises:
        UserError: timm has no such backbone, or it does not take these options or this size.
    """

    backbone: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self, architecture: Architecture, drop_rate: float = 0.0, *, auxiliary: bool = False
    ) -> None:
        super().__init__()
        self.architecture = architecture
        configuration(architecture.backbone)
        options = architecture.options | ({"aux_logits": True} if auxiliary else {})
        create = partial(
            timm.create_model,
            architecture.backbone,
            num_classes=len(architecture.classes),
            drop_rate=drop_rate,
            **options,
        )
        try:
            try:
                backbone: Any = create(img_size=architecture.input_size)
            except TypeError:  # it takes any size, or the options say which
                backbone = create()
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise UserError(f"model.options: {architecture.backbone}: {error}") from error
        heads = backbone.pretrained_cfg["classifier"]
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.head = tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads))
        """How the names of the last layers' parameters begin."""
        for name in ("mean", "std"):
            values = torch.tensor(getattr(architecture, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values * 255, persistent=False)

    def resize(self, images: Tensor) -> Tensor:
        """Pixels (float, N x 3 x size x size, 0 to 255) of images (uint8, N x H x W x 3)."""
        pixels, size = images.permute(0, 3, 1, 2).float(), self.architecture.input_size
        return functional.interpolate(pixels, size, mode="bilinear", antialias=True)

    def heads(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Logits (N x classes) of the head, and of the auxiliary one if there is one.

        Args:
            pixels: N x 3 x size x size, 0 to 255.
        """
        logits: Tensor | tuple[Tensor, ...] = self.backbone((pixels.float() - self.mean) / self.std)
        return logits if isinstance(logits, tuple) else (logits,)

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits (N x classes) of pixels (N x 3 x size x size, 0 to 255)."""
        return self.heads(pixels)[0]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N x classes) of RGB images (uint8, N x H x W x 3, any H and W)."""
        return self.logits(self.resize(images))

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters below the heads."""
        return (
            parameter
            for name, parameter in self.backbone.named_parameters()
            if not name.startswith((*self.head, AUXILIARY))
        )

    def drop_auxiliary(self) -> None:
        """Leave only what inference needs."""
        if getattr(self.backbone, "aux_logits", False):
            self.backbone.aux_logits = False
            self.backbone.AuxLogits = None


class Probabilities(nn.Module):
    """What is exported: a classifier with its temperature and softmax."""

    def __init__(self, classifier: Classifier, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (N x classes) of RGB images (uint8, N x H x W x 3)."""
        return torch.softmax(self.classifier(images) / self.temperature, dim=1)


class Logits(nn.Module):
    """What is exported for accelerators: a classifier without its resizing."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N x classes) of pixels (N x 3 x size x size, 0 to 255)."""
        return self.classifier.logits(pixels)


def load_backbone(model: Classifier, weights: Path) -> None:
    """Load weights trained on other classes: everything but the heads must match.

    The heads start from zero (as in BiT, Kolesnikov et al., 2020): with what timm draws them from,
    trained features give logits so large that unlearning them costs epochs.

    Raises:
        UserError: the weights are those of another network.
    """
    own = model.backbone.state_dict()
    state = {
        name: value
        for name, value in load_file(weights).items()
        if not name.startswith(model.head)
        and (not name.startswith(AUXILIARY) or (name in own and own[name].shape == value.shape))
    }
    try:
        result = model.backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(f"{weights.name}: {str(error).splitlines()[-1].strip()}") from error
    differing = {*result.missing_keys, *result.unexpected_keys}
    if wrong := sorted(n for n in differing if not n.startswith((*model.head, AUXILIARY))):
        raise UserError(
            f"{weights.name} does not fit {model.architecture.backbone}: {len(wrong)} names "
            f"differ, the first is {wrong[0]}"
        )
    for name, parameter in model.backbone.named_parameters():
        if name.startswith((*model.head, f"{AUXILIARY}fc.")):
            nn.init.zeros_(parameter)


def load_checkpoint(folder: Path) -> Classifier:
    """The classifier of a checkpoint, in evaluation mode.

    Raises:
        UserError: there is none.
    """
    architecture, state = read_checkpoint(folder)
    model = Classifier(Architecture(**architecture))
    model.load_state_dict(state)
    return model.eval()
