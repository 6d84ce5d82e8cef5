"""Many images in one memory-mapped Arrow file, their pixels as they are.

Nothing is decoded later: docs/data.md compares this with compressed images.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA = pa.schema(
    {"id": pa.string(), "height": pa.int32(), "width": pa.int32(), "pixels": pa.large_binary()}
)
ROWS = 64


def write_images(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
    """Write pairs of an id and an RGB image (H x W x 3, uint8) to an Arrow file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        rest = iter(images)
        while rows := list(islice(rest, ROWS)):
            ids, pixels = zip(*rows, strict=True)
            columns = [
                ids,
                [image.shape[0] for image in pixels],
                [image.shape[1] for image in pixels],
                [image.tobytes() for image in pixels],
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


class ImageStore:
    """The images of an Arrow file by their id; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        self._pixels = table["pixels"]
        self._shapes = list(
            zip(table["height"].to_pylist(), table["width"].to_pylist(), strict=True)
        )
        self._rows = {image_id: row for row, image_id in enumerate(table["id"].to_pylist())}

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        """The image: RGB, H x W x 3, uint8; a copy."""
        row = self._rows[image_id]
        flat = np.frombuffer(self._pixels[row].as_buffer(), np.uint8)
        return flat.reshape(*self._shapes[row], 3).copy()

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    # A memory map cannot be sent to a loader's worker process, its path can.
    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._open()
