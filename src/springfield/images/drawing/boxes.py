"""Boxes on pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

LABELLED, FOUND = (60, 180, 75), (230, 80, 20)
"""Colours of what a person drew, and of what a network found."""


def draw_boxes(
    image: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    names: Sequence[str] = (),
    colour: tuple[int, int, int] = LABELLED,
) -> NDArray[np.uint8]:
    """An RGB image (H x W x 3) with boxes (N x 4, x1 y1 x2 y2 in its pixels), and a name at each.

    Names are in Latin letters only, since no other font is sure to be there.
    """
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    line = max(1, min(picture.size) // 100)
    letters = max(10, min(picture.size) // 30)
    for number, box in enumerate(boxes.tolist()):
        pen.rectangle(box, outline=colour, width=line)
        if names:
            corner = (box[0] + line, max(0.0, box[1] - 1))
            outline = max(1, letters // 10)
            pen.text(
                corner, names[number], colour, font_size=letters,
                stroke_fill="white", stroke_width=outline,
            )  # fmt: skip
    return np.asarray(picture)
