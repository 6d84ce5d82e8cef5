"""The forecaster: known values in, quantiles of those to come out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from springfield.learning.checkpoint import read_checkpoint
from springfield.machine.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build a forecaster again."""

    backbone: str
    window: int
    """Values that it is given."""
    horizon: int
    """Values that it forecasts."""
    season: int
    """Steps after which the series repeats."""
    levels: list[float]
    """Of its intervals, the narrowest first."""
    mean: float
    """Of the series."""
    spread: float
    """What values are divided by: a standard deviation, of what the series changes by in a season
    if smoothing tells the rest, else of the series."""
    drift: float
    """What it changes by in a season, on average."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the backbone."""

    @property
    def quantiles(self) -> list[float]:
        """The ends of the intervals and, in the middle, the median."""
        low = [(1 - level) / 2 for level in reversed(self.levels)]
        return [round(q, 9) for q in (*low, 0.5, *(1 - q for q in reversed(low)))]


class Smoothing(nn.Module):
    """What additive exponential smoothing says (Winters, 1960), of the window alone.

    The season is the mean of those in the window, without their trend; the level a weighted mean
    of the rest, in which a value counts the less the older it is. Two weights are learnt.

    Args:
        architecture: what to build.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.season, self.horizon = a.season, a.horizon
        self.seasons = a.window // a.season
        self.memory = nn.Parameter(torch.tensor([2.0]))
        """Logit of the share of the newest value in the level."""
        self.drift = nn.Parameter(torch.tensor([a.drift / a.spread]))
        """Of a season."""

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Forecast (N x horizon); the window without its level, and the season in it (N x L)."""
        known = self.seasons * self.season
        seasons = values[:, -known:].reshape(-1, self.seasons, self.season)
        means = seasons.mean(2)
        trend = (means[:, -1:] - means[:, :1]) / max(1, self.seasons - 1) / self.season
        steps = torch.arange(known, device=values.device, dtype=values.dtype)
        flat = (seasons.flatten(1) - trend * steps).reshape(-1, self.seasons, self.season)
        profile = flat.mean(1) - flat.mean((1, 2))[:, None]
        repeated = profile.repeat(1, self.seasons)
        newest = torch.sigmoid(self.memory)
        age = steps.flip(0)
        weights = (1 - newest) ** age
        drift = self.drift / self.season
        rest = seasons.flatten(1) - repeated + drift * age
        level = (rest * weights / weights.sum()).sum(1, keepdim=True)
        ahead = steps.new_tensor(range(1, self.horizon + 1))
        coming = profile.repeat(1, math.ceil(self.horizon / self.season))[:, : self.horizon]
        return level + drift * ahead + coming, seasons.flatten(1) - level, repeated


class LSTM(nn.Module):
    """Layers of long short-term memory (Hochreiter and Schmidhuber, 1997), all steps at once.

    With `seasonal` they correct what `Smoothing` says, from which they start, as in the winner of
    the M4 competition (Smyl, 2020); without it they have to learn all by themselves. With `direct`
    a linear layer sees the whole window, too (Lai et al., 2018, "LSTNet"; Zeng et al., 2023): what
    each value of a week ago tells is one weight of it, and far for layers that read step by step.

    Args:
        architecture: what to build.
        drop_rate: dropout before the head.
        hidden: units of each layer.
        seasonal: on top of exponential smoothing.
        direct: with a linear layer beside the others, which starts from nothing.
    """

    def __init__(
        self,
        architecture: Architecture,
        drop_rate: float,
        *,
        hidden: list[int],
        seasonal: bool,
        direct: bool,
    ) -> None:
        super().__init__()
        self.smoothing = Smoothing(architecture) if seasonal else None
        sizes = [2 if seasonal else 1, *hidden]
        self.layers = nn.ModuleList(
            nn.LSTM(before, after, batch_first=True)
            for before, after in zip(sizes, hidden, strict=False)
        )
        self.dropout = nn.Dropout(drop_rate)
        self.shape = (architecture.horizon, len(architecture.quantiles))
        self.head = nn.Linear(hidden[-1], math.prod(self.shape))
        self.direct = nn.Linear(architecture.window, architecture.horizon) if direct else None
        for layer in (self.head if seasonal else None, self.direct):
            if layer:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Quantiles (N x horizon x quantiles, ascending) after values (N x window)."""
        start, features = None, values[..., None]
        if self.smoothing:
            start, *channels = self.smoothing(values)
            features = torch.stack(channels, -1)
        for layer in self.layers:
            features, _ = layer(features)
        found = self.head(self.dropout(features[:, -1])).reshape(-1, *self.shape)
        below, middle, above = found.split((self.shape[1] // 2, 1, self.shape[1] // 2), -1)
        if start is not None:
            middle = middle + start[..., None]
        if self.direct:
            middle = middle + self.direct(values - values[:, -1:])[..., None]
        lower = middle - functional.softplus(below).cumsum(-1).flip(-1)
        upper = middle + functional.softplus(above).cumsum(-1)
        return torch.cat([lower, middle, upper], -1)


class Forecaster(nn.Module):
    """A backbone that carries its own normalisation.

    Args:
        architecture: what to build.
        drop_rate: dropout before the head.

    Raises:
        UserError: there is no such backbone, or it does not take these options or this window.
    """

    backbone: Any

    def __init__(self, architecture: Architecture, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.architecture = architecture
        if architecture.backbone != "lstm":
            raise UserError(f"model.backbone: no '{architecture.backbone}'; there is: lstm")
        try:
            self.backbone = LSTM(architecture, drop_rate, **architecture.options)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise UserError(f"model.options: {error}") from error
        if self.backbone.smoothing and architecture.window < architecture.season:
            raise UserError(
                f"model.input_size={architecture.window} is less than a season of "
                f"{architecture.season}; take a few seasons, or model.options.seasonal=false"
            )

    def forward(self, values: Tensor) -> Tensor:
        """Quantiles (N x horizon x quantiles, ascending) after values (N x window)."""
        mean, spread = self.architecture.mean, self.architecture.spread
        quantiles: Tensor = self.backbone((values - mean) / spread)
        return quantiles * spread + mean

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters below the head."""
        return (p for n, p in self.backbone.named_parameters() if not n.startswith("head."))


class Calibrated(nn.Module):
    """What is exported: a forecaster whose intervals are as wide as val asks for.

    Each by its own factor; only where a narrower one then reached further, a wider one does, too.

    Args:
        forecaster: what to calibrate.
        factors: of the half-widths, a level each.
    """

    factors: Tensor

    def __init__(self, forecaster: Forecaster, factors: list[float]) -> None:
        super().__init__()
        self.forecaster = forecaster
        both = torch.tensor([*reversed(factors), 1.0, *factors])
        self.register_buffer("factors", both)

    def forward(self, values: Tensor) -> Tensor:
        """Quantiles (N x horizon x quantiles, ascending) after values (N x window)."""
        quantiles = self.forecaster(values)
        median = len(self.factors) // 2
        middle = quantiles[..., median, None]
        widened = list(((quantiles - middle) * self.factors + middle).unbind(-1))
        for place in range(2, median + 1):
            low, high = median - place, median + place
            widened[low] = torch.minimum(widened[low], widened[low + 1])
            widened[high] = torch.maximum(widened[high], widened[high - 1])
        return torch.stack(widened, -1)


def load_checkpoint(folder: Path) -> Forecaster:
    """The forecaster of a checkpoint, in evaluation mode.

    Raises:
        UserError: there is none.
    """
    architecture, state = read_checkpoint(folder)
    model = Forecaster(Architecture(**architecture))
    model.load_state_dict(state)
    return model.eval()
