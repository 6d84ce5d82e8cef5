"""Files known by their hash, from a mirror or else from the network."""

import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from springfield.errors import UserError
from springfield.files import atomic, sha256
from springfield.progress import bar

CHUNK = 1 << 20


@dataclass
class RemoteFile:
    """A file known by its hash, so that it is the same wherever it comes from."""

    path: str
    """Where a mirror has it; its last part is the file's name."""
    sha256: str
    url: str | None = None
    """Where it is without a mirror; none: from a mirror only."""


def _is_url(place: str) -> bool:
    return urlsplit(place).scheme in ("http", "https")


def _download(url: str, target: Path, name: str) -> None:
    try:
        opened = urllib.request.urlopen(url, timeout=60)  # noqa: S310
        with opened as response, target.open("wb") as file:
            size = int(response.headers.get("Content-Length") or 0) or None
            with bar(f"Downloading {name}", size) as (progress, task):
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    progress.advance(task, len(chunk))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"cannot download {name}: {error}; connect to the network or point "
            "SPRINGFIELD_MIRROR to a folder or URL that has it"
        ) from error


def fetch(file: RemoteFile, target: Path, mirror: str | None, root: Path) -> None:
    """Put a file at `target`, from the mirror or else from its URL, and verify its hash.

    Args:
        file: what to fetch.
        target: where to put it; it appears whole and verified, or not at all.
        mirror: a folder (relative to `root`) or a URL that is asked first.
        root: the primary repository.

    Raises:
        UserError: nobody has the file, or what they have is another file.
    """
    if target.is_file() and sha256(target) == file.sha256:
        return
    with atomic(target) as partial:
        if mirror and _is_url(mirror):
            origin = f"{mirror.rstrip('/')}/{quote(file.path)}"
            _download(origin, partial, target.name)
        elif mirror and (root / mirror / file.path).is_file():
            origin = str(root / mirror / file.path)
            shutil.copyfile(origin, partial)
        elif file.url:
            origin = file.url
            _download(origin, partial, target.name)
        elif mirror:
            raise UserError(f"the mirror {root / mirror} has no {file.path}; add it there")
        else:
            raise UserError(
                f"{file.path} comes from a mirror only: set SPRINGFIELD_MIRROR to a folder or URL "
                "that has it"
            )
        if (found := sha256(partial)) != file.sha256:
            raise UserError(
                f"{origin} is damaged or another file (sha256 {found[:12]}…, expected "
                f"{file.sha256[:12]}…); replace it"
            )
