"""Stage prepare: decode and check every image once, so that nothing later has to."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import imagehash
import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from springfield.data_page import write_data_page
from springfield.errors import UserError
from springfield.files import atomic, write_json
from springfield.picture import decode
from springfield.processes import ctrl_c_waits, end_with_parent, worker_context
from springfield.progress import track
from springfield.readers import Format, Item, Layout, labelled
from springfield.records import labelled_records
from springfield.store import ImageStore, write_images

INDEX_COLUMNS = (
    "id", "class", "source", "width", "height", "sha256", "phash", "official_split",
)  # fmt: skip
BATCH = 32


@dataclass
class PrepareParams:
    """How images are kept."""

    shorter_side: int
    """In pixels; smaller images keep their size."""
    max_refused: float
    """The share of unusable files past which the stage fails."""

    def __post_init__(self) -> None:
        if self.shorter_side < 8:
            raise UserError(f"prepare.shorter_side={self.shorter_side} must be at least 8 pixels")


@dataclass(frozen=True)
class _Prepared:
    """An image decoded and downscaled, or why that was not possible."""

    item: Item
    """Without its content."""
    sha256: str
    width: int = 0
    height: int = 0
    phash: str = ""
    pixels: NDArray[np.uint8] | None = None
    """RGB, H x W x 3."""
    refused: str = ""


def _prepare_one(item: Item, params: PrepareParams) -> _Prepared:
    digest = hashlib.sha256(item.content).hexdigest()
    known = replace(item, content=b"")
    if item.problem:
        return _Prepared(known, digest, refused=item.problem)
    try:
        image = _raw(item.content, item.shape) if item.shape else decode(item.content)
    except ValueError as error:
        return _Prepared(known, digest, refused=str(error))
    width, height = image.size
    phash = str(imagehash.phash(image))
    if (shorter := min(width, height)) > params.shorter_side:
        scale = params.shorter_side / shorter
        scaled = (round(width * scale), round(height * scale))
        image = image.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _Prepared(known, digest, width, height, phash, np.asarray(image))


def _raw(content: bytes, shape: tuple[int, ...]) -> Image.Image:
    """The picture of planes of pixels: one of grey, or red, green and blue."""
    planes = np.frombuffer(content, np.uint8).reshape(shape)
    return Image.fromarray(np.repeat(planes, 3 // len(planes), axis=0).transpose(1, 2, 0).copy())


def _prepare_batch(batch: list[Item], params: PrepareParams) -> list[_Prepared]:
    return [_prepare_one(item, params) for item in batch]


def _prepared(items: Iterator[Item], params: PrepareParams, workers: int) -> Iterator[_Prepared]:
    """Decode in `workers` processes, in order, with only a few batches in memory."""
    with ProcessPoolExecutor(workers, worker_context(), end_with_parent) as pool:
        waiting = []
        while batch := list(islice(items, BATCH)):
            with ctrl_c_waits():  # the first one starts the processes
                waiting.append(pool.submit(_prepare_batch, batch, params))
            if len(waiting) > 2 * workers:
                yield from waiting.pop(0).result()
        for future in waiting:
            yield from future.result()


def prepare(
    params: PrepareParams,
    layouts: list[Layout],
    raw: Path,
    out: Path,
    report: Path,
    page: Path,
    workers: int | None = None,
) -> None:
    """Write every usable image of the archives, downscaled, and an index.

    Args:
        params: the size to keep.
        layouts: which files are images, and of which class.
        raw: the folder that download wrote.
        out: folder to write: `images.arrow` and `index.csv`.
        report: JSON file to write: counts, and what was not used and why.
        page: HTML file to write: the same for people, with samples of each class.
        workers: processes that decode; default: one per core.

    Raises:
        UserError: no or damaged archives, no images, too many refused, an empty class.
    """
    archives = sorted(path for path in raw.glob("*") if path.suffix != ".json")
    if not archives:
        raise UserError(f"{raw} has no archive; run 'springfield download' first")
    rows: list[tuple[Any, ...]] = []
    listed: dict[str, list[dict[str, str]]] = {"refused": [], "conflicts": [], "duplicates": []}
    found: Counter[str] = Counter()
    seen: dict[str, Item] = {}
    unmatched = 0
    pictures = [layout for layout in layouts if layout.format is Format.picture]
    records = [layout for layout in layouts if layout.format is not Format.picture]

    def items() -> Iterator[Item]:
        nonlocal unmatched
        if records:
            yield from labelled_records(archives, records)
        for archive in archives if pictures else []:
            for item in labelled(archive, pictures):
                if item is None:
                    unmatched += 1
                else:
                    yield item

    def usable(images: Iterable[_Prepared]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for image in images:
            item, image_id = image.item, image.sha256[:16]
            found[item.label] += 1
            if image.pixels is None:
                listed["refused"].append({"source": item.source, "reason": image.refused})
            elif first := seen.get(image_id):
                kind = "duplicates" if first.label == item.label else "conflicts"
                same = f"the same as {first.source}"
                listed[kind].append({"source": item.source, "reason": same})
            else:
                seen[image_id] = item
                rows.append(
                    (
                        image_id, item.label, item.source, image.width, image.height,
                        image.sha256, image.phash, item.official_split,
                    )
                )  # fmt: skip
                yield image_id, image.pixels

    with atomic(out, directory=True) as partial:
        images = _prepared(items(), params, workers or joblib.cpu_count())
        write_images(partial / "images.arrow", usable(track(images, "Preparing images")))
        index = pd.DataFrame(rows, columns=list(INDEX_COLUMNS))
        _check(index, found, listed["refused"], params)
        index.to_csv(partial / "index.csv", index=False, lineterminator="\n")
        counts = index["class"].value_counts().sort_index()
        content = {
            "files": found.total() + unmatched,
            "images": len(index),
            "unmatched": unmatched,
            # Lists, because DVC would show each value of a dictionary as a metric.
            "classes": [{"class": name, "images": int(n)} for name, n in counts.items()],
            **listed,
        }
        write_data_page(index, ImageStore(partial / "images.arrow"), content, page)
        write_json(report, content)


def _check(
    index: pd.DataFrame,
    found: Counter[str],
    refused: list[dict[str, str]],
    params: PrepareParams,
) -> None:
    if not found:
        raise UserError("the archives hold no picture that data.layout matches")
    if len(refused) > params.max_refused * found.total():
        first = refused[0]
        raise UserError(
            f"{len(refused)} of {found.total()} pictures cannot be used, more than "
            f"prepare.max_refused={params.max_refused} allows; the first: {first['source']}: "
            f"{first['reason']}"
        )
    classes = set(index["class"])
    if missing := sorted(set(found) - classes):
        raise UserError(
            f"class '{missing[0]}' has no usable picture; add some or remove its folder"
        )
    if len(classes) < 2:
        raise UserError(f"only one class found, '{min(classes)}'; a classifier needs two")
