"""Files known by their hash, from a mirror or else from the network."""

import gzip
import http.client
import re
import shutil
import urllib.error
import urllib.request
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from springfield.files import RemoteFile, atomic, sha256
from springfield.machine.errors import UserError
from springfield.machine.progress import bar

CHUNK = 1 << 20
SHA256 = re.compile("[0-9a-f]{64}")


def fetch(file: RemoteFile, folder: Path, mirror: str | None, root: Path) -> Path:
    """Put a file into `folder`, from the mirror or else from its URL, and verify its hash.

    What a broken download left there is gone on with, what is there already is not fetched again.

    Args:
        file: what to fetch.
        folder: where to put it, under its name; it appears verified, or not at all.
        mirror: a folder (relative to `root`) or a URL that is asked first.
        root: the primary repository.

    Returns:
        the path of the verified file.

    Raises:
        UserError: nobody has the file, what they have is another file, or the connection broke.
    """
    if not SHA256.fullmatch(file.sha256):
        raise UserError(
            f"{file.name} is not pinned: its sha256 is '{file.sha256}'; download {file.url} "
            "yourself, run sha256sum on it, and write what that prints into its file of conf/"
        )
    target = folder / file.name
    if target.is_file() and sha256(target) == file.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # Named by its hash: what is gone on with is a part of this file and of no other.
    partial = folder / f".{file.sha256[:16]}.part"
    local = None
    if mirror and urlsplit(mirror).scheme in ("http", "https"):
        origin: str | None = f"{mirror.rstrip('/')}/{quote(file.path)}"
    else:
        origin, local = file.url, root / mirror / file.path if mirror else None
    if local and local.is_file():
        origin = str(local)
        with atomic(partial) as copy:
            shutil.copyfile(local, copy)
    elif not origin and mirror:
        raise UserError(f"the mirror {root / mirror} has no {file.path}; add it there")
    elif not origin:
        raise UserError(
            f"{file.path} comes from a mirror only: set SPRINGFIELD_MIRROR to a folder or URL "
            "that has it"
        )
    elif origin.endswith(".gz") and not file.path.endswith(".gz"):
        packed = partial.with_suffix(".gz.part")
        _download(origin, packed, file.name)
        _unpack(packed, partial, origin)
    else:
        _download(origin, partial, file.name)
    if (found := sha256(partial)) != file.sha256:
        partial.unlink()
        raise UserError(
            f"{origin} is damaged or another file (sha256 {found[:12]}…, expected "
            f"{file.sha256[:12]}…); replace it"
        )
    partial.rename(target)
    return target


def _unpack(packed: Path, to: Path, origin: str) -> None:
    try:
        with gzip.open(packed) as source, atomic(to) as copy, copy.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{origin} is no whole gzip ({error}); run it again") from error
    finally:
        packed.unlink()


def _download(url: str, partial: Path, name: str) -> None:
    """Download what `partial` still lacks (all of it from a server that cannot give a part)."""
    have = partial.stat().st_size if partial.is_file() else 0
    rest = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers=rest)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            resumed = response.status == 206
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (
                partial.open("ab" if resumed else "wb") as file,
                bar(f"Downloading {name}", total) as (progress, task),
            ):
                progress.advance(task, have)
                with suppress(http.client.IncompleteRead):  # told below
                    while chunk := response.read(CHUNK):
                        file.write(chunk)
                        have += len(chunk)
                        progress.advance(task, len(chunk))
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it was there already
        raise UserError(f"cannot download {name}: {url} answers {error}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"cannot download {name}: {error}; connect to the network or point "
            "SPRINGFIELD_MIRROR to a folder or URL that has it"
        ) from error
    if total is not None and have < total:
        raise UserError(
            f"cannot download {name}: the connection broke after {have / 1e6:.1f} of "
            f"{total / 1e6:.1f} MB; run it again to go on from there"
        )
