"""Stage prepare: decode and check every image once, so that nothing later has to."""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import imagehash
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from rich.markup import escape

from springfield.files import atomic, write_json
from springfield.images.drawing.data_page import write_data_page
from springfield.images.drawing.thumbnail import thumbnail
from springfield.images.reading.archives import Item, count_files, labelled, names_in_a_code_page
from springfield.images.reading.decoding import decode
from springfield.images.reading.formats import PICTURE, Layout, labelled_records
from springfield.images.reading.names import look
from springfield.images.store import ImageStore, write_images
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.processes import ctrl_c_waits, end_with_starter, worker_context
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.stages.classification.params import ClassificationParams as Params

NEEDS = ("data.layout", "prepare")
PROGRESS = "Preparing images"
BATCH, BATCH_BYTES = 32, 32 << 20
"""A process gets so many files at once, or fewer that are larger together."""
WAITING_BYTES = 512 << 20
"""Of files that processes have got and not given back."""
LONGEST = 16
"""A picture is kept at most so many times as long as `shorter_side`."""
SHOWN, HEIGHT = 8, 72
"""Small pictures of a class on the page, and their height in pixels."""


@dataclass
class PrepareParams:
    """How images are kept."""

    shorter_side: Annotated[int, Field(ge=8)]
    """In pixels; smaller images keep their size."""
    max_refused: Annotated[float, Field(ge=0, le=1)]
    """The share of unusable files past which the stage fails."""


Decoded = tuple[Item, dict[str, Any], NDArray[np.uint8] | None]
"""An image without its content, its line in `index.csv`, and its pixels (RGB, H x W x 3).

No pixels: its problem says why."""


def _decode_one(item: Item, params: PrepareParams) -> Decoded:
    known = replace(item, content=b"")
    if item.problem:
        return known, {}, None
    try:
        image = _raw(item.content, item.shape) if item.shape else decode(item.content, _one_large)
    except ValueError as error:
        return replace(known, problem=str(error)), {}, None
    digest = hashlib.sha256(item.content).hexdigest()
    width, height = image.info.get("size", image.size)
    row = {
        "id": digest[:16], "class": item.label, "source": item.source, "width": width,
        "height": height, "sha256": digest, "phash": str(imagehash.phash(image)),
        "official_split": item.official_split,
    }  # fmt: skip
    shorter, longer = sorted(image.size)
    scale = min(params.shorter_side / shorter, LONGEST * params.shorter_side / longer)
    if scale < 1:
        scaled = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return known, row, np.asarray(image)


def _raw(content: bytes, shape: tuple[int, ...]) -> Image.Image:
    """The picture of planes of pixels: one of grey, or red, green and blue."""
    planes = np.frombuffer(content, np.uint8).reshape(shape)
    return Image.fromarray(np.repeat(planes, 3 // len(planes), axis=0).transpose(1, 2, 0).copy())


_one_large: AbstractContextManager[object] | None = None
"""Held by the one process that decodes a large picture."""


def _start(one_large: AbstractContextManager[object]) -> None:
    global _one_large
    _one_large = one_large
    end_with_starter()


def _decode_batch(batch: list[Item], params: PrepareParams) -> list[Decoded]:
    return [_decode_one(item, params) for item in batch]


def _batches(items: Iterator[Item]) -> Iterator[tuple[list[Item], int]]:
    """Items to decode together, and their bytes."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.content)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def _decoded(items: Iterator[Item], params: PrepareParams, workers: int) -> Iterator[Decoded]:
    """Decode in `workers` processes, in order, with only a few batches in memory."""
    context = worker_context()
    waiting: deque[tuple[Future[list[Decoded]], int]] = deque()
    held = 0
    try:
        with ProcessPoolExecutor(workers, context, _start, (context.Lock(),)) as pool:
            for batch, size in _batches(items):
                with ctrl_c_waits():  # the first one starts the processes
                    waiting.append((pool.submit(_decode_batch, batch, params), size))
                held += size
                while len(waiting) > 2 * workers or held > WAITING_BYTES:
                    future, size = waiting.popleft()
                    held -= size
                    yield from future.result()
            for future, _ in waiting:
                yield from future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"one of {workers} processes that decode was killed, mostly for want of memory; take "
            "fewer (hardware.workers) and run it again"
        ) from error


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
        write_images(images, found.usable(_decoded(items, params.prepare, workers)))
        found.note_names(archives)
        found.note_sides()
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

    def note_names(self, archives: list[Path]) -> None:
        """Note names that may be other letters, and classes that may be meant to be one."""
        for archive in archives:
            if names := names_in_a_code_page(archive):
                self.notes.append(
                    f"{archive.name}: {len(names)} names are in an old code page and may be other "
                    f"letters than meant, {names[0]!r} for one; pack them again as UTF-8"
                )
        alike: dict[str, list[str]] = {}
        for name in sorted(self.of_class):
            alike.setdefault(look(name), []).append(name)
        for names in alike.values():
            if len(names) > 1:
                quoted = " and ".join(map(repr, names))
                self.notes.append(f"the classes {quoted} look the same; are they one?")

    def note_sides(self) -> None:
        """Note that the data set has sides of its own."""
        sides = Counter(row["official_split"] for row in self.rows if row["official_split"])
        if sides:
            counts = ", ".join(f"{n} {side}" for side, n in sides.items())
            self.notes.append(
                f"sides of its own: {counts}; split=official keeps them, and without it its test "
                "pictures are scored apart"
            )


def _items(archives: list[Path], layouts: list[Layout], found: _Found) -> Iterator[Item]:
    pictures = [layout for layout in layouts if layout.format == PICTURE]
    records = [layout for layout in layouts if layout.format != PICTURE]
    if records:
        total, labelled_items = labelled_records(archives, records)
        yield from track(labelled_items, PROGRESS, total)
    if pictures:
        read = chain.from_iterable(labelled(archive, pictures) for archive in archives)
        for item in track(read, PROGRESS, count_files(archives)):
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
