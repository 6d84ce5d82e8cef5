"""Stage evaluate: the honest numbers, from several origins, beside simple forecasts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from springfield.files import atomic, write_json
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console

if TYPE_CHECKING:
    from springfield.series.dataset import Sides
    from springfield.stages.forecasting.network import Architecture, Forecaster
    from springfield.stages.forecasting.params import ForecastingParams
    from springfield.stages.forecasting.scores import Forecasts

NEEDS = ("seed", "evaluate")
SIDES = ("val", "train")
ENOUGH = 20
"""Forecasts of val, none of a value that another one is of, by which intervals can be judged."""
FORMAT = "%Y-%m-%dT%H:%M:%S"


@dataclass
class EvaluateParams:
    """What is measured beside the network."""

    baseline: bool
    """Also simple forecasts: last value, seasonal naive, Holt-Winters."""


def run(params: "ForecastingParams", paths: Paths, machine: Machine) -> None:
    """Score the checkpoint on val and test, from origins a horizon apart; widen its intervals.

    Writes: the scores of both sides and of simple forecasts of the test; the `factors` of the
    intervals' half-widths, fitted on val; tables by forecast and by step; and pictures.

    Raises:
        UserError: there is no checkpoint, or it gives no numbers.
    """
    from springfield.learning.curves import curves_plot
    from springfield.series.dataset import read_split
    from springfield.stages.forecasting import inside, plots
    from springfield.stages.forecasting.network import load_checkpoint
    from springfield.stages.forecasting.scores import rolling_forecasts, simple_forecasts

    model = load_checkpoint(paths.checkpoint).to(machine.hardware.device)
    a = model.architecture
    sides = read_split(paths.series, paths.index, paths.split)
    factors, used = _factors(model, sides)
    val, test = (
        rolling_forecasts(model, sides, side, factors, a.horizon) for side in ("val", "test")
    )
    values, times = sides.values.astype(np.float64), pd.DatetimeIndex(sides.times)
    known = sides.known().astype(np.float64)
    result = {"val": _scores(val, known, a), "test": _scores(test, known, a)}
    simple: dict[str, NDArray[np.float64]] = {}
    if params.evaluate.baseline:
        with console.status("Simple forecasts"):
            simple = simple_forecasts(values, test.origins, a.horizon, a.season)
        result["baseline"] = {
            f"{name}_{score}": value
            for name, forecast in simple.items()
            for score, value in _errors(forecast, test.coming).items()
        }
    result["primary"] = {"name": "rmse", "higher": False}
    with atomic(paths.evaluation, directory=True) as partial:
        _write_csv(_predictions(test, times), partial / "predictions.csv")
        steps = _by_step(test, simple, a.levels)
        _write_csv(steps, partial / "by_step.csv")
        figures = {
            "forecasts": plots.forecasts_plot(test, values, times, a.window, a.levels),
            "errors": plots.errors_plot(steps),
            "residuals": plots.residuals_plot(test, times, a.season),
            "inside": inside.inside_plot(model, values[: test.origins[-1]]),
        }
        for name, figure in figures.items():
            figure.savefig(partial / f"{name}.png", metadata={"Software": None})
        curves_plot(paths.training, partial / "curves.png")
    write_json(paths.calibration, {"levels": a.levels, "factors": factors, "sides": used})
    write_json(paths.metrics, result)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n", float_format="%.6g")


def _factors(model: "Forecaster", sides: "Sides") -> tuple[list[float], tuple[str, ...]]:
    """By what each interval is widened, so that it holds on val what it promises; and those sides.

    Where val has few forecasts, those of train are taken, too, although they were learnt from.
    """
    from springfield.scoring.calibration import widening
    from springfield.stages.forecasting.scores import rolling_forecasts

    a, plain = model.architecture, [1.0] * len(model.architecture.levels)
    blocks = {side: len(sides.origins(side, a.window, a.horizon, a.horizon)) for side in SIDES}
    used = SIDES[:1] if blocks["val"] >= ENOUGH else SIDES
    found = [rolling_forecasts(model, sides, side, plain, 1) for side in used if blocks[side]]
    independent = sum(blocks[side] for side in used)
    factors = []
    for place, level in enumerate(a.levels):
        distances = np.concatenate([forecasts.distances(place) for forecasts in found])
        factors.append(widening(distances.ravel(), level, independent))
    return factors, used


def _scores(
    found: "Forecasts", known: NDArray[np.float64], architecture: "Architecture"
) -> dict[str, Any]:
    from springfield.stages.forecasting.scores import coverage, scores

    return {
        **scores(found, known, architecture.season),
        **coverage(found, architecture.levels),
    }


def _errors(forecast: NDArray[np.float64], coming: NDArray[np.float64]) -> dict[str, float]:
    squares = (forecast - coming) ** 2
    return {
        "rmse": float(np.sqrt(squares.mean())),
        "mae": float(np.abs(forecast - coming).mean()),
        "mean_rmse": float(np.sqrt(squares.mean(1)).mean()),
    }


def _predictions(test: "Forecasts", times: pd.DatetimeIndex) -> pd.DataFrame:
    """A forecast a row, with the means of what was said and of what came."""
    return pd.DataFrame(
        {
            "id": times[test.origins].strftime(FORMAT),
            "group": test.groups,
            "score": -(test.errors**2).mean(1),
            "observed": test.coming.mean(1),
            "forecast": test.median.mean(1),
        }
    )


def _by_step(
    test: "Forecasts", simple: dict[str, NDArray[np.float64]], levels: list[float]
) -> pd.DataFrame:
    """A step ahead a row."""
    errors = {"": test.errors} | {f"{name}_": test.coming - f for name, f in simple.items()}
    table = {"step": np.arange(1, test.coming.shape[1] + 1)}
    table |= {f"{name}rmse": np.sqrt((error**2).mean(0)) for name, error in errors.items()}
    for place, level in enumerate(levels):
        table[f"coverage_{100 * level:g}"] = test.covered(place).mean(0)
    return pd.DataFrame(table)
