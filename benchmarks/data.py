"""Images per second that one core hands to training, beside other loaders on the same frames.

    make bench-data [EXPERIMENT=simpsons_cpu]

With the augmentation and the input size of params.yaml, in one process on one core: torchvision's
ImageFolder with transforms.v2 on the original files, the same with albumentations, this project's
loader on what prepare wrote, the same loader on other formats, and a bound that reads and decodes
nothing. Medians are added to benchmarks/results/data.csv.
"""

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from tables import add, processor, provenance
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from springfield.config import load
from springfield.images.dataset import Frames, read_split
from springfield.images.reading.archives import labelled
from springfield.images.reading.formats import Layout
from springfield.images.store import ImageStore
from springfield.images.transforms import Augmentation
from springfield.machine.paths import Paths
from springfield.machine.progress import track
from springfield.sampling.batches import Batches, loader
from springfield.stages.classification.params import ClassificationParams

FRAMES, BATCH, ROUNDS = 1000, 50, 7
PATHS = Paths()
RESULTS = Path("benchmarks/results/data.csv")


class Encoded(ImageStore):
    """The images of a store in memory: encoded (".jpg", ".webp"), or as they are ("")."""

    def __init__(self, store: ImageStore, ids: Iterable[str], suffix: str, *options: int) -> None:
        self.suffix = suffix
        self.images = {image_id: store[image_id] for image_id in ids}
        if suffix:
            self.images = {
                image_id: cv2.imencode(suffix, image[..., ::-1], options)[1]
                for image_id, image in self.images.items()
            }

    def __getitem__(self, image_id: str) -> NDArray[np.uint8]:
        image = self.images[image_id]
        if self.suffix:
            image = np.asarray(cv2.imdecode(image, cv2.IMREAD_COLOR_RGB), np.uint8)
        return image

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.images

    @property
    def kilobytes(self) -> float:
        """The mean size of an image."""
        return statistics.mean(image.nbytes for image in self.images.values()) / 1000


def unpack(layouts: list[Layout], sources: set[str], folder: Path) -> None:
    """Write the original files into one folder per class."""
    for archive in sorted(path for path in PATHS.raw.iterdir() if path.suffix != ".json"):
        for item in labelled(archive, layouts):
            if item and item.source in sources:
                target = folder / item.label / item.path.replace("/", "_")
                target.parent.mkdir(exist_ok=True, parents=True)
                target.write_bytes(item.content)


def torchvision_transform(transform: dict[str, Any], size: int) -> Any:
    """The transform of torchvision that does what this one of albumentations does."""
    match transform:
        case {"name": "HorizontalFlip", "p": p}:
            return v2.RandomHorizontalFlip(p)
        case {"name": "RandomResizedCrop", "scale": scale, "ratio": ratio}:
            return v2.RandomResizedCrop(size, scale, ratio, antialias=True)
        case {"name": "ColorJitter", "p": p, **colours} if len(colours) == 4:
            return v2.RandomApply([v2.ColorJitter(**colours)], p)
        case {"name": "ToGray", "p": p}:
            return v2.RandomGrayscale(p)
        case {"name": "CoarseDropout", "p": p, "hole_height_range": (low, high)}:
            return v2.RandomErasing(p, scale=(low**2, high**2))
    raise SystemExit(f"error: {transform['name']}: its torchvision counterpart is not known here")


def rate(batches: Callable[[], Iterable[Any]]) -> float:
    """Images per second of one pass."""
    started = time.perf_counter()
    count = sum(len(images) for images, _ in batches())
    return count / (time.perf_counter() - started)


def main() -> None:
    """Measure all in turn, several times; print and note the medians."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    params = load(Path("params.yaml"))
    assert isinstance(params, ClassificationParams), "this measures pictures"
    size, online = params.model.input_size, params.augment.online
    _, sides = read_split(PATHS.index, PATHS.split)
    step = max(1, len(sides["train"].ids) // FRAMES)
    ids, labels = sides["train"].ids[::step][:FRAMES], sides["train"].labels[::step][:FRAMES]
    store = ImageStore(PATHS.images)
    raw, jpeg, webp = (
        Encoded(store, ids, *options)
        for options in (
            ("",),
            (".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
            (".webp", cv2.IMWRITE_WEBP_QUALITY, 90),
        )
    )

    def project(images: ImageStore) -> Iterable[Any]:
        frames = Frames([images], ids, labels, [size], {size: Augmentation(online, size)}, seed=1)
        return loader(frames, Batches(len(ids), BATCH, seed=1), workers=0)

    def image_folder(folder: str, transform: Callable[[Image.Image], Any]) -> Iterable[Any]:
        data = ImageFolder(folder, transform)
        return DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), BATCH, False))

    with tempfile.TemporaryDirectory() as folder:
        index = pd.read_csv(PATHS.index, dtype=str, keep_default_na=False)
        unpack(params.data.layout, set(index.loc[index["id"].isin(ids), "source"]), Path(folder))
        torchvision = v2.Compose(
            [v2.PILToTensor(), *(torchvision_transform(each, size) for each in online)]
        )
        compose = Augmentation(online, size).compose
        contenders: dict[str, tuple[Callable[[], Iterable[Any]], float | None]] = {
            "ImageFolder, transforms.v2": (
                functools.partial(image_folder, folder, torchvision), None
            ),
            "ImageFolder, albumentations": (
                functools.partial(image_folder, folder, albumentate(compose)), None
            ),
            "springfield": (functools.partial(project, store), raw.kilobytes),
            "springfield on JPEG": (functools.partial(project, jpeg), jpeg.kilobytes),
            "springfield on WebP": (functools.partial(project, webp), webp.kilobytes),
            "bound: nothing read or decoded": (functools.partial(project, raw), None),
        }  # fmt: skip
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for number in track(range(ROUNDS + 1), "Measuring"):
            for name, (batches, _) in contenders.items():
                measured = rate(batches)
                if number:  # the first round warms up
                    rates[name].append(measured)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    first, bound = medians["ImageFolder, transforms.v2"], medians["bound: nothing read or decoded"]
    rows = []
    for name, median in medians.items():
        kilobytes = contenders[name][1]
        row = {
            "loader": name,
            "kilobytes_an_image": "" if kilobytes is None else round(kilobytes),
            "images_per_second": round(median),
            "times_the_first": round(median / first, 2),
            "of_the_bound": round(median / bound, 2),
        }
        print(
            "{:32} {:>4} kB {:6} images/s {:6} x the first {:6} of the bound".format(*row.values())
        )
        settings = {
            "experiment": params.experiment,
            "shorter_side": params.prepare.shorter_side,
            "input_size": size,
        }
        rows.append({**provenance(processor()), **settings, **row})
    add(RESULTS, rows)


def albumentate(compose: albumentations.Compose) -> Callable[[Image.Image], torch.Tensor]:
    """What a user writes to have albumentations in an ImageFolder."""
    return lambda image: torch.from_numpy(compose(image=np.asarray(image))["image"])


if __name__ == "__main__":
    main()
