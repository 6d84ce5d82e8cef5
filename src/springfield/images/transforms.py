"""albumentations pipelines from what `conf/augment` says."""

import inspect
import warnings
from typing import Any

import albumentations
import numpy as np
from numpy.typing import NDArray

from springfield.machine.errors import UserError


class Augmentation:
    """A pipeline whose result depends on the seeds given with each image, and on nothing else.

    albumentations 2.0.8 repeats itself when it seeds loader workers on its own.

    Args:
        transforms: albumentations transforms, each with its `name` and arguments.
        size: side in pixels of what those transforms give that choose a size.

    Raises:
        UserError: an unknown transform, or arguments that it does not take.
    """

    def __init__(self, transforms: list[dict[str, Any]], size: int) -> None:
        self.compose = albumentations.Compose(
            [_build(dict(arguments), size) for arguments in transforms]
        )

    def __call__(self, image: NDArray[np.uint8], *seeds: int) -> NDArray[np.uint8]:
        """Augment an RGB image (H x W x 3, uint8)."""
        seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
        self.compose.set_random_seed(seed)
        return np.asarray(self.compose(image=image)["image"], np.uint8)


def _build(arguments: dict[str, Any], size: int) -> albumentations.BasicTransform:
    name = arguments.pop("name")
    transform = getattr(albumentations, name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        raise UserError(f"augment: albumentations has no transform '{name}'")
    if "size" in inspect.signature(transform).parameters:
        arguments["size"] = (size, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return transform(**arguments)
    except (UserWarning, TypeError, ValueError) as error:
        raise UserError(f"augment: {name}: {' '.join(str(error).split())}") from error
