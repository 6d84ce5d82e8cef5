"""Stage prepare: decode and check every image once, so that nothing later has to."""

import csv
import hashlib
import io
import multiprocessing
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import joblib
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from springfield.errors import UserError
from springfield.files import atomic, write_json
from springfield.processes import end_with_parent
from springfield.progress import track
from springfield.readers import Item, Layout, labelled
from springfield.store import encode, write_images

INDEX_COLUMNS = (
    "id", "class", "source", "width", "height", "sha256", "phash", "official_split",
)  # fmt: skip
BATCH = 32


@dataclass
class PrepareParams:
    """How images are kept."""

    shorter_side: int
    """In pixels; smaller images keep their size."""
    quality: int
    """Of JPEG, 1 to 100."""
    max_refused: float
    """The share of unusable files past which the stage fails."""

    def __post_init__(self) -> None:
        if self.shorter_side < 8:
            raise UserError(f"prepare.shorter_side={self.shorter_side} must be at least 8 pixels")
        if not 1 <= self.quality <= 100:
            raise UserError(f"prepare.quality={self.quality} must be 1 to 100")


@dataclass(frozen=True)
class _Prepared:
    """An image decoded and encoded again, or why that was not possible."""

    item: Item
    sha256: str
    width: int = 0
    height: int = 0
    phash: str = ""
    jpeg: bytes = b""
    refused: str = ""


def _prepare_one(item: Item, content: bytes, params: PrepareParams) -> _Prepared:
    digest = hashlib.sha256(content).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
    except UnidentifiedImageError:
        return _Prepared(item, digest, refused="not an image")
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
        return _Prepared(item, digest, refused=str(error))
    width, height = image.size
    phash = str(imagehash.phash(image))
    if (shorter := min(width, height)) > params.shorter_side:
        scale = params.shorter_side / shorter
        scaled = (round(width * scale), round(height * scale))
        image = image.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=3.0)
    jpeg = encode(np.asarray(image), params.quality)
    return _Prepared(item, digest, width, height, phash, jpeg)


def _prepare_batch(batch: list[tuple[Item, bytes]], params: PrepareParams) -> list[_Prepared]:
    return [_prepare_one(item, content, params) for item, content in batch]


def _batches(archives: list[Path], layouts: list[Layout]) -> Iterator[list[tuple[Item, bytes]]]:
    batch: list[tuple[Item, bytes]] = []
    for archive in archives:
        for labelled_file in labelled(archive, layouts):
            batch.append(labelled_file)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _prepared(
    archives: list[Path], layouts: list[Layout], params: PrepareParams, workers: int
) -> Iterator[_Prepared]:
    """Decode in `workers` processes, in order, with only a few batches in memory."""
    batches = _batches(archives, layouts)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        waiting = []
        for batch in batches:
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
    workers: int | None = None,
) -> None:
    """Write every usable image of the archives, downscaled, and an index.

    Args:
        params: size and quality to keep.
        layouts: which files are images, and of which class.
        raw: the folder that download wrote.
        out: folder to write: `images.arrow` and `index.csv`.
        report: JSON file to write: counts, and what was refused and why.
        workers: processes that decode; default: one per core.

    Raises:
        UserError: no or damaged archives, no images, too many refused, an empty class.
    """
    archives = sorted(path for path in raw.glob("*") if path.suffix != ".json")
    if not archives:
        raise UserError(f"{raw} has no archive; run 'springfield download' first")
    rows: list[dict[str, object]] = []
    refused: list[dict[str, str]] = []
    seen: dict[str, str] = {}
    found: Counter[str] = Counter()

    def usable(images: Iterator[_Prepared]) -> Iterator[tuple[str, bytes]]:
        for image in images:
            item, image_id = image.item, image.sha256[:16]
            found[item.label] += 1
            reason = image.refused
            if not reason and image_id in seen:
                reason = f"same bytes as {seen[image_id]}"
            if reason:
                refused.append({"source": item.source, "reason": reason})
                continue
            seen[image_id] = item.source
            values = (
                image_id, item.label, item.source, image.width, image.height,
                image.sha256, image.phash, item.official_split,
            )  # fmt: skip
            rows.append(dict(zip(INDEX_COLUMNS, values, strict=True)))
            yield image_id, image.jpeg

    with atomic(out, directory=True) as partial:
        images = _prepared(archives, layouts, params, workers or joblib.cpu_count())
        write_images(partial / "images.arrow", usable(track(images, "Preparing images")))
        counts = Counter(str(row["class"]) for row in rows)
        unusable = [entry for entry in refused if not entry["reason"].startswith("same bytes")]
        _check(counts, found, unusable, params)
        with (partial / "index.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, INDEX_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_json(
            report,
            {
                "images": len(rows),
                "refused": len(refused),
                # Lists, because DVC would show each value of a dictionary as a metric.
                "classes": [{"class": name, "images": counts[name]} for name in sorted(counts)],
                "refused_images": refused,
            },
        )


def _check(
    counts: Counter[str],
    found: Counter[str],
    unusable: list[dict[str, str]],
    params: PrepareParams,
) -> None:
    if not found:
        raise UserError("the archives hold no picture that data.layout matches")
    if len(unusable) > params.max_refused * found.total():
        first = unusable[0]
        raise UserError(
            f"{len(unusable)} of {found.total()} pictures cannot be used, more than "
            f"prepare.max_refused={params.max_refused} allows; the first: {first['source']}: "
            f"{first['reason']}"
        )
    if missing := sorted(set(found) - set(counts)):
        raise UserError(
            f"class '{missing[0]}' has no usable picture; add some or remove its folder"
        )
    if len(counts) < 2:
        raise UserError(f"only one class found, '{next(iter(counts))}'; a classifier needs two")
