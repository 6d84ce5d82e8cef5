"""Stage export: an artifact that runs anywhere, proven equal to the checkpoint."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from springfield.files import atomic, sha256, write_json
from springfield.machine.errors import UserError
from springfield.machine.hardware import Machine
from springfield.machine.paths import Paths
from springfield.machine.progress import console

if TYPE_CHECKING:
    from springfield.stages.forecasting.network import Forecaster
    from springfield.stages.forecasting.params import ForecastingParams

TOLD = ("data", "split", "augment", "model", "optimizer", "train")
"""The params that the model's card tells."""
NEEDS = ("seed", "export", *TOLD)
CARD = Path(__file__).with_name("card.md.jinja")
HUB_TASK = "time-series-forecasting"
HUB_METRICS = {"rmse": "rmse", "mae": "mae"}
MAX_DIFFERENCE = 1e-3
"""Of a forecast, in spreads of the series, between the file and the checkpoint."""
MAX_INT8_LOSS = 0.01
"""By which share the error of int8 may be larger."""


@dataclass
class ExportParams:
    """How the network is written."""

    opset: Annotated[int, Field(ge=18, le=22)]
    """Version of ONNX's operators."""


def run(params: "ForecastingParams", paths: Paths, machine: Machine) -> None:
    """Write the network as ONNX, in fp32 and int8, and compare both with the checkpoint.

    Normalisation and the widening of the intervals are inside the files. Their metadata (each value
    JSON, but for the hashes) are `task`, what a client must know of the series, `metrics` and the
    hashes `data`, `params` and `code`. Writes also the description, the card, and a report.

    Raises:
        UserError: an exported file does not do what the checkpoint does.
    """
    import torch

    from springfield.artifacts.card import model_card
    from springfield.artifacts.onnx_files import open_onnx, quantize_dynamic, write_series_onnx
    from springfield.learning.checkpoint import made_from, trained_in
    from springfield.series.dataset import blocks, read_split
    from springfield.stages.forecasting.network import Calibrated, load_checkpoint
    from springfield.stages.forecasting.scores import Forecasts

    model = load_checkpoint(paths.checkpoint)
    a = model.architecture
    sides = read_split(paths.series, paths.index, paths.split)
    calibrated = json.loads(paths.calibration.read_text())
    scores = json.loads(paths.metrics.read_text())
    hashes = made_from(paths.checkpoint)
    contract = _contract(model, params.data.layout, scores)
    metadata = {name: json.dumps(value) for name, value in contract.items()} | hashes
    network = Calibrated(model, calibrated["factors"]).eval()
    origins = sides.origins("test", a.window, a.horizon, a.horizon)
    given, coming = sides.windows(origins, a.window, a.horizon)
    with torch.inference_mode():
        expected = network(torch.from_numpy(given)).numpy()
    with atomic(paths.onnx) as fp32, atomic(paths.int8) as int8:
        with console.status("Writing ONNX"):
            write_series_onnx(network, given[:2], params.export.opset, fp32, metadata)
            quantize_dynamic(fp32, int8, metadata)
        difference = _prove(open_onnx(fp32), given, expected, a.spread)
        said = {"checkpoint": expected, "int8": open_onnx(int8)(given)}
        groups = blocks(len(origins))
        errors = {
            file: Forecasts(origins, groups, quantiles.astype(float), coming.astype(float)).rmse
            for file, quantiles in said.items()
        }
        _check_int8(errors)
    with atomic(paths.static, directory=True) as partial:
        write_json(partial / "model.json", {})  # accelerators are for pictures
    described = {
        **contract,
        "input": {"name": "values", "dtype": "float32", "shape": ["N", a.window]},
        "output": {
            "name": "quantiles", "dtype": "float32", "shape": ["N", a.horizon, len(a.quantiles)]
        },
        "scores": ["rmse", "mean_rmse"],
        "backbone": a.backbone,
        "files": {file.name: sha256(file) for file in (paths.onnx, paths.int8)},
        "made_from": hashes,
        "run_id": json.loads(paths.run.read_text())["run_id"] if paths.run.exists() else "",
    }  # fmt: skip
    files = {"fp32": paths.onnx, "int8": paths.int8}
    report = {
        "test_forecasts": len(origins),
        "largest_difference": difference,
        "rmse": errors,
        "intervals_from": calibrated["sides"],
        "megabytes": {kind: round(file.stat().st_size / 1e6, 3) for kind, file in files.items()},
    }
    write_json(paths.description, described)
    write_json(paths.export_report, report)
    with atomic(paths.card) as partial:
        values = {side: int((sides.of == side).sum()) for side in ("train", "val", "test")}
        chosen = {name: asdict(getattr(params, name)) for name in TOLD}
        chosen["train"]["precision"] = trained_in(paths.checkpoint)  # instead of auto
        text = model_card(CARD, HUB_TASK, HUB_METRICS, chosen, described, scores, report, values)
        partial.write_text(text)


def _contract(model: "Forecaster", columns: Any, scores: dict[str, Any]) -> dict[str, Any]:
    """What a client must know."""
    a = model.architecture
    return {
        "task": "forecasting",
        "columns": asdict(columns),
        "window": a.window,
        "horizon": a.horizon,
        "levels": a.levels,
        "quantiles": a.quantiles,
        "metrics": {side: scores[side] for side in ("val", "test")},
    }


def _prove(
    forecast: Any, given: NDArray[np.float32], expected: NDArray[np.float32], spread: float
) -> float:
    """By how much the file differs from the checkpoint at most, in spreads; in batches of any size.

    Raises:
        UserError: by too much.
    """
    found = np.concatenate([forecast(part) for part in (given[:1], given[1:]) if len(part)])
    difference = float(np.abs(found - expected).max()) / spread
    if not difference <= MAX_DIFFERENCE:  # also if that is NaN
        raise UserError(
            f"export: the ONNX file is not the checkpoint: forecasts differ by up to "
            f"{difference:.1g} spreads of the series"
        )
    return difference


def _check_int8(errors: dict[str, float]) -> None:
    """See that int8 forecasts as well.

    Raises:
        UserError: it does not.
    """
    loss = errors["int8"] / errors["checkpoint"] - 1 if errors["checkpoint"] else 0.0
    if not loss <= MAX_INT8_LOSS:
        raise UserError(
            f"export: the error of int8 is {loss:.1%} larger, more than {MAX_INT8_LOSS:.0%}; "
            "a network with more units loses less"
        )
