"""A page of the most confident mistakes: they are where labels are wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from springfield.pages.template import write_page

TEMPLATE = Path(__file__).with_name("mistakes_page.html.jinja")


def write_mistakes_page(
    shown: Sequence[Mapping[Any, Any]], mistakes: int, frames: int, path: Path
) -> None:
    """Write an HTML page with pictures, labels and predictions.

    Args:
        shown: the mistakes to show, with `class`, `predicted`, `confidence`, `source`, `sha256`
            and a data URI as `picture`.
        mistakes: how many there are.
        frames: in so many test frames.
        path: file to write; it holds small pictures, so it is kept out of Git.
    """
    write_page(TEMPLATE, path, shown=shown, mistakes=mistakes, frames=frames)
