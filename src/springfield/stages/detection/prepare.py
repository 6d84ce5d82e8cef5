"""Stage prepare: decode every picture with boxes once, and carry its boxes along."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from rich.markup import escape

from springfield.files import atomic, write_json
from springfield.images.drawing.boxes_page import write_boxes_page
from springfield.images.reading.archives import Item, entries, is_archive
from springfield.images.reading.boxes import BoxLayout, Labelled, read_labels
from springfield.images.reading.labels import Box, Labels, Listed, carried
from springfield.images.reading.names import as_text
from springfield.images.reading.notes import on_names, on_sides
from springfield.images.reading.parallel import Decoded, decoded
from springfield.images.store import ImageStore, write_images
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from springfield.stages.detection.params import DetectionParams as Params

NEEDS = ("data.layout", "prepare")
Row = dict[str, Any]
"""A line of `index.csv`; its `boxes` are a list of class, x1, y1, x2, y2."""


@dataclass
class PrepareParams:
    """How pictures and their boxes are kept."""

    shorter_side: Annotated[int, Field(ge=8)]
    """In pixels; smaller pictures keep their size."""
    max_refused: Annotated[float, Field(ge=0, le=1)]
    """The share of unusable pictures, or of unusable boxes, past which the stage fails."""


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Write every usable picture, downscaled, and an index with its boxes.

    Writes also what was not used and why: a report, and a page with boxes of each class.

    Raises:
        UserError: no or damaged archives or labels, too many refused, no box.
    """
    raw = sorted(path for path in paths.raw.glob("*"))
    archives = [path for path in raw if is_archive(path)]
    if not archives:
        raise UserError(f"{paths.raw} has no archive; run 'springfield download' first")
    labelled = read_labels(raw, params.data.layout)
    found = _Found(params.data.layout)
    found.take_lost(labelled)
    workers = machine.hardware.workers or joblib.cpu_count()
    with atomic(paths.images.parent, directory=True) as partial:
        images, index = partial / paths.images.name, partial / paths.index.name
        items = track(_items(archives, labelled), "Preparing images", len(labelled.pictures))
        read = decoded(items, params.prepare.shorter_side, workers)
        write_images(images, found.usable(read, labelled.pictures))
        found.name_classes()
        found.notes = [
            *found.on_boxes(labelled), *on_names(archives, found.boxes_of), *on_sides(found.rows)
        ]  # fmt: skip
        report = found.report(labelled)
        _check(report, params.prepare)
        table = pd.DataFrame(found.rows)
        write_boxes_page(table, ImageStore(images), report, paths.data_page)
        table["boxes"] = table["boxes"].map(json.dumps)
        table.to_csv(index, index=False, lineterminator="\n")
        write_json(paths.data_report, report)
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}[/]")


def _items(archives: Sequence[Path], labelled: Labelled) -> Iterator[Item]:
    """The pictures that labels belong to."""
    names = {source.partition("!")[2] for source in labelled.pictures}
    for archive in archives:
        for entry in entries(archive, lambda name: as_text(name) in names):
            source = f"{archive.name}!{as_text(entry.path)}"
            if entry.is_folder or source not in labelled.pictures:
                continue
            labels, split = labelled.pictures[source]
            problem = entry.problem or labels.problem
            path, content = as_text(entry.path), entry.content or b""
            yield Item(archive.name, path, "", split, content, problem)


