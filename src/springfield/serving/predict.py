"""Name what pictures show, with an exported model; needs neither torch nor DVC."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from springfield.artifacts.text import terminal
from springfield.images.reading.decoding import decode
from springfield.images.reading.names import is_hidden, looks_like_picture
from springfield.machine.errors import UserError
from springfield.machine.progress import console
from springfield.sources.folder import inside

OTHERS = {
    "detection": "finds boxes: 'springfield predict picture.jpg'",
    "forecasting": "forecasts a series: 'springfield predict series.csv'",
}
"""What models of other tasks do."""


@dataclass(frozen=True)
class Opened:
    """An ONNX file, and what it says of itself."""

    path: Path
    session: onnxruntime.InferenceSession
    metadata: dict[str, str]

    @property
    def task(self) -> str:
        """What it was trained for."""
        return self.metadata.get("task", '"classification"').strip('"')


def open_model(path: Path, threads: int = 0) -> Opened:
    """Open an ONNX file of any task.

    Raises:
        UserError: no such file, or a damaged one.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; 'dvc pull' or 'springfield pull' brings it")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of its own for each kind of damage
        raise UserError(f"{path} is damaged, or no ONNX file: pull it again") from error
    return Opened(path, session, session.get_modelmeta().custom_metadata_map)


class Predictor:
    """A classifier that `springfield export` wrote.

    Args:
        path: an ONNX file, or one that is open.
        threads: that it may use; 0: one a core.

    Raises:
        UserError: no such file, a damaged one, or not one of this project's.
    """

    def __init__(self, path: Path | str | Opened, threads: int = 0) -> None:
        opened = path if isinstance(path, Opened) else open_model(Path(path), threads)
        path, self.session, metadata = opened.path, opened.session, opened.metadata
        if does := OTHERS.get(opened.task):
            raise UserError(f"{path} {does}")
        names = [i.name for i in (*self.session.get_inputs(), *self.session.get_outputs())]
        try:
            self.classes: list[str] = json.loads(metadata["classes"])
            self.threshold: float = json.loads(metadata["threshold"])
            """The probability below which the model is unsure."""
            if names != ["image", "probabilities"]:
                raise ValueError(names)
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} was not written by 'springfield export'") from error
        if self.session.get_outputs()[0].shape[-1] != len(self.classes):
            raise UserError(f"{path} has {len(self.classes)} names for another number of classes")

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities (N x classes) of RGB images (uint8, N x H x W x 3, any H and W)."""
        return np.asarray(self.session.run(None, {"image": images})[0], np.float32)

    def predict(self, picture: bytes) -> dict[str, float]:
        """The probability of each class for an encoded picture, the highest first.

        Raises:
            ValueError: it cannot be read; the text says why.
        """
        return self.name(decode(picture))

    def name(self, image: Image.Image) -> dict[str, float]:
        """The same for an RGB picture of `decode`."""
        found = self.probabilities(reduced(image)[0][None])[0]
        return {self.classes[i]: float(found[i]) for i in np.argsort(-found, kind="stable")}


def pixels(picture: bytes) -> NDArray[np.uint8]:
    """RGB (H x W x 3) of an encoded picture.

    One of four megapixels or more is averaged over blocks of k x k pixels, k being the largest
    number that leaves a megapixel; the model resizes the rest.

    Raises:
        ValueError: it cannot be read; the text says why.
    """
    return reduced(decode(picture))[0]


def reduced(image: Image.Image) -> tuple[NDArray[np.uint8], int]:
    """The pixels (H x W x 3) of an RGB image, averaged over blocks of k x k pixels, and k."""
    k = max(1, math.isqrt(image.width * image.height // 2**20))
    return np.array(image.reduce(k) if k > 1 else image), k


def find_pictures(paths: list[Path]) -> list[Path]:
    """The files among `paths`, and the pictures in the folders among them, sorted by name.

    In folders, what is hidden and what is plainly no picture is passed over, and counted.

    Raises:
        UserError: a folder without pictures.
    """
    found = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        files = [file for file in inside(path) if not file.is_dir()]
        pictures = [
            file for file in files if not is_hidden(file.relative_to(path)) and _is_picture(file)
        ]
        if not pictures:
            raise UserError(f"{path} has no pictures")
        if others := len(files) - len(pictures):
            told = f"{path}: {others} hidden files or no pictures passed over"
            console.print(terminal(told))
        found += pictures
    return found


def _is_picture(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return looks_like_picture(file.name, opened.read(16))
    except OSError:  # told when it is read
        return True
