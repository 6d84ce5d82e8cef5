"""Seconds to read pictures out of archives of each kind, members in a folder's order and by name.

    make bench-archives

800 files of 30 kB; beside it what plain tarfile takes for the members by name, which unpacks all
that lies before each of them again. The seconds are added to benchmarks/results/archives.csv.
"""

import io
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tables import add, processor, provenance

from springfield.images.reading.archives import labelled
from springfield.images.reading.formats import Layout

FILES, BYTES = 800, 30_000
LAYOUT = Layout(r"(?P<class>[^/]+)/[^/]+$")


def write(path: Path, names: list[str], rng: np.random.Generator) -> None:
    """Put files of noise into an archive, in the order of their names here."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name in names:
                zipped.writestr(name, rng.bytes(BYTES))
        return
    mode = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = BYTES
            tar.addfile(info, io.BytesIO(rng.bytes(BYTES)))


def ours(path: Path) -> int:
    """Bytes of the pictures, as prepare reads them."""
    return sum(len(item.content) for item in labelled(path, [LAYOUT]) if item)


def by_name(path: Path) -> int:
    """Bytes of the members, the first by name first."""
    with tarfile.open(path) as tar:
        members = sorted(tar.getmembers(), key=lambda member: member.name)
        return sum(len(file.read()) for member in members if (file := tar.extractfile(member)))


def main() -> None:
    """Measure, print and note it."""
    rng = np.random.default_rng(0)
    names = [f"set/a/{n:04}.jpg" for n in range(FILES)]
    orders = {"by name": names, "as they came": rng.permutation(names).tolist()}
    readers: dict[str, Callable[[Path], int]] = {"springfield": ours, "tarfile, by name": by_name}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz"):
            for order, listed in orders.items():
                path = Path(folder) / f"set.{kind}"
                write(path, listed, rng)
                for reader, read in readers.items():
                    if reader != "springfield" and kind != "tar.gz":
                        continue
                    started = time.perf_counter()
                    assert read(path) == FILES * BYTES
                    seconds = round(time.perf_counter() - started, 2)
                    row = {"archive": kind, "order": order, "reader": reader, "seconds": seconds}
                    print("{:8} {:14} {:18} {:7} s".format(*row.values()))
                    rows.append({**provenance(processor()), "files": FILES, "bytes": BYTES, **row})
    add(Path("benchmarks/results/archives.csv"), rows)


if __name__ == "__main__":
    main()
