"""`springfield experiments`: DVC's experiments by their scores, in a table that fits."""

import csv
import math
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from springfield.artifacts.text import terminal
from springfield.cli.workspace import PARAMS, ROOT
from springfield.machine.errors import UserError

SCORES = {
    "classification": ("val.accuracy", "val.macro_f1", "test.accuracy", "test.macro_f1"),
    "detection": ("val.map50", "val.map", "test.map50", "test.map"),
    "forecasting": ("val.rmse", "val.mae", "test.rmse", "test.mae"),
}
SECOND = {"classification": "F1", "detection": "mAP50-95", "forecasting": "MAE"}
"""What the columns of the second and fourth of these scores are called."""
LESS_IS_BETTER = {"forecasting"}


def experiments(
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, with all decimals")] = False,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Those of all commits, not of the current one only")
    ] = False,
) -> None:
    """What each experiment changed, its scores on val and test; the best on val first."""
    from dvc.api import exp_show

    from springfield.config import load

    if not (ROOT / ".git").exists():
        raise UserError("DVC keeps experiments in Git, and here is none: run 'git init'")
    task = load(PARAMS).task.name
    shown_scores, sign = SCORES[task], 1 if task in LESS_IS_BETTER else -1
    rows = list(_rows(exp_show(num=-1 if everywhere else 1), shown_scores))
    rows.sort(key=lambda row: [sign * row.get(score, sign * math.inf) for score in shown_scores])
    if as_csv:
        head = ("experiment", "commit", "changed", *shown_scores, "state")
        writer = csv.DictWriter(sys.stdout, head, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "changed": " ".join(row["changed"])} for row in rows)
        return
    columns = ("val", SECOND[task], "test", SECOND[task])
    table = Table("experiment", Column("changed", overflow="fold"), *columns)
    for row in rows:
        scores = [f"{row[score]:.4f}" if score in row else "" for score in shown_scores]
        scores[0] = scores[0] or row["state"].lower()
        table.add_row(row["experiment"], "\n".join(map(terminal, row["changed"])), *scores)
    Console().print(table)


def _rows(shown: list[dict[str, Any]], of: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The experiments among what DVC shows, and the current commit."""
    import pandas as pd

    from springfield.config import by_key

    params, commit = by_key(PARAMS), None
    for row in shown[1:]:  # the first is the workspace
        if row["typ"] == "baseline":
            is_current, commit = commit is None, row
            if not is_current:
                continue
        assert commit  # what is derived from one comes after it
        changed = [f"{key}={_plain(row[key])}" for key in params if row.get(key) != commit.get(key)]
        scores = {s: row[s] for s in of if pd.notna(row.get(s))}
        yield {
            "experiment": row["Experiment"] or row["rev"],
            "commit": commit["rev"],
            "changed": changed,
            "state": row["State"] or "",
            **scores,
        }


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
