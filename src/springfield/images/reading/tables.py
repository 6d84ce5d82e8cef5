"""Pictures whose classes are in a table: a CSV with a row for each."""

import csv
import io
import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from springfield.images.reading.archives import Item, entries
from springfield.images.reading.formats import Layout
from springfield.images.reading.labels import text_of
from springfield.images.reading.names import as_text, class_name
from springfield.machine.errors import UserError


def labelled_by_tables(archive: Path, layouts: list[Layout]) -> Iterator[Item | None]:
    """Yield every picture that a table of the archive names; None for every other file.

    The first layout one of whose tables names a picture decides. What is named but not there has a
    problem, as has what a layout's tables name as two things.

    Raises:
        UserError: a table, or the archive, cannot be read.
    """
    named: dict[str, Item] = {}
    for layout in layouts:
        named = _named(archive, layout) | named
    for entry in entries(archive):
        if entry.is_folder:
            continue
        item = named.pop(posixpath.normpath(entry.path), None)
        if item is None:
            yield None
        else:
            problem = entry.problem or item.problem
            yield replace(item, content=entry.content or b"", problem=problem)
    for item in named.values():
        yield replace(item, problem="there is no such file")


def _named(archive: Path, layout: Layout) -> dict[str, Item]:
    """The pictures that the tables of a layout name, without their contents, by path."""
    pattern = re.compile(layout.pattern)
    named: dict[str, Item] = {}
    for entry in entries(archive, lambda name: bool(pattern.search(name))):
        if entry.is_folder or not pattern.search(entry.path):
            continue
        source = f"{archive.name}!{as_text(entry.path)}"
        if entry.problem:
            raise UserError(f"{source}: {entry.problem}; get it again")
        for place, label in _rows(source, entry.content or b"", layout):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), place))
            first = named.setdefault(path, Item(archive.name, as_text(path), label, layout.split))
            if first.label != label:
                problem = f"{source} names it '{first.label}' and '{label}'"
                named[path] = replace(first, problem=problem)
    return named


def _rows(source: str, content: bytes, layout: Layout) -> Iterator[tuple[str, str]]:
    """Where the picture of each row is, and its class; a row without a class is passed over."""
    try:
        text = text_of(source, content)
    except ValueError as error:
        raise UserError(f"{error}; save it as UTF-8") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), restval="", strict=True)
    try:
        there = rows.fieldnames or []
        if missing := [name for name in layout.columns if name not in there]:
            raise UserError(
                f"{source} has no column {', '.join(map(repr, missing))}; there are: "
                f"{', '.join(there) or 'none'} (data.layout names those that are read)"
            )
        for row in rows:
            if label := class_name(row[layout.column]):
                yield layout.picture.format_map(row).replace("\\", "/"), label
    except (csv.Error, ValueError) as error:
        raise UserError(f"{source}, line {rows.reader.line_num}: {error}") from error
