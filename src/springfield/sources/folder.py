"""Local folders of pictures."""

import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from springfield.machine.errors import UserError
from springfield.machine.progress import track


def inside(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder, sorted; links to folders inside of it are followed.

    Raises:
        UserError: a link to a folder leads elsewhere, or to one that holds the link.
    """
    yield from _below(folder, (folder.resolve(),))


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not (path.name.startswith(".") and path.is_symlink()):
            real = path.resolve()
            if above[0] not in real.parents or real in above:
                raise UserError(
                    f"'{path}' is a link to {real}, which is outside of its folder or holds it; "
                    "put the pictures themselves there, or remove the link"
                )
            yield from _below(path, (*above, real))


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder into a zip that depends on names and contents only.

    Raises:
        UserError: the folder holds no file, or something that a zip cannot.
    """
    paths = list(inside(folder))
    if not any(path.is_file() for path in paths):
        raise UserError(f"{folder} holds no file; put one folder of pictures per class into it")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in track(paths, f"Packing {folder.name}"):
            name = path.relative_to(folder).as_posix()
            if problem := _problem(path, name):
                raise UserError(f"{str(path)!a}: {problem}")
            info = zipfile.ZipInfo(name + "/" * path.is_dir(), (1980, 1, 1, 0, 0, 0))
            if path.is_dir():
                zipped.writestr(info, b"")
            elif path.is_symlink():  # kept as a link, so that prepare can tell
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                zipped.writestr(info, os.fsencode(path.readlink()))
            else:
                info.file_size = path.stat().st_size  # 2 GiB and more are written otherwise
                with path.open("rb") as source, zipped.open(info, "w") as sink:
                    shutil.copyfileobj(source, sink)


def _problem(path: Path, name: str) -> str:
    """Why a zip cannot hold what is at `path`; empty: it can."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        return "its name is no UTF-8; rename it"
    if "\\" in name:
        return "a backslash in its name would be a folder's end; rename it"
    if not (path.is_dir() or path.is_file() or path.is_symlink()):
        return "neither a file nor a folder; remove it"
    return ""
