"""albumentations pipelines from what `conf/augment` says."""

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import albumentations
import numpy as np
from numpy.typing import NDArray

from springfield.machine.errors import UserError

VISIBLE = 0.3
"""Share of a box that must be left of it."""


class Augmentation:
    """A pipeline whose result depends on the seeds given with each image, and on nothing else.

    albumentations 2.0.8 repeats itself when it seeds loader workers on its own.

    Args:
        transforms: albumentations transforms, each with its `name` and arguments.
        size: side in pixels of what those transforms give that choose a size.
        boxed: whether images come with boxes.

    Raises:
        UserError: an unknown transform, arguments that it does not take, or one that cannot take
            boxes along.
    """

    def __init__(self, transforms: list[dict[str, Any]], size: int, *, boxed: bool = False) -> None:
        boxes = albumentations.BboxParams(
            "pascal_voc", ["labels"], min_visibility=VISIBLE, clip=True
        )
        blank = np.zeros((2 * size, 2 * size, 3), np.uint8)
        with _refusals("augment"):
            self.compose = albumentations.Compose(
                [_build(dict(arguments), size) for arguments in transforms],
                bbox_params=boxes if boxed else None,
            )
            if boxed:
                box = np.array([[0, 0, size, size]], np.float32)
                self.with_boxes(blank, box, np.zeros(1, np.int64), 0)
            else:
                self(blank, 0)

    def __call__(self, image: NDArray[np.uint8], *seeds: int) -> NDArray[np.uint8]:
        """Augment an RGB image (H x W x 3, uint8).

        Raises:
            UserError: a transform makes no such image of it.
        """
        self._seed(*seeds)
        return _pixels(self.compose(image=image)["image"])

    def with_boxes(
        self,
        image: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        labels: NDArray[np.int64],
        *seeds: int,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
        """Augment an image with its boxes (n x 4, x1 y1 x2 y2 in pixels) and their labels (n).

        Boxes of which less than `VISIBLE` is left in sight are dropped.

        Raises:
            UserError: a transform makes no such image of it.
        """
        self._seed(*seeds)
        found = self.compose(image=image, bboxes=boxes, labels=labels)
        corners = np.asarray(found["bboxes"], np.float32).reshape(-1, 4)
        kept = np.asarray(found["labels"], np.int64)
        return _pixels(found["image"]), corners, kept

    def _seed(self, *seeds: int) -> None:
        self.compose.set_random_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))


def _pixels(found: Any) -> NDArray[np.uint8]:
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != 3:
        kind = getattr(found, "dtype", type(found).__name__)
        raise UserError(
            f"augment: a transform gives {kind} in place of pictures of whole numbers from 0 to "
            "255, as Normalize, ToFloat and ToTensorV2 do; take it out: networks normalise by "
            "themselves"
        )
    return found


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """What albumentations warns of or refuses becomes an error of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            yield
    except (UserWarning, TypeError, ValueError) as error:
        raise UserError(f"{what}: {' '.join(str(error).split())}") from error


def _build(arguments: dict[str, Any], size: int) -> albumentations.BasicTransform:
    name = arguments.pop("name")
    transform = getattr(albumentations, name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        raise UserError(f"augment: albumentations has no transform '{name}'")
    if "size" in inspect.signature(transform).parameters:
        arguments["size"] = (size, size)
    with _refusals(f"augment: {name}"):
        return transform(**arguments)
