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
            heights, widths, _ = zip(*(image.shape for image in pixels), strict=True)
            columns = [ids, heights, widths, [image.tobytes() for image in pixels]]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))


class ImageStore:
    """The images of an Arrow file by their id; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        self._pixels = table["pixels"]
        columns = (table[name].to_pylist() for name in ("id", "height", "width"))
        self._rows = {
            image_id: (row, height, width)
            for row, (image_id, height, width) in enumerate(zip(*columns, strict=True))
        }

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        """The image: RGB, H x W x 3, uint8; a copy."""
        row, height, width = self._rows[image_id]
        flat = np.frombuffer(self._pixels[row].as_buffer(), np.uint8)
        return flat.reshape(height, width, 3).copy()

    def size(self, image_id: str) -> tuple[int, int]:
        """The width and the height of an image, in pixels."""
        _, height, width = self._rows[image_id]
        return width, height

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __reduce__(self) -> tuple[type["ImageStore"], tuple[Path]]:
        """A memory map cannot be sent to a loader's worker process, its path can."""
        return type(self), (self.path,)
