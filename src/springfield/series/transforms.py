"""Changes of a window of a series, from what `conf/augment` says."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from springfield.machine.errors import UserError

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """Noise whose result depends on the seeds given with each window, and on nothing else."""

    sigma: float
    """Its standard deviation, in the units of the series."""

    def __call__(self, known: Values, *seeds: int) -> Values:
        """Add noise to what a network is given, never to what it is to forecast."""
        noise = np.random.default_rng(seeds).normal(0, self.sigma, len(known))
        return np.asarray(known + noise, np.float32)


def build(transforms: list[dict[str, Any]], spread: float) -> Augmentation | None:
    """The augmentation that a list of transforms names; none: the windows as they are.

    Args:
        transforms: none, or `Jitter` with its `sigma`, in spreads of the series.
        spread: of the series, in its units.

    Raises:
        UserError: an unknown one, or arguments that it does not take.
    """
    match transforms:
        case []:
            return None
        case [{"name": "Jitter", "sigma": int() | float() as sigma, **rest}] if not rest:
            if sigma >= 0:
                return Augmentation(sigma * spread)
    raise UserError(
        "augment.online: of series there is [{name: Jitter, sigma: ...}], sigma a number from 0 on"
    )
