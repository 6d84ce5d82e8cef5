"""Which files are images, and how those that hold many yield them: pixels without any encoding."""

import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from springfield.images.reading.archives import MAX_BYTES, Item, entries, is_archive
from springfield.machine.errors import UserError

CIFAR_SHAPE = (3, 32, 32)
PICTURE = "picture"
"""The format of a file that is one image, encoded as JPEG, PNG, ..."""
TABLE = "csv"
"""The format of a table that says of which class pictures are."""
Files = dict[str, bytes]
"""Contents by `archive!path/inside`, or by the name of a file that lies by itself."""
Records = tuple[NDArray[np.uint8], NDArray[np.uint8], str]
"""The labels (N) and pixels (N x C x H x W) of a file, and the name of what the labels are in."""


@dataclass
class Layout:
    """Which files are images, and of which class."""

    pattern: str
    """Regular expression searched in the path; its group `class` names the class of a picture."""
    split: Literal["", "train", "val", "test"] = ""
    """The data set's own split that these images belong to; empty: none."""
    format: str = PICTURE
    """Or `csv`, or one of `FORMATS`."""
    classes: list[str] = field(default_factory=list)
    """For formats whose labels are numbers: their names, from 0 on."""
    picture: str = ""
    """Of a CSV: where the picture of a row is, from the CSV's folder on, with names of columns in
    braces."""
    column: str = ""
    """Of a CSV: that of the classes."""

    def __post_init__(self) -> None:
        try:
            named = re.compile(self.pattern).groupindex
        except re.error as error:
            raise UserError(f"data.layout: '{self.pattern}': {error}") from error
        if self.format not in (PICTURE, TABLE, *FORMATS):
            known = ", ".join((PICTURE, TABLE, *FORMATS))
            raise UserError(f"data.layout: no format '{self.format}'; there are: {known}")
        if self.format == PICTURE and "class" not in named:
            raise UserError(f"data.layout: '{self.pattern}' lacks a group (?P<class>...)")
        if (self.format in FORMATS) != bool(self.classes):
            raise UserError(
                f"data.layout: '{self.pattern}': classes are named for {', '.join(FORMATS)}, and "
                "for these only"
            )
        if {bool(self.picture), bool(self.column)} != {self.format == TABLE}:
            raise UserError(
                f"data.layout: '{self.pattern}': picture and column are named for {TABLE}, and for "
                "it only"
            )
        try:
            list(Formatter().parse(self.picture))
        except ValueError as error:
            raise UserError(f"data.layout: '{self.pattern}': {self.picture}: {error}") from error

    @property
    def columns(self) -> list[str]:
        """Of a CSV: those that are read."""
        named = [name for _, name, _, _ in Formatter().parse(self.picture) if name is not None]
        return [*named, self.column]


def labelled_records(archives: list[Path], layouts: list[Layout]) -> tuple[int, Iterator[Item]]:
    """Count and yield the pictures of the files that the layouts match, layout by layout.

    A file may lie in an archive or by itself, as it is or packed by gzip.

    Raises:
        UserError: a file is damaged, is none of its format, or has a label that is no class.
    """
    patterns = [re.compile(layout.pattern) for layout in layouts]
    files = _files(archives, patterns)
    found = []
    for layout, pattern in zip(layouts, patterns, strict=True):
        for name in files:
            archive, _, path = name.partition("!")
            if not pattern.search(path or archive):
                continue
            labels, pixels, source = FORMATS[layout.format](files, name)
            wrong = np.flatnonzero(labels >= len(layout.classes))
            if len(wrong):
                raise UserError(
                    f"{source}: label {labels[wrong[0]]} of picture {wrong[0]} is none of the "
                    f"{len(layout.classes)} classes of data.layout; get it again"
                )
            found.append((layout, archive, path, labels, pixels))

    def items() -> Iterator[Item]:
        for layout, archive, path, labels, pixels in found:
            for number, (label, picture) in enumerate(zip(labels, pixels, strict=True)):
                yield Item(
                    archive,
                    f"{path}#{number}",
                    layout.classes[label],
                    layout.split,
                    picture.tobytes(),
                    shape=picture.shape,
                )

    return sum(len(labels) for *_, labels, _ in found), items()


def _files(archives: list[Path], patterns: list[re.Pattern[str]]) -> Files:
    """What is in archives, and the files that are none, unpacked."""
    files = {}
    for archive in archives:
        alone = any(pattern.search(archive.name) for pattern in patterns)
        if alone or not is_archive(archive):
            files[archive.name] = _content(archive.name, archive.read_bytes())
            continue
        for entry in entries(archive):
            name = f"{archive.name}!{entry.path}"
            if entry.problem:
                raise UserError(f"{name}: {entry.problem}; get it again")
            if entry.content is not None:
                files[name] = _content(name, entry.content)
    return files


def _content(name: str, content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = decompressor.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise UserError(f"{name}: damaged gzip ({error}); get it again") from error
    if not decompressor.eof:
        raise UserError(f"{name}: a gzip that is cut short or unpacks to too much; get it again")
    return unpacked


def _read_idx(files: Files, name: str) -> Records:
    """MNIST's format: all images (`images-idx3`), beside a file of all labels (`labels-idx1`)."""
    labels_name = name.replace("images-idx3", "labels-idx1")
    if labels_name not in files:
        raise UserError(f"{name}: there is no {labels_name} with its labels; get both again")
    pixels = _idx(name, files[name], 3)[:, None]
    labels = _idx(labels_name, files[labels_name], 1)
    if len(pixels) != len(labels):
        raise UserError(
            f"{name}: {len(pixels)} pictures, but {len(labels)} labels in {labels_name}; get "
            "both again"
        )
    return labels, pixels, labels_name


def _idx(name: str, content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The array (uint8) of an IDX file: a magic number, its dimensions, its values."""
    magic, start = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    if content[:4] != magic:
        raise UserError(
            f"{name}: no IDX file of {'pictures' if dimensions == 3 else 'labels'}: it starts "
            f"with {content[:4].hex()}, not {magic.hex()}; get it again"
        )
    if len(content) < start:
        raise UserError(f"{name}: ends within its header; get it again")
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if len(content) - start != math.prod(shape) or 0 in shape:
        raise UserError(
            f"{name}: {len(content) - start} bytes after its header, which tells of "
            f"{' x '.join(map(str, shape))}; get it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_cifar(files: Files, name: str, label_bytes: int) -> Records:
    """The binary version of CIFAR: records of labels (the last is the class) and pixels."""
    content = files[name]
    size = label_bytes + math.prod(CIFAR_SHAPE)
    if not content or len(content) % size:
        raise UserError(
            f"{name}: {len(content)} bytes are no whole number of records of {size}; get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    pixels = records[:, label_bytes:].reshape(-1, *CIFAR_SHAPE)
    return records[:, label_bytes - 1], pixels, name


FORMATS: dict[str, Callable[[Files, str], Records]] = {
    "idx": _read_idx,
    "cifar10": partial(_read_cifar, label_bytes=1),
    "cifar100": partial(_read_cifar, label_bytes=2),
}
"""Formats of files that hold many images, by their name in `data.layout`."""
