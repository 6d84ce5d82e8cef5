"""A page that shows a person what prepare found of boxes."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from springfield.images.drawing.boxes import draw_boxes
from springfield.images.drawing.thumbnail import thumbnail
from springfield.images.store import ImageStore
from springfield.pages.template import write_page

TEMPLATE = Path(__file__).with_name("boxes_page.html.jinja")
SHOWN, HEIGHT = 6, 120
"""Small pictures of a class, and their height in pixels."""
DOTS = 2000
"""Boxes whose sizes are drawn."""
QUANTILES = {"smallest tenth": 0.1, "median": 0.5, "largest tenth": 0.9}


def write_boxes_page(
    index: pd.DataFrame, images: ImageStore, report: dict[str, Any], path: Path
) -> None:
    """Write an HTML page with boxes on pictures, their sizes and shapes, and what was not used.

    Args:
        index: the table of what is used; its `boxes` are lists of class, x1, y1, x2, y2.
        images: the pictures.
        report: what prepare reports as JSON.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    boxes = _sizes(index, images)
    classes = [
        entry
        | {
            "pictures": _examples(index, images, entry["class"]),
            "area": boxes.loc[boxes["class"] == entry["class"], "area"].median(),
        }
        for entry in sorted(report["classes"], key=lambda c: (-c["boxes"], c["class"]))
    ]
    quantiles = {
        label: boxes[["width", "height", "area", "shape"]].quantile(q).to_dict()
        for label, q in QUANTILES.items()
    }
    write_page(
        TEMPLATE,
        path,
        **report | {"classes": classes},
        empty=_examples(index, images, ""),
        most=classes[0]["boxes"],
        archives=sorted(set(index["source"].str.split("!").str[0])),
        quantiles=quantiles,
        dots=boxes.iloc[_spread(len(boxes), DOTS)][["width", "height"]].to_dict("records"),
        lists=[
            ("Pictures that cannot be used", report["refused"]),
            ("Boxes that cannot be used", report["refused_boxes"]),
            ("Boxes that are left out", report["left_out"]),
            ("Pictures whose boxes are all left out", report["unboxed"]),
            ("The same picture with other boxes", report["conflicts"]),
            ("Repeat another picture", report["duplicates"]),
        ],
    )


def _sizes(index: pd.DataFrame, images: ImageStore) -> pd.DataFrame:
    """Of each box: its class, width, height and area as shares of the picture, and its shape."""
    rows = []
    for image_id, boxes in zip(index["id"], index["boxes"], strict=True):
        across, down = images.size(image_id)
        for name, x1, y1, x2, y2 in boxes:
            width, height = (x2 - x1) / across, (y2 - y1) / down
            rows.append((name, width, height, width * height, (x2 - x1) / (y2 - y1)))
    return pd.DataFrame(rows, columns=["class", "width", "height", "area", "shape"])


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many positions among `n`, evenly."""
    return np.unique(np.linspace(0, n - 1, min(most, n)).astype(int))


def _examples(index: pd.DataFrame, images: ImageStore, name: str) -> list[str]:
    """A few small pictures with their boxes of one class; of no class: such without boxes."""
    examples = []
    fits = [any(box[0] == name for box in boxes) or not (name or boxes) for boxes in index["boxes"]]
    chosen = index[fits]
    for place in _spread(len(chosen), SHOWN):
        image_id, labelled = chosen["id"].iloc[place], chosen["boxes"].iloc[place]
        boxes = np.array([box[1:] for box in labelled if box[0] == name], np.float32)
        picture = Image.fromarray(images[image_id])
        scale = HEIGHT / picture.height
        small = picture.resize((max(1, round(picture.width * scale)), HEIGHT))
        drawn = draw_boxes(np.asarray(small), scale * boxes.reshape(-1, 4))
        examples.append(thumbnail(drawn, HEIGHT))
    return examples
