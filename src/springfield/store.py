"""Many images in one memory-mapped Arrow file."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SCHEMA = pa.schema({"id": pa.string(), "image": pa.large_binary()})
ROWS = 256


def encode(image: NDArray[np.uint8], quality: int) -> bytes:
    """JPEG bytes of an RGB image (H x W x 3, uint8)."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def write_images(path: Path, images: Iterable[tuple[str, bytes]]) -> None:
    """Write (id, encoded image) pairs to an Arrow file, a few rows at a time."""
    ids: list[str] = []
    encoded: list[bytes] = []
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:

        def flush() -> None:
            writer.write_batch(pa.record_batch([ids, encoded], schema=SCHEMA))
            ids.clear()
            encoded.clear()

        for image_id, content in images:
            ids.append(image_id)
            encoded.append(content)
            if len(ids) == ROWS:
                flush()
        if ids:
            flush()


class ImageStore:
    """The images of an Arrow file by their id; nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()

    def _open(self) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        self._images = table["image"]
        self._rows = {image_id: row for row, image_id in enumerate(table["id"].to_pylist())}

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        """The decoded image: RGB, H x W x 3, uint8."""
        buffer = self._images[self._rows[image_id]].as_buffer()
        pixels = cv2.imdecode(np.frombuffer(buffer, np.uint8), cv2.IMREAD_COLOR_RGB)
        return np.asarray(pixels, np.uint8)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    # A memory map cannot be sent to a loader's worker process, its path can.
    def __getstate__(self) -> Path:
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._open()
