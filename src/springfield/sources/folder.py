"""Local folders of pictures."""

import shutil
import stat
import zipfile
from pathlib import Path

from springfield.machine.errors import UserError
from springfield.machine.progress import track


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder into a zip that depends on names and contents only.

    Raises:
        UserError: the folder holds no file.
    """
    paths = sorted(folder.rglob("*"))
    if not any(path.is_file() for path in paths):
        raise UserError(f"{folder} holds no file; put one folder of pictures per class into it")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in track(paths, f"Packing {folder.name}"):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            if path.is_symlink():  # kept as a link, so that prepare can tell
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                zipped.writestr(info, str(path.readlink()))
            elif path.is_dir():
                info.filename += "/"
                zipped.writestr(info, b"")
            else:
                with path.open("rb") as source, zipped.open(info, "w") as sink:
                    shutil.copyfileobj(source, sink)
