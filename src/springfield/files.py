"""Outputs that appear whole or not at all, and their hashes."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class RemoteFile:
    """A file known by its hash, so that it is the same wherever it comes from."""

    path: str
    """Where a mirror has it; its last part is the file's name."""
    sha256: str
    url: str | None = None
    """Where it is without a mirror; none: from a mirror only. One that ends in `.gz` where the path
    does not is unpacked: the hash is that of the content, whoever packed it."""
    bytes: int | None = None
    """Its length, past which a download is stopped; none: it is not known."""

    def __post_init__(self) -> None:
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts or not self.name:
            raise ValueError(f"the path '{self.path}' should be one within a mirror")
        if not re.fullmatch("[0-9a-f]{64}|unknown", self.sha256):
            raise ValueError(f"the sha256 '{self.sha256}' should be 64 hexadecimal digits")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the url '{self.url}' should be one of http or https")

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic(path: Path, *, directory: bool = False) -> Iterator[Path]:
    """Yield a temporary file or directory that becomes `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # beside it: moving there is one rename
    _remove(partial)
    if directory:
        partial.mkdir()
    try:
        yield partial
        if path.is_dir() or directory:
            _remove(path)  # a file is replaced in one step, a folder cannot be
        else:
            with partial.open("rb") as file:
                os.fsync(file)  # a loss of power must not leave the name without the content
        partial.replace(path)
    finally:
        _remove(partial)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN, which JSON lacks, is an error."""
    with atomic(path) as partial:
        partial.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
