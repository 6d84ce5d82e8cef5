"""What is inside a network: the filters of its convolutions, and what they make of a picture."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from springfield.images.drawing.plots import show
from springfield.stages.classification.plots import coloured, picture_grid

if TYPE_CHECKING:
    from springfield.stages.classification.network import Classifier

SHOWN_FILTERS, SHOWN_INPUTS = 64, 12
SHOWN_LAYERS, SHOWN_MAPS = 4, 12


def convolutions(model: "Classifier") -> dict[str, nn.Conv2d]:
    """The convolutions of a classifier by name, from the first to the last."""
    found = model.backbone.named_modules()
    return {name: module for name, module in found if isinstance(module, nn.Conv2d)}


def filters(model: "Classifier", layer: str) -> NDArray[np.float32]:
    """The weights of a convolution: filters x inputs x height x width.

    Raises:
        KeyError: there is no such convolution.
    """
    return np.asarray(convolutions(model)[layer].weight.float().numpy(force=True))


def feature_maps(
    model: "Classifier", image: NDArray[np.uint8], layers: list[str]
) -> dict[str, NDArray[np.float32]]:
    """What convolutions (channels x height x width) give for an RGB image (H x W x 3).

    Raises:
        KeyError: there is no such convolution.
    """
    modules: dict[nn.Module, str] = {convolutions(model)[name]: name for name in layers}
    found: dict[str, NDArray[np.float32]] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[modules[module]] = output[0].float().numpy(force=True)

    with ExitStack() as hooks, torch.inference_mode():
        for module in modules:
            hooks.enter_context(module.register_forward_hook(keep))
        model.eval()(torch.tensor(image, device=model.mean.device)[None])
    return found


def filters_plot(model: "Classifier", layer: str = "", channel: int | None = None) -> Figure:
    """Draw the filters of a convolution.

    Those that see red, green and blue are drawn in colour; of others each input is a column.

    Args:
        model: the network.
        layer: name of the convolution; default: the first.
        channel: draw the weights of this input alone, from 0 on.

    Raises:
        KeyError: there is no such convolution.
        IndexError: it has no such input.
    """
    layer = layer or next(iter(convolutions(model)))
    weights = filters(model, layer)
    layout = ""
    if channel is not None:
        weights = weights[:, [channel]]
        layout = f": their weights of input {channel}"
    count, inputs = weights.shape[:2]
    if inputs in (1, 3):
        weights = weights[:SHOWN_FILTERS]
        columns = min(len(weights), 16)
    else:
        weights = weights[:SHOWN_INPUTS, :SHOWN_INPUTS]
        columns = weights.shape[1]
        layout = f": a row each, a column for each of {columns} inputs"
    if inputs == 3:  # each from 0 to 1, its middle grey where the weight is 0
        largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
        pictures = 0.5 + weights / np.maximum(2 * largest, 1e-12)
    else:
        planes = weights.reshape(-1, *weights.shape[2:])
        limit = max(float(np.abs(planes).max()), 1e-12)
        pictures = coloured(0.5 + planes / (2 * limit), "RdBu_r")
    shown = f", {len(weights)} of them shown" if len(weights) < count else ""
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(0.6 * columns, 0.6 * rows + 0.5), layout="constrained")
    show(figure.add_subplot(), picture_grid(pictures, columns))
    figure.suptitle(f"{count} filters of {layer}{shown}{layout}", fontsize=9)
    return figure


def feature_maps_plot(
    model: "Classifier", image: NDArray[np.uint8], layers: list[str] | None = None
) -> Figure:
    """Draw an RGB image (H x W x 3) and what convolutions make of it.

    Args:
        model: the network.
        image: what it looks at.
        layers: convolutions, a row each; default: a few from the first to the last.
    """
    names = list(convolutions(model))
    places = np.linspace(0, len(names) - 1, min(SHOWN_LAYERS, len(names))).astype(int)
    maps = feature_maps(model, image, layers or [names[place] for place in places])
    figure = Figure(figsize=(SHOWN_MAPS + 1.5, 1.3 * len(maps) + 0.3), layout="constrained")
    cells = figure.add_gridspec(len(maps), 2, width_ratios=[1.5, SHOWN_MAPS])
    show(figure.add_subplot(cells[:, 0]), image, "picture")
    for row, (name, planes) in enumerate(maps.items()):
        shown = planes[:SHOWN_MAPS]
        low = shown.min(axis=(1, 2), keepdims=True)
        span = np.maximum(shown.max(axis=(1, 2), keepdims=True) - low, 1e-12)
        grid = picture_grid(coloured((shown - low) / span, "viridis"), SHOWN_MAPS)
        axes = figure.add_subplot(cells[row, 1])
        show(axes, grid, f"{name}: {' x '.join(map(str, planes.shape))}")
    return figure
