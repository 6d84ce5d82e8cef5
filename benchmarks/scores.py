"""Run an experiment with several overrides and note what each reaches, as CSV.

    SPRINGFIELD_MIRROR=../shared python benchmarks/scores.py simpsons_cpu split=grouped split=random

Rows are added to benchmarks/results/<experiment>.csv, the curves of training to
<experiment>_epochs.csv. Commit first: each row names its commit.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from tables import add, hardware, provenance


def few_of_each(n: int) -> float:
    """Accuracy on at most `n` test frames of each class, drawn at random: near a macro average."""
    table = Path("reports/evaluate/predictions.csv")
    frames = pd.read_csv(table, dtype=str, keep_default_na=False)
    few = frames.sample(frac=1, random_state=1).groupby("class").head(n)
    return float((few["predicted"] == few["class"]).mean())


def scores(metrics: dict[str, Any]) -> dict[str, float]:
    """The columns that are of the task."""
    baseline = metrics.get("baseline", {})
    own = {key: round(baseline[key], 4) for key in baseline if not key.endswith("_mae")}
    match metrics["primary"]["name"]:
        case "accuracy":
            names: tuple[str, ...] = ("n", "accuracy", "macro_f1")
            own = {"test_15_accuracy": round(few_of_each(15), 4)}
            if flips := metrics.get("test_flips"):
                own |= {f"test_flips_{key}": round(flips[key], 4) for key in names[1:]}
        case "map50":
            names = ("n", "map50", "map", "found", "recall_at_1", "frame_f1")
            own = {f"mean_box_{key}": value for key, value in own.items()}
        case _:
            names = ("n", "rmse", "mean_rmse", "mae", "coverage_80", "coverage_95")
    both = [(side, name) for side in ("val", "test") for name in names]
    return {f"{side}_{name}": round(metrics[side][name], 4) for side, name in both} | own


def main(experiment: str, overrides: list[str]) -> None:
    """Run them one after the other."""
    table = Path(f"benchmarks/results/{experiment}.csv")
    for override in overrides:
        chosen = [f"experiment={experiment}", *override.split()]
        options = [option for change in chosen for option in ("-S", change)]
        subprocess.run(["dvc", "exp", "run", *options], check=True)
        metrics = json.loads(Path("reports/metrics.json").read_text())
        speed = pd.read_csv("reports/train/speed.csv")
        epochs = pd.read_csv("reports/train/metrics.csv").merge(speed, on="epoch")
        run = {**provenance(hardware()), "override": override}
        row = {
            **run,
            "epoch_seconds": round(speed["seconds"].median(), 1),
            "epochs": len(epochs),
            **scores(metrics),
        }
        add(table, [row])
        curve = epochs.round(5).assign(**run)[[*run, *epochs]]
        add(table.with_stem(f"{experiment}_epochs"), curve.to_dict("records"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
