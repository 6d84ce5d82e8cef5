"""`springfield verify`: whether files are what DVC has noted of them."""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from springfield.artifacts.text import terminal
from springfield.machine.errors import UserError
from springfield.machine.progress import console, track

if TYPE_CHECKING:
    from dvc.repo import Repo


def verify() -> None:
    """Hash what dvc.lock names, in DVC's cache and here: DVC itself trusts read-only files."""
    from dvc.repo import Repo

    named = dict(_named(Repo()))
    here = [path for path in named if path.is_file()]
    damaged = [path for path in track(here, "Hashing") if _md5(path) != named[path]]
    if damaged:
        console.print("not what dvc.lock says:")
        for path in damaged:
            console.print(terminal(f"  {path}"))
        console.print(terminal(f"delete them: rm -f {shlex.join(map(str, damaged))}"))
        raise UserError(
            f"{len(damaged)} of {len(here)} files are damaged or changed; once they are deleted, "
            "'dvc pull' brings those that a remote has, and 'dvc repro' makes the others"
        )
    size = sum(path.stat().st_size for path in here) / 1e6
    away = f"; {len(named) - len(here)} more are not here" if len(here) < len(named) else ""
    console.print(f"{len(here)} files ({size:.1f} MB) are what dvc.lock says{away}")


def _named(repo: "Repo") -> Iterator[tuple[Path, str]]:
    """Each file that an output consists of, in the cache and in the workspace, and its MD5."""
    cache, root = repo.cache.local, Path(repo.root_dir)

    def cached(md5: str) -> Path:
        return Path(os.path.relpath(cache.oid_to_path(md5), root))

    for out in repo.index.outs:
        if not out.hash_info:  # never made
            continue
        md5, path = out.hash_info.value, Path(out.fs_path).relative_to(root)
        if out.use_cache:
            yield cached(md5), md5.removesuffix(".dir")
        if not out.is_dir_checksum:
            yield path, md5
            continue
        with suppress(FileNotFoundError, ValueError):  # away, or damaged, which its own MD5 tells
            for entry in json.loads(cached(md5).read_text()):
                yield cached(entry["md5"]), entry["md5"]
                yield path / entry["relpath"], entry["md5"]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
