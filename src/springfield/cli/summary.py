"""What the last run reached."""

import json

from rich.table import Table

from springfield.cli.configuration import tell_difference
from springfield.cli.workspace import PATHS
from springfield.machine.errors import UserError
from springfield.machine.progress import console

NAMES = {
    "val": "val",
    "test": "test",
    "official_test": "official test",
    "baseline": "test, logistic regression on pixels",
}
FILES = {
    "model": PATHS.onnx,
    "int8": PATHS.int8,
    "card": PATHS.card,
    "data": PATHS.data_page,
    "mistakes": PATHS.evaluation / "mistakes.html",
    "confusion": PATHS.evaluation / "confusion.png",
    "curves": PATHS.evaluation / "curves.png",
    "copies": PATHS.augment_picture,
}


def summary() -> None:
    """Say what the last run reached, and what to try next."""
    tell_difference()
    try:
        metrics = json.loads(PATHS.metrics.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{PATHS.metrics} does not exist; run 'dvc repro' first") from error
    table = Table("", "frames", "accuracy", "macro-F1")
    for side, name in NAMES.items():
        if scores := metrics.get(side):
            accuracy, macro_f1 = f"{scores['accuracy']:.4f}", f"{scores['macro_f1']:.4f}"
            table.add_row(name, str(scores.get("n", "")), accuracy, macro_f1)
    console.print(table)
    for name, path in FILES.items():
        if path.is_file():
            size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.suffix == ".onnx" else ""
            console.print(f"{name:10}{path}{size}")
    if not all(path.is_file() for path in FILES.values()):
        console.print("          the others are missing: 'dvc pull' or 'dvc repro' brings them")
    console.print("""\
next      make app                             name pictures in the browser
          make ui                              compare runs in MLflow
          dvc exp run -S optimizer.lr=3e-4     another learning rate
          make repro EXPERIMENT=simpsons_cpu   real frames (needs a mirror)""")
