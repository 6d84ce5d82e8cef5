"""What the last run reached."""

import json
from typing import Any

from rich.table import Table

from springfield.cli.configuration import tell_difference
from springfield.cli.workspace import PATHS
from springfield.machine.errors import UserError
from springfield.machine.progress import console

SIDES = {"val": "val", "test": "test", "official_test": "official test"}
CLASSIFIER = {"accuracy": "accuracy", "macro_f1": "macro-F1", "macro_f1_10": "of 10+\nframes"}
"""Columns of the table."""
FORECASTER = {"rmse": "RMSE", "mean_rmse": "mean of\neach", "mae": "MAE"}
PICTURES = "next      make app                             name pictures in the browser"
SERIES = "next      springfield predict FILE.csv         how a series goes on"
FILES = {
    "model": PATHS.onnx,
    "int8": PATHS.int8,
    "card": PATHS.card,
    "data": PATHS.data_page,
    "mistakes": PATHS.evaluation / "mistakes.html",
    "confusion": PATHS.evaluation / "confusion.png",
    "forecasts": PATHS.evaluation / "forecasts.png",
    "curves": PATHS.evaluation / "curves.png",
    "copies": PATHS.augment_picture,
}


def _rows(metrics: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The rows of the table, and its columns, of any task."""
    rows = {name: metrics[side] for side, name in SIDES.items() if side in metrics}
    baseline = metrics.get("baseline", {})
    if metrics["primary"]["name"] == "accuracy":
        if baseline:
            rows["test, logistic regression on pixels"] = baseline
        return rows, CLASSIFIER
    if baseline:
        from springfield.stages.forecasting.scores import SIMPLE

        for key, name in SIMPLE.items():
            own = {score.removeprefix(f"{key}_"): value for score, value in baseline.items()}
            rows[f"test, {name}"] = own
    return rows, FORECASTER


def summary() -> None:
    """Say what the last run reached, and what to try next."""
    tell_difference()
    try:
        metrics = json.loads(PATHS.metrics.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{PATHS.metrics} does not exist; run 'dvc repro' first") from error
    if "primary" not in metrics:
        raise UserError(f"{PATHS.metrics} is of an earlier version; run 'dvc repro' first")
    rows, columns = _rows(metrics)
    pictures = columns is CLASSIFIER
    table = Table("", "frames" if pictures else "forecasts", *columns.values())
    for name, scores in rows.items():
        values = [scores.get(column) for column in columns]
        shown = ["unknown" if value is None else f"{value:.4f}" for value in values]
        table.add_row(name, str(scores.get("n", "")), *shown)
    console.print(table)
    for name, path in FILES.items():
        if path.is_file():
            size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.suffix == ".onnx" else ""
            console.print(f"{name:10}{path}{size}")
    if not all(path.is_file() for path in (PATHS.onnx, PATHS.int8, PATHS.card)):
        console.print("          the others are missing: 'dvc pull' or 'dvc repro' brings them")
    console.print(PICTURES if pictures else SERIES)
    console.print("""\
          make ui                              compare runs in MLflow
          dvc exp run -S optimizer.lr=3e-4     another learning rate
          make repro EXPERIMENT=simpsons_cpu   real frames (needs a mirror)""")
