"""What the last run reached."""

import json

from rich.table import Table

from springfield.cli.configuration import tell_difference
from springfield.cli.workspace import PATHS
from springfield.machine.errors import UserError
from springfield.machine.progress import console


def summary() -> None:
    """Say what the last run reached, and what to try next."""
    tell_difference()
    try:
        metrics = json.loads(PATHS.metrics.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{PATHS.metrics} does not exist; run 'dvc repro' first") from error
    table = Table("", "frames", "accuracy", "macro-F1")
    for side in [name for name in ("val", "test", "official_test") if name in metrics]:
        scores = metrics[side]
        accuracy, macro_f1 = f"{scores['accuracy']:.4f}", f"{scores['macro_f1']:.4f}"
        table.add_row(side.replace("_", " "), str(scores["n"]), accuracy, macro_f1)
    if linear := metrics.get("baseline"):
        accuracy, macro_f1 = f"{linear['accuracy']:.4f}", f"{linear['macro_f1']:.4f}"
        table.add_row("test, logistic regression on pixels", "", accuracy, macro_f1)
    console.print(table)
    megabytes = PATHS.onnx.stat().st_size / 1e6
    console.print(f"model    {PATHS.onnx} ({megabytes:.1f} MB), {PATHS.int8}, {PATHS.card}")
    console.print(f"data     {PATHS.data_page}")
    console.print(f"mistakes {PATHS.evaluation}/mistakes.html")
    folder = PATHS.evaluation
    console.print(f"plots    {folder}/confusion.png, {folder}/curves.png, {PATHS.augment_picture}")
    console.print("next     make app                                 name pictures in the browser")
    console.print("         make ui                                  compare runs in MLflow")
    console.print("         dvc exp run -S optimizer.lr=3e-4         another learning rate")
    console.print("         make repro EXPERIMENT=simpsons_cpu       real frames (needs a mirror)")
