"""What in a picture a decision rests on, by occlusion (Zeiler and Fergus, 2014); needs no torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from springfield.predict import Predictor
from springfield.progress import track

SIDE, GRID, COVER = 384, 15, 0.2
"""Longer side of what is looked at, in pixels; places along it; share of a side that is hidden."""
BATCH = 15


def occlusion(model: Predictor, image: NDArray[np.uint8], position: int) -> NDArray[np.float64]:
    """How much the probability of a class falls when a square of the picture is hidden.

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
    before = float(model.probabilities(pixels[None])[0, position])
    middle = pixels.mean((0, 1)).astype(np.uint8)
    centres = (np.arange(GRID) + 0.5) / GRID
    hidden = np.abs(centres[:, None] - centres) <= COVER / 2  # square x place, along a side
    ys = np.abs((np.arange(height) + 0.5) / height - centres[:, None]) <= COVER / 2
    xs = np.abs((np.arange(width) + 0.5) / width - centres[:, None]) <= COVER / 2
    falls = []
    for rows in track(ys, "Hiding parts"):
        covered = np.where((rows[:, None] & xs[:, None, :])[..., None], middle, pixels)
        falls.append(before - model.probabilities(covered)[:, position])
    counts = hidden.sum(0)
    return hidden.T @ np.array(falls, np.float64) @ hidden / np.outer(counts, counts)


def overlay(image: NDArray[np.uint8], falls: NDArray[np.float64]) -> Image.Image:
    """The picture, grey where nothing rests on it, and red where the most does."""
    picture = Image.fromarray(image)
    strength = np.clip(falls / max(falls.max(), 1e-6), 0, 1)
    mask = Image.fromarray((255 * strength).astype(np.uint8)).resize(
        picture.size, Image.Resampling.BICUBIC
    )
    dim = Image.blend(
        picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "white"), 0.4
    )
    hot = Image.blend(picture, Image.new("RGB", picture.size, (230, 30, 20)), 0.45)
    return Image.composite(hot, dim, mask)
