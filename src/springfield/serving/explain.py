"""What in a picture a decision rests on, by occlusion (Zeiler and Fergus, 2014); needs no torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from springfield.machine.progress import track
from springfield.serving.predict import Predictor

SIDE, GRID, COVER = 384, 15, 0.2
"""Longer side of what is looked at, in pixels; places along it; share of a side that is hidden."""
SHOWN = 480
"""Longer side of what is drawn, in pixels."""


def occlusion(model: Predictor, image: NDArray[np.uint8], position: int) -> NDArray[np.float64]:
    """How much the log-odds of a class fall when a square of the picture is hidden.

    Args:
        model: the model.
        image: RGB, H x W x 3.
        position: of the class among the model's.

    Returns:
        the mean fall at each place (GRID x GRID), over the squares that hide it; negative where
        hiding helps.
    """
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE))
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    before = _log_odds(model.probabilities(pixels[None]), position)
    middle = pixels.mean((0, 1)).astype(np.uint8)
    centres = (np.arange(GRID) + 0.5) / GRID
    hidden = np.abs(centres[:, None] - centres) <= COVER / 2  # square x place, along a side
    ys = np.abs((np.arange(height) + 0.5) / height - centres[:, None]) <= COVER / 2
    xs = np.abs((np.arange(width) + 0.5) / width - centres[:, None]) <= COVER / 2
    falls = []
    for rows in track(ys, "Hiding parts"):
        covered = np.where((rows[:, None] & xs[:, None, :])[..., None], middle, pixels)
        falls.append(before - _log_odds(model.probabilities(covered), position))
    counts = hidden.sum(0)
    return hidden.T @ np.array(falls, np.float64) @ hidden / np.outer(counts, counts)


def _log_odds(probabilities: NDArray[np.float32], position: int) -> NDArray[np.float64]:
    """Of a class against all others (N): unlike its probability it is never near its ceiling."""
    others = np.delete(probabilities, position, axis=1).sum(1, dtype=np.float64)
    own = probabilities[:, position].astype(np.float64)
    return np.asarray(np.log(np.maximum(own, 1e-9)) - np.log(np.maximum(others, 1e-9)))


def overlay(image: NDArray[np.uint8], falls: NDArray[np.float64]) -> Image.Image:
    """The picture, and beside it the same: red where most rests on it, pale where little does."""
    picture = ImageOps.contain(Image.fromarray(image), (SHOWN, SHOWN))
    strength = np.clip(falls / max(falls.max(), 1e-6), 0, 1)
    mask = Image.fromarray((255 * strength).astype(np.uint8)).resize(
        picture.size, Image.Resampling.BICUBIC
    )
    white, red = (Image.new("RGB", picture.size, colour) for colour in ("white", (230, 30, 20)))
    pale = Image.blend(picture.convert("L").convert("RGB"), white, 0.4)
    marked = Image.composite(Image.blend(picture, red, 0.45), pale, mask)
    return Image.fromarray(np.hstack([np.asarray(picture), np.asarray(marked)]))
