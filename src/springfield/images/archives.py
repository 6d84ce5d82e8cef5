"""How a zip or a tar of pictures yields labelled images, without extracting anything."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from springfield.machine.errors import UserError

if TYPE_CHECKING:
    from springfield.images.formats import Layout

UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
"""What zipfile and tarfile raise for damage, encryption and compressions they do not know."""
NOT_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are not UTF-8."""
MAX_BYTES = 256 << 20
"""No picture is larger; what is may be a bomb."""


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


def labelled(archive: Path, layouts: "list[Layout]") -> Iterator[Item | None]:
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
