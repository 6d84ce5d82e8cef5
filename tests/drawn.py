"""Drawn digits in the formats of MNIST and CIFAR, a few hundred, as a mirror has them."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

TRAIN, TEST = 240, 40


def pictures(count: int, classes: int, side: int, seed: int) -> NDArray[np.uint8]:
    """Numbers from 0 on, in turn: count x side x side x 3."""
    rng = np.random.default_rng(seed)
    font = ImageFont.load_default(0.7 * side)
    found = []
    for number in range(count):
        image = Image.new("RGB", (side, side), tuple(rng.integers(0, 90, 3).tolist()))
        text, colour = str(number % classes), tuple(rng.integers(130, 256, 3).tolist())
        x, y = (rng.integers(-1, 3, 2) + np.array([2 if len(text) > 1 else 7, 2])).tolist()
        ImageDraw.Draw(image).text((x, y), text, colour, font)
        found.append(np.asarray(image))
    return np.stack(found)


def idx(values: NDArray[np.uint8]) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes((0, 0, 8, values.ndim))
    return header + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def mnist_files(train: int = TRAIN, test: int = TEST) -> dict[str, bytes]:
    """The four files of MNIST."""
    files = {}
    for seed, (name, count) in enumerate((("train", train), ("t10k", test))):
        grey = pictures(count, 10, 28, seed).mean(axis=3).astype(np.uint8)
        files[f"{name}-images-idx3-ubyte"] = idx(grey)
        files[f"{name}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
    return files


def cifar(count: int, classes: int, seed: int) -> bytes:
    """A binary file of CIFAR-10, or of CIFAR-100 with its coarse labels."""
    labels = (np.arange(count) % classes).astype(np.uint8)[:, None]
    coarse = [labels // 5] if classes == 100 else []
    planes = pictures(count, classes, 32, seed).transpose(0, 3, 1, 2).reshape(count, -1)
    return np.concatenate([*coarse, labels, planes], axis=1).tobytes()


def cifar10_files(train: int = TRAIN, test: int = TEST) -> dict[str, bytes]:
    """The six files of CIFAR-10."""
    files = {f"data_batch_{n}.bin": cifar(train // 5, 10, n) for n in range(1, 6)}
    return files | {"test_batch.bin": cifar(test, 10, 9)}


def tar_gz(folder: str, files: dict[str, bytes]) -> bytes:
    """Files in a folder of a tar."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def contents(data: str) -> dict[str, bytes]:
    """The files of a data set of `conf/data`, drawn."""
    match data:
        case "mnist" | "fashion_mnist":
            return mnist_files()
        case "cifar10_bin":
            return cifar10_files()
        case "cifar10":
            files = cifar10_files() | {"batches.meta.txt": b"airplane\n", "readme.html": b"<p>"}
            return {"cifar-10-binary.tar.gz": tar_gz("cifar-10-batches-bin", files)}
        case "cifar100":
            files = {"train.bin": cifar(400, 100, 0), "test.bin": cifar(100, 100, 1)}
            return {"cifar-100-binary.tar.gz": tar_gz("cifar-100-binary", files)}
    raise ValueError(data)


def put(data: str, conf: Path, mirror: Path) -> None:
    """Draw a data set into a mirror, and have `conf/data` name what was drawn."""
    config = conf / f"data/{data}.yaml"
    content = config.read_text()
    files = contents(data)
    for file in yaml.safe_load(content)["source"]["files"]:
        drawn = files[Path(file["path"]).name]
        path = mirror / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn)
        content = content.replace(file["sha256"], sha256(drawn))
    config.write_text(content)


def packed(content: bytes) -> bytes:
    """As gzip."""
    return gzip.compress(content)


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()
