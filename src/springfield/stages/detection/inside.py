"""What is inside a detector: where its head sees which class."""

from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from springfield.images.drawing.plots import show

if TYPE_CHECKING:
    from springfield.stages.detection.network import Detector

SHOWN = 4
"""Classes, those of which the detector is surest."""


def score_maps(model: "Detector", image: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    """The probabilities of the classes at each place, by stride: classes x rows x columns.

    Args:
        model: the detector.
        image: RGB, H x W x 3, that it looks at.
    """
    with torch.inference_mode():
        pixels = model.resize(torch.tensor(image, device=model.mean.device)[None])
        places = model.eval().places(pixels)
    found = {}
    for stride in sorted({int(stride) for stride in places.strides}):
        planes = places.logits[0, places.strides == stride].float().sigmoid().T
        side = isqrt(planes.shape[1])
        found[stride] = np.asarray(planes.reshape(-1, side, side).numpy(force=True))
    return found


def score_maps_plot(model: "Detector", image: NDArray[np.uint8], classes: list[str]) -> Figure:
    """Draw an RGB image (H x W x 3) and where the detector sees the classes it is surest of."""
    maps = score_maps(model, image)
    size, (height, width) = model.architecture.input_size, image.shape[:2]
    highest = np.max([planes.max((1, 2)) for planes in maps.values()], axis=0)
    best = np.argsort(-highest, kind="stable")[:SHOWN]
    figure = Figure(figsize=(3 * (1 + len(best)), 2.6 * len(maps)), layout="constrained")
    grid = figure.subplots(len(maps), 1 + len(best), squeeze=False)
    for row, (stride, planes) in zip(grid, maps.items(), strict=True):
        show(row[0], image, f"stride {stride}: {planes.shape[1]} x {planes.shape[2]} places")
        margin = (size - planes.shape[1] * stride) / 2  # what networks that pad nothing lack
        ends = np.array([margin, size - margin]) / size
        extent = (*(ends * width), *(ends[::-1] * height))
        for axes, place in zip(row[1:], best, strict=True):
            show(axes, image, f"{classes[place]}: {planes[place].max():.0%}".replace("_", " "))
            axes.imshow(planes[place], cmap="magma", vmin=0, vmax=1, alpha=0.65, extent=extent)
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure
