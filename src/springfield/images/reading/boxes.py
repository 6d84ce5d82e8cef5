"""Which boxes belong to which picture of the archives, and where they are once it is prepared."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field

from springfield.images.reading.archives import entries, is_archive
from springfield.images.reading.label_formats import LABEL_FORMATS, NAMES, LabelFormat
from springfield.images.reading.labels import Labels, path_of
from springfield.images.reading.names import SUFFIXES, as_text, is_hidden, looks_like_picture
from springfield.machine.errors import UserError

FOLDERS = {"images", "jpegimages", "labels", "annotations"}
"""Folders that say what kind of file is in them, not which picture it belongs to."""
ORIGIN = "source.json"
"""What download writes beside the archives."""


@dataclass
class Side:
    """Which pictures are used."""

    pattern: str
    """Regular expression searched in the path; the first that is found decides."""
    split: Literal["", "train", "val", "test"] = ""
    """The data set's own split that these pictures belong to; empty: none."""

    def __post_init__(self) -> None:
        _check_pattern(self.pattern)


@dataclass
class OtherScale:
    """Pictures whose boxes are of another scale than they are, which leaves them out."""

    shorter_side: Annotated[int, Field(gt=0)]
    """Of the original, in pixels."""
    but: list[tuple[int, int]] = field(default_factory=list)
    """Widths and heights of such pictures whose boxes are right."""

    def includes(self, size: tuple[int, int]) -> bool:
        """Whether a picture of this width and height is one of them."""
        return min(size) == self.shorter_side and size not in self.but


@dataclass
class BoxLayout:
    """Which files are pictures, and which have their boxes."""

    format: Literal["any", "coco", "voc", "yolo", "kaggle"]
    """Of the label files; any: the one that is found."""
    pictures: Annotated[list[Side], Field(min_length=1)]
    labels: str = ""
    """Regular expression searched in the path of label files; empty: all."""
    other_scale: OtherScale | None = None
    """Pictures to leave out; none: there are no such."""

    def __post_init__(self) -> None:
        _check_pattern(self.labels)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UserError(f"data.layout: '{pattern}': {error}") from error


@dataclass
class Labelled:
    """The pictures of archives, and what is said of them."""

    pictures: dict[str, tuple[Labels, str]]
    """Labels and official split by `archive!path/inside`."""
    files: int
    """Pictures, whether something is said of them or not."""
    lost: list[tuple[Labels, str]] = field(default_factory=list)
    """Labels without a picture, and why."""


def read_labels(paths: Sequence[Path], layout: BoxLayout) -> Labelled:
    """Read all label files, and find the picture that each belongs to.

    Args:
        paths: archives, and label files that lie beside them.
        layout: what is read.

    Raises:
        UserError: no or several kinds of label files, a damaged one, no picture for any.
    """
    files, pictures, unread = _files(paths)
    sides = {source: split for source in pictures for split in _side(source, layout.pictures)}
    stems = {_stem(source) for source in sides}
    chosen, labelled = _labels(files, unread, layout, stems)
    found, lost = _matched(labelled, list(sides), by_stem=chosen.by_stem)
    if not found:
        labels, reason = next(iter(lost), (Labels("", PurePosixPath("nothing")), ""))
        there = next((source.partition("!")[2] for source in pictures), "none")
        raise UserError(
            f"no label belongs to a picture: labels name {str(labels.picture)!r}, and pictures are "
            f"called {there!r}; data.layout tells which are read; the first: "
            f"{labels.problem or reason or 'no label'}"
        )
    matched = {source: (labels, sides[source]) for source, labels in found.items()}
    return Labelled(matched, len(pictures), lost)


def _files(paths: Iterable[Path]) -> tuple[dict[str, bytes], list[str], dict[str, str]]:
    """What may be label files, with their contents; pictures; and label files that are unreadable.

    Raises:
        UserError: an archive has a name that sources cannot have.
    """
    files: dict[str, bytes] = {}
    pictures: list[str] = []
    unread: dict[str, str] = {}
    suffixes = {suffix for kind in LABEL_FORMATS.values() for suffix in kind.suffixes}
    for path in paths:
        if path.name == ORIGIN:
            continue
        if "!" in path.name:
            raise UserError(
                f"{path.name}: '!' in the name of an archive or a label file; rename it"
            )
        if path.suffix.lower() in suffixes and not is_archive(path):
            files[path.name] = path.read_bytes()
            continue
        for entry in entries(path, lambda name: PurePath(name).suffix.lower() not in SUFFIXES):
            inside = PurePosixPath(entry.path)
            if entry.is_folder or is_hidden(inside):
                continue
            content = entry.content or b""
            source = f"{path.name}!{as_text(entry.path)}"
            if inside.suffix.lower() in suffixes and entry.problem:
                unread[source] = entry.problem
            elif inside.suffix.lower() in suffixes:
                files[source] = content
            elif looks_like_picture(inside.name, content[:16]):
                pictures.append(source)
    return files, pictures, unread


