"""Stage prepare: decode and check every image once, so that nothing later has to."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from rich.markup import escape

from springfield.files import atomic, write_json
from springfield.images.drawing.data_page import write_data_page
from springfield.images.drawing.thumbnail import thumbnail
from springfield.images.reading.archives import Item, count_files, labelled
from springfield.images.reading.formats import FORMATS, PICTURE, TABLE, Layout, labelled_records
from springfield.images.reading.notes import on_names, on_sides
from springfield.images.reading.parallel import Decoded, decoded
from springfield.images.reading.tables import labelled_by_tables
from springfield.images.store import ImageStore, write_images
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.stages.classification.params import ClassificationParams as Params

NEEDS = ("data.layout", "prepare")
PROGRESS = "Preparing images"
SHOWN, HEIGHT = 8, 72
"""Small pictures of a class on the page, and their height in pixels."""


@dataclass
class PrepareParams:
    """How images are kept."""

    shorter_side: Annotated[int, Field(ge=8)]
    """In pixels; smaller images keep their size."""
    max_refused: Annotated[float, Field(ge=0, le=1)]
    """The share of unusable files past which the stage fails."""


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Write every usable image of the archives, downscaled, and an index.

    Writes also what was not used and why: a report, and a page with samples of each class.

    Raises:
        UserError: no or damaged archives, no images, too many refused, an empty class.
    """
    archives = sorted(path for path in paths.raw.glob("*") if path.suffix != ".json")
    if not archives:
        raise UserError(f"{paths.raw} has no archive; run 'springfield download' first")
    found = _Found()
    workers = machine.hardware.workers or joblib.cpu_count()
    with atomic(paths.images.parent, directory=True) as partial:
        images, index = partial / paths.images.name, partial / paths.index.name
        items = _items(archives, params.data.layout, found)
        write_images(images, found.usable(decoded(items, params.prepare.shorter_side, workers)))
        found.notes = [*on_names(archives, found.of_class), *on_sides(found.rows)]
        report = found.report()
        _check(report, found.of_class, params.prepare)
        table = pd.DataFrame(found.rows)
        table.to_csv(index, index=False, lineterminator="\n")
        write_data_page(table, _examples(table, ImageStore(images)), report, paths.data_page)
        write_json(paths.data_report, report)
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}[/]")


@dataclass
class _Found:
    """What the archives hold."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of the images that are used."""
    of_class: Counter[str] = field(default_factory=Counter)
    """Labelled files by class, usable or not."""
    unmatched: int = 0
    """Files that are no labelled pictures."""
    refused: list[dict[str, str]] = field(default_factory=list)
    conflicts: list[dict[str, str]] = field(default_factory=list)
    duplicates: list[dict[str, str]] = field(default_factory=list)
    no_pictures: list[dict[str, str]] = field(default_factory=list)
    """What lies among the pictures of a class."""
    notes: list[str] = field(default_factory=list)
    """What a person should look at."""
    _seen: dict[str, Item] = field(default_factory=dict)

    def usable(self, images: Iterable[Decoded]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Ids and pixels of what can be used; the rest is listed with its reason."""
        for item, row, pixels in images:
            if not item.picture:
                self.no_pictures.append({"source": item.source, "reason": item.problem})
                continue
            self.of_class[item.label] += 1
            if pixels is None:
                self.refused.append({"source": item.source, "reason": item.problem})
            elif first := self._seen.get(row["id"]):
                kind = self.duplicates if first.label == item.label else self.conflicts
                kind.append({"source": item.source, "reason": f"the same as {first.source}"})
            else:
                self._seen[row["id"]] = item
                self.rows.append(row)
                yield row["id"], pixels

    def report(self) -> dict[str, Any]:
        """What is written as JSON."""
        counts = Counter(row["class"] for row in self.rows)
        rare = {"no_pictures": self.no_pictures, "notes": self.notes}
        return {
            "files": self.of_class.total() + self.unmatched + len(self.no_pictures),
            "images": len(self.rows),
            "unmatched": self.unmatched,
            # Lists, because DVC would show each value of a dictionary as a metric.
            "classes": [{"class": name, "images": n} for name, n in sorted(counts.items())],
            "refused": self.refused,
            "conflicts": self.conflicts,
            "duplicates": self.duplicates,
            **{name: listed for name, listed in rare.items() if listed},
        }


def _items(archives: list[Path], layouts: list[Layout], found: _Found) -> Iterator[Item]:
    records = [layout for layout in layouts if layout.format in FORMATS]
    if records:
        total, labelled_items = labelled_records(archives, records)
        yield from track(labelled_items, PROGRESS, total)
    pictures = [layout for layout in layouts if layout.format == PICTURE]
    tables = [layout for layout in layouts if layout.format == TABLE]
    read = [labelled(archive, pictures) for archive in archives] if pictures else []
    if tables:
        read += [labelled_by_tables(archive, tables) for archive in archives]
    if read:
        for item in track(chain.from_iterable(read), PROGRESS, count_files(archives)):
            if item is None:
                found.unmatched += 1
            else:
                yield item


def _examples(index: pd.DataFrame, images: ImageStore) -> dict[str, list[str]]:
    """A few small pictures of each class, for the page."""
    examples = {}
    for name, rows in index.groupby("class"):
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))
        ids = rows["id"].iloc[chosen]
        examples[str(name)] = [thumbnail(images[image_id], HEIGHT) for image_id in ids]
    return examples


def _check(report: dict[str, Any], of_class: Counter[str], params: PrepareParams) -> None:
    total, refused = of_class.total(), report["refused"]
    if not total:
        raise UserError("the archives hold no picture that data.layout matches")
    if len(refused) > params.max_refused * total:
        raise UserError(
            f"{len(refused)} of {total} pictures cannot be used, more than "
            f"prepare.max_refused={params.max_refused} allows; the first: "
            f"{refused[0]['source']}: {refused[0]['reason']}"
        )
    classes = {row["class"] for row in report["classes"]}
    if missing := sorted(set(of_class) - classes):
        raise UserError(
            f"class '{missing[0]}' has no usable picture; add some or remove its folder"
        )
    if len(classes) < 2:
        raise UserError(f"only one class found, '{min(classes)}'; a classifier needs two")
