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
    megabytes, folder = PATHS.onnx.stat().st_size / 1e6, PATHS.evaluation
    console.print(f"""\
model    {PATHS.onnx} ({megabytes:.1f} MB), {PATHS.int8}, {PATHS.card}
data     {PATHS.data_page}
mistakes {folder}/mistakes.html
plots    {folder}/confusion.png, {folder}/curves.png, {PATHS.augment_picture}
next     make app                                 name pictures in the browser
         make ui                                  compare runs in MLflow
         dvc exp run -S optimizer.lr=3e-4         another learning rate
         make repro EXPERIMENT=simpsons_cpu       real frames (needs a mirror)""")