def _side(source: str, sides: Sequence[Side]) -> Sequence[str]:
    """The official split of a picture; none: it is not used."""
    path = source.partition("!")[2]
    return [side.split for side in sides if re.search(side.pattern, path)][:1]


def _stem(source: str) -> str:
    return PurePosixPath(source.partition("!")[2]).stem


def _labels(
    files: dict[str, bytes], unread: dict[str, str], layout: BoxLayout, stems: set[str]
) -> tuple[LabelFormat, list[Labels]]:
    """What label files say, and their format; one that cannot be read says that."""
    any_of_them = layout.format == "any"
    kinds: dict[str, LabelFormat] = (
        LABEL_FORMATS if any_of_them else {layout.format: LABEL_FORMATS[layout.format]}
    )
    may = {
        name: {
            source: content
            for source, content in files.items()
            if PurePosixPath(source).suffix.lower() in kind.suffixes
            and re.search(layout.labels, source)
        }
        for name, kind in kinds.items()
    }
    plainly = {
        name: {source: c for source, c in may[name].items() if kind.is_label(c)}
        for name, kind in kinds.items()
    }
    found = [name for name in kinds if plainly[name] or (may[name] and not any_of_them)]
    if not found:
        also = next((f"; {source}: {problem}" for source, problem in unread.items()), "")
        raise UserError(
            f"no label file (data.layout.format={layout.format}) among {len(files)} files beside "
            f"the pictures; COCO is a .json, VOC an .xml and YOLO a .txt for each picture{also}"
        )
    if len(found) > 1:
        examples = " and ".join(f"{name} ({next(iter(plainly[name]))})" for name in found)
        raise UserError(f"label files of several formats: {examples}; choose data.layout.format")
    name, kind = found[0], kinds[found[0]]
    read = may[name] if kind.by_stem else plainly[name] or may[name]
    lost = {source: why for source, why in unread.items() if re.search(layout.labels, source)}
    return kind, [*_unread(lost, kind, stems), *kind.read(read, stems)]


def _unread(lost: dict[str, str], kind: LabelFormat, stems: set[str]) -> Iterator[Labels]:
    """Labels whose file cannot be read: their pictures are no background.

    Raises:
        UserError: the file is of more than one picture.
    """
    for source, problem in lost.items():
        path = path_of(source)
        if path.suffix.lower() not in kind.suffixes:
            continue
        if kind.by_stem and path.stem in stems:
            yield Labels(source, path.with_suffix(""), problem=problem)
        elif not kind.by_stem or path.name in NAMES:
            raise UserError(f"{source}: {problem}; mend it, or leave it out by data.layout.labels")


def _parts(path: PurePosixPath) -> tuple[str, ...]:
    """Of a path, from its end on."""
    return tuple(
        unicodedata.normalize("NFC", part)
        for part in reversed(path.parts)
        if part.lower() not in FOLDERS
    )


def _matched(
    labelled: Sequence[Labels], sources: Iterable[str], *, by_stem: bool
) -> tuple[dict[str, Labels], list[tuple[Labels, str]]]:
    """The labels of each picture: the two paths have the longest end in common.

    Where that is so of several, the one in the archive of the labels is meant.

    Returns:
        Labels by picture, and those without one with the reason.
    """
    called: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for source in sources:
        path = PurePosixPath(source.partition("!")[2])
        parts = _parts(path.with_suffix("") if by_stem else path)
        if parts:
            called[parts[0]].append((parts, source))
    lost: list[tuple[Labels, str]] = []
    likely: list[tuple[tuple[int, bool], str, Labels]] = []
    for labels in labelled:
        parts = _parts(labels.picture)
        archive = labels.source.partition("!")[0]
        near = sorted(
            (
                (-_in_common(parts, other), not source.startswith(f"{archive}!")),
                len(other),
                source,
            )
            for other, source in called.get(parts[0] if parts else "", ())
        )
        if not near:
            lost.append((labels, f"no picture '{labels.picture}'"))
        elif len(near) > 1 and near[0][:2] == near[1][:2]:
            lost.append((labels, f"both {near[0][2]} and {near[1][2]} are called so"))
        else:
            likely.append((near[0][0], near[0][2], labels))
    found: dict[str, Labels] = {}
    for _, source, labels in sorted(likely, key=lambda one: one[0]):
        first = found.setdefault(source, labels)
        if first is not labels:
            lost.append((labels, f"{source} has its labels from {first.source}"))
    return found, lost


def _in_common(one: Sequence[str], other: Sequence[str]) -> int:
    same = [a == b for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)
