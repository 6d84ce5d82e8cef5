"""What a person should look at in a data set, although it can be used."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from springfield.images.reading.archives import names_in_a_code_page
from springfield.images.reading.names import look


def on_names(archives: list[Path], classes: Iterable[str]) -> Iterator[str]:
    """Names that may be other letters, and classes that may be meant to be one."""
    for archive in archives:
        if names := names_in_a_code_page(archive):
            yield (
                f"{archive.name}: {len(names)} names are in an old code page and may be other "
                f"letters than meant, {names[0]!r} for one; pack them again as UTF-8"
            )
    alike: dict[str, list[str]] = {}
    for name in sorted(classes):
        alike.setdefault(look(name), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            quoted = " and ".join(map(repr, names))
            yield f"the classes {quoted} look the same; are they one?"


def on_sides(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """That the pictures of an index have sides of their own."""
    sides = Counter(row["official_split"] for row in rows if row["official_split"])
    if sides:
        counts = ", ".join(f"{n} {side}" for side, n in sides.items())
        yield (
            f"sides of its own: {counts}; split=official keeps them, and without it its test "
            "pictures are scored apart"
        )
