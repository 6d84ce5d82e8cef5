"""Pictures to try the page with, of classes that its model knows."""

import csv
import io
from collections import defaultdict
from pathlib import Path
from typing import TypeVar

from PIL import Image

from springfield.machine.paths import Paths
from springfield.sources.sample import frames

MOST = 24
"""Of them."""
QUALITY = 90
"""Of WebP."""

T = TypeVar("T")
Samples = dict[str, tuple[str, bytes]]
"""By path in the page: the class, and the picture's file."""


def tested_pictures(paths: Paths, classes: list[str]) -> Samples:
    """Some of the test side of the data that a model was made of, every class in turn.

    None where the data are not there, or the package that reads them (pyarrow), or where nothing
    of them is among the classes.
    """
    if not all(path.is_file() for path in (paths.images, paths.index, paths.split)):
        return {}
    try:
        from springfield.images.store import ImageStore
    except ModuleNotFoundError:
        return {}
    tested = [row for row in _rows(paths.split) if row["split"] == "test"]
    shots = {row["group"]: row["id"] for row in reversed(tested)}  # frames of one look alike
    shown, by_class = set(shots.values()), defaultdict(list)
    for row in _rows(paths.index):
        if row["id"] in shown and row["class"] in classes:
            by_class[row["class"]].append(row["id"])
    store = ImageStore(paths.images)
    chosen = [(name, one) for name, one in _in_turn(by_class) if one in store]
    return _named([(name, Image.fromarray(store[one])) for name, one in chosen[:MOST]])


def drawn_pictures(classes: list[str]) -> Samples:
    """Of the sample's cartoon, a frame of each shot, every character in turn."""
    by_class = defaultdict(list)
    for path, image in frames(scale=0):
        _, character, name = path.split("/")
        if name.endswith("_frame_0.png") and character in classes:
            by_class[character].append(image)
    return _named(_in_turn(by_class)[:MOST])


def _in_turn(by_class: dict[str, list[T]]) -> list[tuple[str, T]]:
    """The first of each class, then the second of each, and so on."""
    numbered = [
        (number, name, one)
        for name, several in by_class.items()
        for number, one in enumerate(several)
    ]
    return [(name, one) for _, name, one in sorted(numbered, key=lambda found: found[0])]


def _named(pictures: list[tuple[str, Image.Image]]) -> Samples:
    found = {}
    for number, (name, image) in enumerate(pictures):
        file = io.BytesIO()
        image.save(file, "WEBP", quality=QUALITY)
        found[f"samples/{number:02}.webp"] = (name, file.getvalue())
    return found


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
