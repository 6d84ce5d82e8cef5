"""Files known by their hash, from a mirror or else from the network."""

import gzip
import http.client
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import FileLock, Timeout

from springfield.files import RemoteFile, atomic, sha256
from springfield.machine.errors import UserError
from springfield.machine.progress import bar, console

CHUNK = 1 << 20
SHA256 = re.compile("[0-9a-f]{64}")
BROKEN = (
    urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError,
)  # fmt: skip
"""What urllib raises for a network, a server or an address that is not as it should be."""


@contextmanager
def alone(file: RemoteFile, folder: Path) -> Iterator[None]:
    """Keep other processes from what is in `folder` of a file, or wait until they are done."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = folder.with_name("locks")
    locks.mkdir(exist_ok=True)
    lock = FileLock(locks / f"{file.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        console.print(f"{file.name} is being fetched by another run; waiting for it", markup=False)
        lock.acquire(poll_interval=0.01)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def fetched(file: RemoteFile, folder: Path, mirror: str | None, root: Path) -> Iterator[Path]:
    """A verified file in `folder`, from the mirror or else from its URL; nobody takes it away.

    What a broken download left there is gone on with, what is there already is not fetched again.
    Nothing that was there before is lost to a server that answers with something else.

    Args:
        file: what to fetch.
        folder: where to put it, under its name; it appears verified, or not at all.
        mirror: a folder (relative to `root`) or a URL that is asked first.
        root: the primary repository.

    Raises:
        UserError: nobody has the file, what they have is another file, or the connection broke.
    """
    if not SHA256.fullmatch(file.sha256):
        raise UserError(
            f"{file.name} is not pinned: its sha256 is '{file.sha256}'; download {file.url} "
            "yourself, run sha256sum on it, and write what that prints into its file of conf/"
        )
    with alone(file, folder):
        target = folder / file.name
        if not target.is_file() or sha256(target) != file.sha256:
            _fetch(file, target, mirror, root)
        yield target


def _fetch(file: RemoteFile, target: Path, mirror: str | None, root: Path) -> None:
    if mirror and urlsplit(mirror).scheme in ("http", "https"):
        url: str | None = f"{mirror.rstrip('/')}/{quote(file.path)}"
    elif mirror and (local := root / mirror / file.path).is_file():
        with atomic(target) as copy:
            shutil.copyfile(local, copy)
            _prove(copy, file, str(local))
        return
    else:
        url = file.url
    if url:
        _fetch_url(file, target, url)
    elif mirror:
        raise UserError(f"the mirror {root / mirror} has no {file.path}; add it there")
    else:
        raise UserError(
            f"{file.path} comes from a mirror only: set SPRINGFIELD_MIRROR to a folder or URL "
            "that has it"
        )


def _fetch_url(file: RemoteFile, target: Path, url: str) -> None:
    is_packed = url.endswith(".gz") and not file.path.endswith(".gz")
    # Named by its hash: what is gone on with is a part of this file and of no other.
    part = target.with_name(f".{file.name}.{file.sha256[:16]}{'.gz' if is_packed else ''}.part")
    had = part.stat().st_size if part.is_file() else 0
    # Gzip makes what it cannot shrink larger, by less than a hundredth.
    most = file.bytes and (file.bytes * 101 // 100 + 100 if is_packed else file.bytes)
    _download(url, part, file.name, most)
    try:
        if is_packed:
            with atomic(target) as content:
                _unpack(part, content, url, file.bytes)
                _prove(content, file, url)
            part.unlink()
        else:
            _prove(part, file, url)
            part.replace(target)
    except UserError as error:
        if not had:
            part.unlink()
            raise
        os.truncate(part, had)
        raise UserError(f"{error}; {_stays(part, had)}") from error


def _stays(part: Path, had: int) -> str:
    return f"the {had / 1e6:.1f} MB that were there stay; should they be wrong, remove {part}"


def _prove(path: Path, file: RemoteFile, origin: str) -> None:
    if (found := sha256(path)) != file.sha256:
        raise UserError(
            f"{origin} is damaged or another file (sha256 {found[:12]}…, expected "
            f"{file.sha256[:12]}…); replace it"
        )


def _unpack(packed: Path, to: Path, origin: str, length: int | None) -> None:
    """Unpack a gzip, no more than a chunk past the length that it should have."""
    try:
        with gzip.open(packed) as source, to.open("wb") as sink:
            while (length is None or sink.tell() <= length) and (chunk := source.read(CHUNK)):
                sink.write(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{origin} is no whole gzip ({error}); run it again") from error


def _download(url: str, part: Path, name: str, most: int | None) -> None:
    """Add what `part` lacks; a server that gives the whole must begin with what is there.

    Args:
        url: of the file.
        part: what is there of it.
        name: for people.
        most: bytes at which to stop; none: where the server does.
    """
    have = part.stat().st_size if part.is_file() else 0
    rest = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=rest)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            place = _start(response, url, have)
            total = None if response.length is None else place + response.length
            if most is not None and total is not None and total > most:
                raise UserError(f"{url} is another file: {total} bytes, not the {most} of conf/")
            end = total or most or sys.maxsize
            with (
                part.open("a+b") as file,
                bar(f"Downloading {name}", total) as (progress, task),
            ):
                file.seek(place)
                progress.advance(task, place)
                while place < end and (chunk := response.read1(min(CHUNK, end - place))):
                    known = file.read(len(chunk))
                    if not chunk.startswith(known):
                        raise UserError(f"{url} does not begin as before; {_stays(part, have)}")
                    file.write(chunk[len(known) :])
                    place += len(chunk)
                    progress.advance(task, len(chunk))
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it was there already
        raise UserError(f"cannot download {name}: {url} answers {error}") from error
    except BROKEN as error:
        broke = isinstance(error, http.client.IncompleteRead)
        raise UserError(
            f"cannot download {name}: {'the connection broke' if broke else error}; connect to "
            "the network or point SPRINGFIELD_MIRROR to a folder or URL that has it"
        ) from error
    if total is not None and place < total:
        raise UserError(
            f"cannot download {name}: the connection broke after {place / 1e6:.1f} of "
            f"{total / 1e6:.1f} MB; run it again to go on from there"
        )


def _start(response: http.client.HTTPResponse, url: str, have: int) -> int:
    """The place in the file at which an answer starts, where `have` bytes are there."""
    if response.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise UserError(f"{url} answers {response.status} {response.reason}")
    if response.headers.get_content_type() == "text/html":
        raise UserError(f"{url} answers with a page, not the file; is there a portal to log in to?")
    if response.status == HTTPStatus.OK:
        return 0
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if given and int(given[1]) != have:
        raise UserError(f"{url} answers with another part than the one from byte {have} on")
    return have
