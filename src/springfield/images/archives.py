"""How a zip or a tar of pictures yields labelled images, without extracting anything."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from springfield.machine.errors import UserError

UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
"""What zipfile and tarfile raise for damage, encryption and compressions they do not know."""
NOT_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are not UTF-8."""
MAX_BYTES = 256 << 20
"""No picture is larger; what is may be a bomb."""


class Format(StrEnum):
    """What a file holds."""

    picture = "picture"
    """One image, encoded as JPEG, PNG, ..."""
    idx = "idx"
    """MNIST's format: all images (`images-idx3`), beside a file of all labels (`labels-idx1`)."""
    cifar10 = "cifar10"
    """The binary version of CIFAR-10: records of a label and an image."""
    cifar100 = "cifar100"
    """The binary version of CIFAR-100: records of a coarse label, a fine one and an image."""


@dataclass
class Layout:
    """Which files are images, and of which class."""

    pattern: str
    """Regular expression searched in the path; its group `class` names the class of a picture."""
    split: str = ""
    """The data set's own split that these images belong to; empty: none."""
    format: Format = Format.picture
    classes: list[str] = field(default_factory=list)
    """For formats whose labels are numbers: their names, from 0 on."""

    def __post_init__(self) -> None:
        try:
            named = re.compile(self.pattern).groupindex
        except re.error as error:
            raise UserError(f"data.layout: '{self.pattern}': {error}") from error
        if self.format is Format.picture and "class" not in named:
            raise UserError(f"data.layout: '{self.pattern}' lacks a group (?P<class>...)")
        if (self.format is Format.picture) == bool(self.classes):
            raise UserError(
                f"data.layout: '{self.pattern}': classes are named for {Format.idx}, "
                f"{Format.cifar10} and {Format.cifar100}, and for these only"
            )


@dataclass(frozen=True)
class Item:
    """An image inside an archive that a layout matches."""

    archive: str
    path: str
    label: str
    official_split: str
    content: bytes = b""
    problem: str = ""
    """Why it cannot be read; empty: it could."""
    shape: tuple[int, ...] | None = None
    """Channels x height x width, where the content is nothing but pixels; none: it is encoded."""

    @property
    def source(self) -> str:
        """Where it comes from: `archive!path/inside`."""
        return f"{self.archive}!{self.path}"


@dataclass(frozen=True)
class Entry:
    """Anything inside an archive."""

    path: str
    content: bytes | None
    """None: a folder, or what cannot be read."""
    problem: str = ""
    """Why it cannot be read."""


def is_archive(path: Path) -> bool:
    """Whether `path` is a file that this module can read."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def entries(archive: Path) -> Iterator[Entry]:
    """Yield everything in an archive, in order of the paths.

    Raises:
        UserError: the archive is damaged or of no known kind.
    """
    try:
        if zipfile.is_zipfile(archive):
            yield from _zip_entries(archive)
        elif tarfile.is_tarfile(archive):
            yield from _tar_entries(archive)
        else:
            raise UserError(f"{archive}: neither a zip nor a tar; get it again")
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{archive}: damaged archive ({error}); get it again") from error


def _zip_entries(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as zipped:
        for info in sorted(zipped.infolist(), key=lambda info: info.filename):
            name = info.filename
            if info.is_dir():
                yield Entry(name, None)
            elif problem := _name_problem(name) or _size_problem(info.file_size):
                yield Entry(name, None, problem)
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield Entry(name, None, "a link")
            else:
                try:
                    yield Entry(name, zipped.read(info))
                except UNREADABLE as error:
                    yield Entry(name, None, f"damaged in the archive ({error})")


def _tar_entries(archive: Path) -> Iterator[Entry]:
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            name = member.name
            if member.isdir():
                yield Entry(name, None)
            elif problem := _name_problem(name) or _size_problem(member.size):
                yield Entry(name, None, problem)
            elif not member.isfile():
                yield Entry(
                    name, None, "a link" if member.islnk() or member.issym() else "a device"
                )
            else:
                file = tar.extractfile(member)
                yield Entry(name, file.read() if file else b"")


def _name_problem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        return "a path that leads outside the archive"
    if NOT_TEXT.search(name):
        return "a name that is not text"
    return ""


def _as_text(name: str) -> str:
    """A name that can be written into a table."""
    return ascii(name) if NOT_TEXT.search(name) else name


def _size_problem(size: int) -> str:
    return f"unpacks to {size >> 20} MB" if size > MAX_BYTES else ""


def labelled(archive: Path, layouts: list[Layout]) -> Iterator[Item | None]:
    """Yield every file of an archive that a layout matches; None for every other one.

    The first layout whose pattern is found in a path decides; hidden files are passed over.

    Raises:
        UserError: the archive is damaged, or a folder of it is a class without any file.
    """
    patterns = [(re.compile(layout.pattern), layout.split) for layout in layouts]
    empty: set[PurePosixPath] = set()
    for entry in entries(archive):
        path = PurePosixPath(entry.path)
        if entry.content is None and not entry.problem:
            if any(pattern.search(f"{path}/file") for pattern, _ in patterns):
                empty.add(path)
            continue
        empty -= set(path.parents)
        found = ((pattern.search(entry.path), split) for pattern, split in patterns)
        match, split = next((pair for pair in found if pair[0]), (None, ""))
        if match is None or path.name.startswith("."):
            yield None
        else:
            yield Item(
                archive.name,
                _as_text(entry.path),
                _as_text(match["class"]),
                split,
                entry.content or b"",
                entry.problem,
            )
    if empty:
        raise UserError(
            f"{archive.name}: the class folder '{min(empty)}' is empty; "
            "put pictures into it or remove it"
        )
