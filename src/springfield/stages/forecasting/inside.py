"""What is inside a forecaster: how it smooths, and what its first layer remembers."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from springfield.series.drawing.plots import BLUE, ORANGE
from springfield.stages.forecasting.network import Forecaster

SHOWN_UNITS = 8


def inside_plot(model: Forecaster, values: NDArray[np.float64]) -> Figure:
    """The parts of one forecast.

    Args:
        model: the forecaster.
        values: what came before the forecast, at least a window.
    """
    a, backbone = model.architecture, model.backbone
    device = next(model.parameters()).device
    given = torch.from_numpy(values[-a.window :].astype(np.float32))[None].to(device)
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    season, parts, units = figure.subplots(1, 3)
    with torch.inference_mode():
        scaled = (given - a.mean) / a.spread
        median = model(given)[0, :, len(a.quantiles) // 2].cpu().numpy()
        features = scaled[..., None]
        steps = np.arange(1, a.horizon + 1)
        if backbone.smoothing:
            start, without_level, profile = backbone.smoothing(scaled)
            features = torch.stack([without_level, profile], -1)
            smooth = start[0].cpu().numpy() * a.spread + a.mean
            season.plot(range(1, a.season + 1), profile[0, : a.season].cpu() * a.spread, color=BLUE)
            parts.plot(steps, smooth, "o-", ms=3, color=BLUE, label="smoothing alone")
            newest = float(torch.sigmoid(backbone.smoothing.memory))
            season.set(title=f"the season; {newest:.0%} of the level is the newest value")
        parts.plot(steps, median, "o-", ms=3, color=ORANGE, label="with the network's correction")
        hidden, _ = backbone.layers[0](features)
    parts.set(title="the last forecast", xlabel="step ahead")
    parts.legend(fontsize=8)
    shown = hidden[0, :, :SHOWN_UNITS].cpu().numpy()
    units.plot(np.arange(-len(shown), 0), shown, lw=0.8)
    units.set(
        title=f"{shown.shape[1]} units of the first layer", xlabel="steps before the forecast"
    )
    return figure
