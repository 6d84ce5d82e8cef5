"""Stage download: get the data once, provably the same."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from springfield.files import RemoteFile, atomic, sha256, write_json
from springfield.images.reading.archives import is_archive
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.sources.folder import pack
from springfield.sources.kaggle import fetch_kaggle
from springfield.sources.mirror import alone, fetched
from springfield.sources.sample import draw_sample
from springfield.sources.sample_boxes import RACCOONS, SEVERAL, draw_sample_boxes

if TYPE_CHECKING:
    from springfield.config import Params

NEEDS = ("data.source",)
TABLES = {".csv", ".tsv", ".txt"}
"""Suffixes of files of series."""


@dataclass
class SourceParams:
    """Where a data set comes from: exactly one of these."""

    sample: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw the sample, with this share of its frames."""
    sample_boxes: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw the one with several characters a frame and their boxes."""
    raccoon: Annotated[float, Field(gt=0, le=1)] | None = None
    """Draw the one of a raccoon with its boxes."""
    files: list[RemoteFile] = field(default_factory=list)
    """Archives known by their hash."""
    kaggle: Annotated[str, Field(pattern=r"^[\w-]+/[\w-]+/versions/\d+$")] | None = None
    """A pinned Kaggle data set, `owner/name/versions/N`."""
    folder: Annotated[str, Field(min_length=1)] | None = None
    """A local zip, tar or folder of pictures, or a CSV, relative to the workspace."""

    def __post_init__(self) -> None:
        named = [name for name, value in vars(self).items() if value]
        if len(named) != 1:
            raise UserError(
                "data.source must name one of sample, sample_boxes, raccoon, files, kaggle, "
                f"folder, not {' and '.join(named) or 'none'}; set the others to null"
            )


def run(params: "Params", paths: Paths, machine: Machine) -> None:
    """Put the archives of a data set and `source.json` into `paths.raw`, whole or not at all.

    What has arrived so far stays in the machine's cache, until all of it has.

    Raises:
        UserError: the source cannot be reached or is not what it should be.
    """
    source, arrived = params.data.source, machine.cache / "downloads"
    with atomic(paths.raw, directory=True) as partial:
        if source.sample:
            draw_sample(partial / "sample.zip", source.sample)
        elif source.sample_boxes:
            draw_sample_boxes(partial / "sample_boxes.zip", SEVERAL, source.sample_boxes)
        elif source.raccoon:
            draw_sample_boxes(partial / "raccoon.zip", RACCOONS, source.raccoon)
        elif source.kaggle:
            fetch_kaggle(source.kaggle, partial / f"{source.kaggle.split('/')[1]}.zip")
        elif source.folder:
            _copy_local(Path(source.folder), partial)
        for file in source.files:
            with fetched(file, arrived, machine.mirror, machine.root) as path:
                _link(path, partial / file.name)
        origin = {name: value for name, value in vars(source).items() if value}
        if source.files:
            origin["files"] = [file.path for file in source.files]
        archives = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(partial.iterdir())
        }
        write_json(partial / "source.json", {"origin": origin, "archives": archives})
    for file in source.files:
        with alone(file, arrived):  # another run may have taken it away, or be about to link it
            (arrived / file.name).unlink(missing_ok=True)


def _link(path: Path, to: Path) -> None:
    """Put a file at a second place, without a second copy where the disk can."""
    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)


def _copy_local(path: Path, out: Path) -> None:
    if path.is_dir():
        pack(path, out / f"{path.name}.zip")
    elif is_archive(path) or path.suffix.lower() in TABLES:
        shutil.copyfile(path, out / path.name)
    elif path.exists():
        raise UserError(
            f"{path} is neither a zip, a tar, a CSV nor a folder; data.source.folder names it"
        )
    else:
        raise UserError(f"{path} does not exist; put your pictures there, as docs/data.md says")
