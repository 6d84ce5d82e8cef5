"""Find where in pictures something is, with an exported model; needs neither torch nor DVC."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from springfield.machine.errors import UserError
from springfield.serving.predict import Opened, reduced

NAMES = ["image", "boxes", "scores", "labels"]


@dataclass(frozen=True)
class Box:
    """Something found in a picture."""

    name: str
    """Of its class."""
    score: float
    """0 to 1."""
    corners: list[float]
    """x1 y1 x2 y2 in pixels of the picture."""

    @property
    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"class": self.name, "score": self.score, "box": self.corners}


class Detector:
    """A detector that `springfield export` wrote.

    Args:
        opened: the file.

    Raises:
        UserError: it is no detector.
    """

    def __init__(self, opened: Opened) -> None:
        self.session, metadata = opened.session, opened.metadata
        names = [i.name for i in (*self.session.get_inputs(), *self.session.get_outputs())]
        try:
            self.classes: list[str] = json.loads(metadata["classes"])
            self.threshold: float = json.loads(metadata["threshold"])
            """The score below which a box is left out."""
            if opened.task != "detection" or names != NAMES:
                raise ValueError(names)
        except (KeyError, ValueError) as error:
            raise UserError(f"{opened.path} is no detector of 'springfield export'") from error

    def find(self, image: Image.Image, threshold: float | None = None) -> list[Box]:
        """What is found in an RGB picture of `decode`, the most probable first.

        Args:
            image: the picture; a large one is looked at averaged over blocks, as by a classifier.
            threshold: the lowest score; None: the model's own.
        """
        lowest = self.threshold if threshold is None else threshold
        pixels, block = reduced(image)
        found = self.batch(pixels[None], lowest)[0]
        whole = np.array(image.info["size"] * 2)
        scale = block * whole / (image.size * 2)
        ends = [np.minimum(np.array(box.corners) * scale, whole).tolist() for box in found]
        return [Box(box.name, box.score, end) for box, end in zip(found, ends, strict=True)]

    def batch(self, images: NDArray[np.uint8], threshold: float) -> list[list[Box]]:
        """The boxes, in pixels of each of these RGB images (N x H x W x 3), the best first."""
        outputs = self.session.run(None, {"image": images})
        return [
            [
                Box(self.classes[label], float(score), corners.tolist())
                for corners, score, label in zip(*one, strict=True)
                if score > 0 and score >= threshold
            ]
            for one in zip(*outputs, strict=True)
        ]
