"""Decoding the pictures of a data set in several processes, each picture once."""

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from springfield.images.reading.archives import Item
from springfield.images.reading.decoding import decode
from springfield.machine.errors import UserError
from springfield.machine.processes import ctrl_c_waits, end_with_starter, worker_context

BATCH, BATCH_BYTES = 32, 32 << 20
"""A process gets so many files at once, or fewer that are larger together."""
WAITING_BYTES = 512 << 20
"""Of files that processes have got and not given back."""
LONGEST = 16
"""A picture is kept at most so many times as long as its shorter side should be."""
Decoded = tuple[Item, dict[str, Any], NDArray[np.uint8] | None]
"""An image without its content, its line in `index.csv`, and its pixels (RGB, H x W x 3).

No pixels: its problem says why."""


def _decode_one(item: Item, shorter_side: int) -> Decoded:
    known = replace(item, content=b"")
    if item.problem:
        return known, {}, None
    try:
        image = _raw(item.content, item.shape) if item.shape else decode(item.content, _one_large)
    except ValueError as error:
        return replace(known, problem=str(error)), {}, None
    digest = hashlib.sha256(item.content).hexdigest()
    width, height = image.info.get("size", image.size)
    row = {
        "id": digest[:16], "class": item.label, "source": item.source, "width": width,
        "height": height, "sha256": digest, "phash": str(imagehash.phash(image)),
        "official_split": item.official_split,
    }  # fmt: skip
    shorter, longer = sorted(image.size)
    scale = min(shorter_side / shorter, LONGEST * shorter_side / longer)
    if scale < 1:
        scaled = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return known, row, np.asarray(image)


def _raw(content: bytes, shape: tuple[int, ...]) -> Image.Image:
    """The picture of planes of pixels: one of grey, or red, green and blue."""
    planes = np.frombuffer(content, np.uint8).reshape(shape)
    return Image.fromarray(np.repeat(planes, 3 // len(planes), axis=0).transpose(1, 2, 0).copy())


_one_large: AbstractContextManager[object] | None = None
"""Held by the one process that decodes a large picture."""


def _start(one_large: AbstractContextManager[object]) -> None:
    global _one_large
    _one_large = one_large
    end_with_starter()


def _decode_batch(batch: list[Item], shorter_side: int) -> list[Decoded]:
    return [_decode_one(item, shorter_side) for item in batch]


def _batches(items: Iterator[Item]) -> Iterator[tuple[list[Item], int]]:
    """Items to decode together, and their bytes."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.content)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def decoded(items: Iterator[Item], shorter_side: int, workers: int) -> Iterator[Decoded]:
    """Decode in `workers` processes, in order, with only a few batches in memory.

    Pictures are made smaller until their shorter side has `shorter_side` pixels.

    Raises:
        UserError: a process was killed.
    """
    context = worker_context()
    waiting: deque[tuple[Future[list[Decoded]], int]] = deque()
    held = 0
    try:
        with ProcessPoolExecutor(workers, context, _start, (context.Lock(),)) as pool:
            for batch, size in _batches(items):
                with ctrl_c_waits():  # the first one starts the processes
                    waiting.append((pool.submit(_decode_batch, batch, shorter_side), size))
                held += size
                while len(waiting) > 2 * workers or held > WAITING_BYTES:
                    future, size = waiting.popleft()
                    held -= size
                    yield from future.result()
            for future, _ in waiting:
                yield from future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"one of {workers} processes that decode was killed, mostly for want of memory; take "
            "fewer (hardware.workers) and run it again"
        ) from error