@dataclass
class _Found:
    """What the archives and their labels hold."""

    layout: BoxLayout
    rows: list[Row] = field(default_factory=list)
    """Of the pictures that are used."""
    boxes_of: Counter[str] = field(default_factory=Counter)
    """Boxes that are used by class."""
    read: int = 0
    """Boxes in the label files; each is used, refused or left out."""
    cut: int = 0
    """Boxes that a border cut by a pixel or more."""
    reversed: int = 0
    """Boxes whose corners were the other way round."""
    other_scale: int = 0
    """Boxes that `data.layout.other_scale` leaves out."""
    refused: list[Listed] = field(default_factory=list)
    """Pictures that cannot be used."""
    unboxed: list[Listed] = field(default_factory=list)
    """Pictures that have boxes, none of which is used: they are no background."""
    conflicts: list[Listed] = field(default_factory=list)
    duplicates: list[Listed] = field(default_factory=list)
    refused_boxes: list[Listed] = field(default_factory=list)
    left_out: list[Listed] = field(default_factory=list)
    """Boxes."""
    notes: list[str] = field(default_factory=list)
    """What a person should look at."""
    _seen: dict[str, Row] = field(default_factory=dict)

    def take_lost(self, labelled: Labelled) -> None:
        """Count all boxes, and list those that no picture can have."""
        everything = [labels for labels, _ in labelled.pictures.values()]
        for labels in (*everything, *(labels for labels, _ in labelled.lost)):
            self.read += len(labels.boxes) + len(labels.refused) + len(labels.left_out)
            self.refused_boxes += labels.refused
            self.left_out += labels.left_out
        for labels, reason in labelled.lost:
            self._leave_out(labels.boxes, reason)

    def usable(
        self, images: Iterable[Decoded], pictures: dict[str, tuple[Labels, str]]
    ) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Ids and pixels of what can be used; the rest is listed with its reason."""
        for item, row, pixels in images:
            labels, _ = pictures[item.source]
            problem = item.problem if pixels is None else _size_problem(labels, row)
            if problem or pixels is None:
                self.refused.append({"source": item.source, "reason": problem})
                self._leave_out(labels.boxes, "its picture cannot be used")
                continue
            scale, original = self.layout.other_scale, (row["width"], row["height"])
            if scale and scale.includes(original):
                self.other_scale += len(labels.boxes)
                reason = f"of another scale than its picture of {_times(original)}"
                self._leave_out(labels.boxes, reason)
                used: list[tuple[Box, list[Any]]] = []
            else:
                used = self._boxes(labels, original, pixels.shape[1::-1])
            boxes = [corners for _, corners in used]
            if not boxes and (labels.boxes or labels.refused or labels.left_out):
                reason = "none of its boxes can be used"
                self.unboxed.append({"source": item.source, "reason": reason})
            elif first := self._seen.get(row["id"]):
                if boxes and not first["boxes"]:
                    reason = f"the same as {item.source}, which has boxes"
                    self.conflicts.append({"source": first["source"], "reason": reason})
                    first.update(row | {"boxes": boxes})  # they are of the same pixels
                    self.boxes_of.update(box[0] for box in boxes)
                    continue
                kind = self.duplicates if first["boxes"] == boxes else self.conflicts
                reason = f"the same as {first['source']}"
                kind.append({"source": item.source, "reason": reason})
                self._leave_out([box for box, _ in used], f"its picture is {reason}")
            else:
                self._seen[row["id"]] = row | {"boxes": boxes}
                self.rows.append(self._seen[row["id"]])
                self.boxes_of.update(box[0] for box in boxes)
                yield row["id"], pixels

    def _leave_out(self, boxes: Sequence[Box], reason: str) -> None:
        self.left_out += [{"source": box.source, "reason": reason} for box in boxes]

    def _boxes(
        self, labels: Labels, original: tuple[int, int], prepared: tuple[int, int]
    ) -> list[tuple[Box, list[Any]]]:
        """Boxes, and what they are in the prepared picture; the rest is listed with its reason."""
        kept = []
        for box in labels.boxes:
            try:
                corners = carried(box.corners, original, prepared, shares=labels.shares)
            except ValueError as error:
                self.refused_boxes.append({"source": box.source, "reason": str(error)})
                continue
            kept.append((box, [box.name, *corners]))
            x1, y1, x2, y2 = box.corners
            self.reversed += x1 > x2 or y1 > y2
            width, height = (1, 1) if labels.shares else original
            most = 1 / max(original) if labels.shares else 1
            over = max(-min(x1, x2, y1, y2), max(x1, x2) - width, max(y1, y2) - height)
            self.cut += over >= most
        return kept

    def name_classes(self) -> None:
        """Give each picture the rarest of its classes; a background has none."""
        for row in self.rows:
            names = {box[0] for box in row["boxes"]}
            row["class"] = min(names, key=lambda name: (self.boxes_of[name], name), default="")

    def on_boxes(self, labelled: Labelled) -> Iterator[str]:
        """What a person should know of boxes that are not used."""
        lost = [reason for labels, reason in labelled.lost if labels.boxes]
        if lost:
            yield (
                f"{len(lost)} pictures that have boxes are missing, or cannot be told from others; "
                f"the first: {lost[0]}"
            )
        if self.conflicts:
            yield (
                f"{len(self.conflicts)} pictures are there again with other boxes, and left out; "
                f"the first: {self.conflicts[0]['source']} is {self.conflicts[0]['reason']}"
            )
        if self.other_scale:
            yield (
                f"{self.other_scale} boxes are left out because they are of another scale than "
                "their pictures (data.layout.other_scale)"
            )
        if self.unboxed:
            yield (
                f"{len(self.unboxed)} pictures are left out because none of their boxes can be used"
            )

    def report(self, labelled: Labelled) -> dict[str, Any]:
        """What is written as JSON."""
        pictures = Counter(name for row in self.rows for name in {box[0] for box in row["boxes"]})
        return {
            "files": labelled.files,
            "images": len(self.rows),
            "background": sum(not row["boxes"] for row in self.rows),
            "unmatched": labelled.files - len(labelled.pictures),
            "boxes_read": self.read,
            "boxes": self.boxes_of.total(),
            "cut": self.cut,
            "reversed": self.reversed,
            # Lists, because DVC would show each value of a dictionary as a metric.
            "classes": [
                {"class": name, "images": pictures[name], "boxes": n}
                for name, n in sorted(self.boxes_of.items())
            ],
            "refused": self.refused,
            "unboxed": self.unboxed,
            "conflicts": self.conflicts,
            "duplicates": self.duplicates,
            "refused_boxes": self.refused_boxes,
            "left_out": self.left_out,
            "notes": self.notes,
        }


def _size_problem(labels: Labels, row: Row) -> str:
    """Why the boxes of a label file cannot be those of this picture; empty: they can."""
    size = row["width"], row["height"]
    if labels.size in (None, size):
        return ""
    return f"labelled as {_times(labels.size)}, but it is {_times(size)} as people see it"


def _times(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))


def _check(report: dict[str, Any], params: PrepareParams) -> None:
    labelled = report["files"] - report["unmatched"]
    for kind, total in (("refused", labelled), ("refused_boxes", report["boxes_read"])):
        listed = report[kind]
        if len(listed) > params.max_refused * total:
            what = "boxes" if kind == "refused_boxes" else "pictures"
            raise UserError(
                f"{len(listed)} of {total} {what} cannot be used, more than prepare.max_refused="
                f"{params.max_refused} allows; the first: {listed[0]['source']}: "
                f"{listed[0]['reason']}"
            )
    if not report["boxes"]:
        first = next(iter(report["left_out"]), {"source": "labels", "reason": "there is none"})
        raise UserError(
            f"no picture has a box that can be used; {first['source']}: {first['reason']}"
        )
