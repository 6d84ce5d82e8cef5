"""A page of the frames whose boxes were found worst: they are where labels are wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from springfield.images.drawing.boxes import FOUND, LABELLED
from springfield.pages.template import write_page

TEMPLATE = Path(__file__).with_name("misses_page.html.jinja")


def write_misses_page(
    shown: Sequence[Mapping[str, Any]], misses: int, frames: int, path: Path
) -> None:
    """Write an HTML page with pictures, and what is labelled and found in them.

    Args:
        shown: the frames to show, with `labelled` and `found` (texts of the boxes), `f1`, `source`,
            `sha256`, and a data URI as `picture`, which has the boxes in their two colours.
        misses: in how many frames something is wrong or missing.
        frames: of so many.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    colours = {"labelled": LABELLED, "found": FOUND}
    write_page(TEMPLATE, path, shown=shown, misses=misses, frames=frames, **colours)
