"""How a zip, a tar or a folder yields labelled images, without extracting anything."""

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from springfield.errors import UserError

UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
"""What zipfile and tarfile raise for damage, encryption and compressions they do not know."""


@dataclass
class Layout:
    """Which paths inside an archive are images, and of which class."""

    pattern: str
    """Regular expression searched in the path; its group `class` names the class."""
    split: str = ""
    """The data set's own split that these images belong to; empty: none."""

    def __post_init__(self) -> None:
        try:
            named = re.compile(self.pattern).groupindex
        except re.error as error:
            raise UserError(f"data.layout: '{self.pattern}': {error}") from error
        if "class" not in named:
            raise UserError(f"data.layout: '{self.pattern}' lacks a group (?P<class>...)")


@dataclass(frozen=True)
class Item:
    """A labelled image inside an archive."""

    archive: str
    path: str
    label: str
    official_split: str

    @property
    def source(self) -> str:
        """Where it comes from: `archive!path/inside`."""
        return f"{self.archive}!{self.path}"


def is_archive(path: Path) -> bool:
    """Whether `path` is a file that this module can read."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def members(archive: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield the path and the bytes of everything in an archive, in order of the paths.

    Folders are yielded with `None` instead of bytes; links and devices are not yielded.

    Raises:
        UserError: the archive is damaged or of no known kind.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                for info in sorted(zipped.infolist(), key=lambda info: info.filename):
                    yield info.filename, None if info.is_dir() else zipped.read(info)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                for member in sorted(tar.getmembers(), key=lambda member: member.name):
                    file = tar.extractfile(member) if member.isfile() else None
                    if file or member.isdir():
                        yield member.name, file.read() if file else None
        else:
            raise UserError(f"{archive}: neither a zip nor a tar; delete it and download it again")
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{archive}: damaged archive ({error}); get it again") from error


def labelled(archive: Path, layouts: list[Layout]) -> Iterator[tuple[Item, bytes]]:
    """Yield every labelled file of an archive with its bytes.

    The first layout whose pattern is found in a path decides; hidden files are passed over.

    Raises:
        UserError: the archive is damaged, or a folder of it is a class without any file.
    """
    patterns = [(re.compile(layout.pattern), layout.split) for layout in layouts]
    empty: set[PurePosixPath] = set()
    for name, content in members(archive):
        path = PurePosixPath(name)
        if content is None:
            if any(pattern.search(f"{path}/file") for pattern, _ in patterns):
                empty.add(path)
            continue
        empty -= set(path.parents)
        if path.name.startswith("."):
            continue
        for pattern, split in patterns:
            if match := pattern.search(name):
                yield Item(archive.name, name, match["class"], split), content
                break
    if empty:
        raise UserError(
            f"{archive.name}: the class folder '{min(empty)}' is empty; "
            "put pictures into it or remove it"
        )
