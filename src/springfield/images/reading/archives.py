"""How a zip or a tar of pictures yields labelled images, without extracting anything."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

from springfield.images.reading.names import (
    as_text,
    class_name,
    is_hidden,
    looks_like_picture,
    name_problem,
)
from springfield.machine.errors import UserError

if TYPE_CHECKING:
    from springfield.images.reading.formats import Layout

UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
"""What zipfile and tarfile raise for damage, encryption and compressions they do not know."""
MAX_BYTES = 256 << 20
"""No picture is larger; what is may be a bomb."""
UTF8 = 0x800
"""The flag of a zip's entry whose name is UTF-8."""
LINK = "a link"
NOT_A_PICTURE = "not a picture"
HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
"""What a tar says of the next member; tarfile reads it whole."""
MAX_HEADER = 1 << 20
Wanted = Callable[[str], bool]
"""Of the name of a file, whether its content is."""


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
    picture: bool = True
    """Whether its suffix or its first bytes are those of a picture."""
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

    @property
    def is_folder(self) -> bool:
        """Whether it is no file at all."""
        return self.content is None and not self.problem


class _Member(tarfile.TarInfo):
    """Damage is an error: tarfile would take it for the end. So is what claims to be large."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.strip(b"\0"):
                raise tarfile.ReadError(str(error)) from error
            raise
        if member.type in HEADERS and member.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _is_tar(path: Path) -> bool:
    try:
        tarfile.open(path, tarinfo=_Member).close()
    except tarfile.TarError:
        return False
    return True


def is_archive(path: Path) -> bool:
    """Whether `path` is a file that this module can read."""
    return path.is_file() and (_is_tar(path) or zipfile.is_zipfile(path))


def count_files(archives: list[Path]) -> int | None:
    """How many files zips have; none where there is a tar, which would have to be read for it."""
    if not all(map(zipfile.is_zipfile, archives)):
        return None
    count = 0
    for archive in archives:
        with suppress(*UNREADABLE), zipfile.ZipFile(archive) as zipped:  # reading it tells
            count += sum(not name.endswith("/") for name in zipped.namelist())
    return count


def entries(archive: Path, wanted: Wanted = lambda name: True) -> Iterator[Entry]:
    """Yield everything in an archive: of a zip by name, of a tar in the order it lies there.

    The content of a file whose name is not `wanted` is left empty.

    Raises:
        UserError: the archive is damaged or of no known kind.
    """
    try:
        if _is_tar(archive):
            yield from _tar_entries(archive, wanted)
        elif zipfile.is_zipfile(archive):
            yield from _zip_entries(archive, wanted)
        else:
            raise UserError(f"{archive}: neither a zip nor a tar; get it again")
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{archive}: damaged archive ({error}); get it again") from error


def _zip_entries(archive: Path, wanted: Wanted) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as zipped:
        for info in sorted(zipped.infolist(), key=_zip_name):
            name = _zip_name(info)
            if name.endswith("/"):
                yield Entry(name, None)
            elif problem := name_problem(name) or _size_problem(info.file_size):
                yield Entry(name, None, problem)
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield Entry(name, None, LINK)
            elif info.compress_type in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
                # zipfile unpacks these whole, whatever their size is said to be.
                yield Entry(name, None, "not packed by deflate; pack it again as a plain zip")
            elif not wanted(name):
                yield Entry(name, b"")
            else:
                try:
                    with zipped.open(info) as file:
                        yield Entry(name, file.read(info.file_size))
                except UNREADABLE as error:
                    yield Entry(name, None, f"damaged in the archive ({error})")


def _zip_name(info: zipfile.ZipInfo) -> str:
    """With slashes, which some packers write the other way round."""
    return _decoded(info).replace("\\", "/")


def _decoded(info: zipfile.ZipInfo) -> str:
    """As UTF-8 where it can be: not every packer says so."""
    if not info.flag_bits & UTF8:
        with suppress(UnicodeError):
            return info.filename.encode("cp437").decode()
    return info.filename


def names_in_a_code_page(archive: Path) -> list[str]:
    """The names in a zip that are neither ASCII nor UTF-8, read as if of code page 437."""
    if _is_tar(archive) or not zipfile.is_zipfile(archive):
        return []
    with zipfile.ZipFile(archive) as zipped:
        names = [(i.filename, _decoded(i)) for i in zipped.infolist() if not i.flag_bits & UTF8]
    return [name for name, decoded in names if name == decoded and not name.isascii()]


def _tar_entries(archive: Path, wanted: Wanted) -> Iterator[Entry]:
    with tarfile.open(archive, tarinfo=_Member) as tar:
        for member in tar:
            name = member.name
            if member.isdir():
                yield Entry(name, None)
            elif problem := name_problem(name) or _size_problem(member.size):
                yield Entry(name, None, problem)
            elif not member.isfile():
                yield Entry(name, None, LINK if member.islnk() or member.issym() else "a device")
            else:
                file = tar.extractfile(member) if wanted(name) else None
                yield Entry(name, file.read() if file else b"")


def _size_problem(size: int) -> str:
    return f"unpacks to {size >> 20} MB" if size > MAX_BYTES else ""


def labelled(archive: Path, layouts: "list[Layout]") -> Iterator[Item | None]:
    """Yield every file of an archive that a layout matches; None for every other one.

    The first layout whose pattern is found in a path decides; what is hidden is passed over.

    Raises:
        UserError: the archive is damaged, or a folder of it is a class without any picture.
    """
    patterns = [(re.compile(layout.pattern), layout.split) for layout in layouts]
    classes: set[PurePosixPath] = set()
    pictured: set[PurePosixPath] = set()
    filled: set[PurePosixPath] = set()
    links: set[PurePosixPath] = set()
    for entry in entries(archive):
        path = PurePosixPath(entry.path)
        hidden = is_hidden(path)
        if entry.is_folder:
            if not hidden and _match(patterns, f"{path}/file")[0]:
                classes.add(path)
            continue
        match, split = (None, "") if hidden else _match(patterns, entry.path)
        picture = looks_like_picture(path.name, (entry.content or b"")[:16])
        if entry.problem == LINK and not (hidden or picture):
            links.add(path)
        if match is None:
            filled.update(() if hidden else path.parents)
            yield None
            continue
        if picture:
            pictured.add(path.parent)
            filled.update(path.parents)
        else:
            classes.add(path.parent)
        yield Item(
            archive.name,
            as_text(entry.path),
            class_name(match["class"]),
            split,
            entry.content or b"",
            entry.problem or ("" if picture else NOT_A_PICTURE),
            picture,
        )
    if empty := classes - filled:
        raise UserError(
            f"{archive.name}: the class folder '{as_text(str(min(empty)))}' is empty or holds no "
            "picture; put pictures into it or remove it"
        )
    beside = {folder.parent for folder in pictured}
    if linked := {link for link in links if link.parent in beside}:
        raise UserError(
            f"{archive.name}: '{as_text(str(min(linked)))}' is a link beside the class folders; "
            "pack the folder that it leads to, or remove it"
        )


def _match(
    patterns: Sequence[tuple[re.Pattern[str], str]], path: str
) -> tuple[re.Match[str] | None, str]:
    """Where the first of the layouts' patterns is found in a path, and its split."""
    found = ((pattern.search(path), split) for pattern, split in patterns)
    return next((pair for pair in found if pair[0]), (None, ""))
