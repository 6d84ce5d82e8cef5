"""What the last run reached."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from springfield.cli.configuration import tell_difference
from springfield.cli.workspace import PATHS
from springfield.machine.errors import UserError
from springfield.machine.progress import console

SIDES = {
    "val": "val", "test": "test", "official_test": "official test",
    "test_flips": "test, mean with mirror images",
}  # fmt: skip
COLUMNS = {
    "accuracy": {"accuracy": "accuracy", "macro_f1": "macro-F1", "macro_f1_10": "of 10+\nframes"},
    "map50": {
        "map50": "mAP50", "map": "mAP50-95", "found": "found", "recall_at_1": "recall\nat 1",
        "f1": "F1",
    },
    "rmse": {"rmse": "RMSE", "mean_rmse": "mean of\neach", "mae": "MAE"},
}  # fmt: skip
"""Of the table, by the primary score."""
COUNTED = {"accuracy": "frames", "map50": "frames", "rmse": "forecasts"}
NEXT = {
    "accuracy": "make app                             name pictures in the browser",
    "map50": "springfield predict --draw F PICTURE   draw its boxes into a folder F",
    "rmse": "springfield predict FILE.csv         how a series goes on",
}
REAL = {
    "accuracy": "make repro EXPERIMENT=simpsons_cpu   real frames (needs a mirror)",
    "map50": "make repro EXPERIMENT=simpsons_boxes real frames (needs a mirror)",
    "rmse": "make repro EXPERIMENT=temperature    a day by hours (needs a mirror)",
}
BASELINES = {
    "accuracy": {"": "logistic regression on pixels"},
    "map50": {
        "": "the mean box, of the most frequent class",
        "named_": "the mean box, of the classes it names",
    },
}
"""By what their scores begin with; of series they are the simple forecasts."""
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


def _rows(metrics: dict[str, Any], primary: str) -> dict[str, dict[str, Any]]:
    """The rows of the table, of any task."""
    rows = {name: metrics[side] for side, name in SIDES.items() if side in metrics}
    baseline = metrics.get("baseline", {})
    if baseline and primary not in BASELINES:
        from springfield.stages.forecasting.scores import SIMPLE

        names = {f"{key}_": name for key, name in SIMPLE.items()}
    else:
        names = BASELINES.get(primary, {})
    for prefix, name in names.items():
        own = {
            score.removeprefix(prefix): value
            for score, value in baseline.items()
            if score.startswith(prefix)
        }
        if own:
            rows[f"test, {name}"] = own
    return rows


def summary() -> None:
    """Say what the last run reached, and what to try next."""
    tell_difference()
    try:
        metrics = json.loads(PATHS.metrics.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{PATHS.metrics} does not exist; run 'dvc repro' first") from error
    if "primary" not in metrics:
        raise UserError(f"{PATHS.metrics} is of an earlier version; run 'dvc repro' first")
    primary = metrics["primary"]["name"]
    columns = COLUMNS[primary]
    table = Table("", COUNTED[primary], *columns.values())
    for name, scores in _rows(metrics, primary).items():
        values = [scores.get(column) for column in columns]
        shown = ["unknown" if value is None else f"{value:.4f}" for value in values]
        table.add_row(name, str(scores.get("n", "")), *shown)
    console.print(table)
    for name, path in FILES.items():
        if path.is_file():
            console.print(f"{name:10}{path}{_size(path) if path.suffix == '.onnx' else ''}")
    if not all(path.is_file() for path in (PATHS.onnx, PATHS.int8, PATHS.card)):
        console.print("          the others are missing: 'dvc pull' or 'dvc repro' brings them")
    console.print(f"next      {NEXT[primary]}")
    console.print(f"""\
          make ui                              compare runs in MLflow
          dvc exp run -S optimizer.lr=3e-4     another learning rate
          {REAL[primary]}""")


def _size(path: Path) -> str:
    megabytes = path.stat().st_size / 1e6
    return f" ({megabytes:.1f} MB)" if megabytes >= 1 else f" ({1000 * megabytes:.0f} kB)"
