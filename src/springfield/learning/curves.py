"""The curves of a training, from the tables that it wrote."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure


def _is_score(column: str) -> bool:
    return column.startswith(("train_", "val_")) and not column.endswith(("_loss", "val_score"))


def _is_part(column: str) -> bool:
    return column.endswith("_loss") and column not in ("train_loss", "val_loss")


def curves_plot(training: Path, path: Path) -> None:
    """Draw loss, scores, learning rates, speed and waiting by epoch.

    Args:
        training: the folder of `metrics.csv` and `speed.csv`.
        path: PNG file to write.
    """
    metrics, speed = (pd.read_csv(training / f"{name}.csv") for name in ("metrics", "speed"))
    table = metrics.merge(speed, on="epoch")
    panels: dict[str, list[str]] = {
        "loss": ["train_loss", "val_loss", *(n for n in metrics.columns if _is_part(n))],
        "score": [name for name in metrics.columns if _is_score(name)],
        "learning rate": ["lr", "lr_first_layer"],
        "images per second": ["images_per_second"],
        "share of time waiting for data": ["waiting_share"],
    }
    figure = Figure(figsize=(4 * len(panels), 3.6), layout="constrained")
    every = figure.subplots(1, len(panels))
    for axes, (title, columns) in zip(every, panels.items(), strict=True):
        for column in columns:
            label = column.replace("_", " ")
            axes.plot(table["epoch"] + 1, table[column], "o-", ms=3, label=label)
        axes.set(title=title, xlabel="epoch")
        if title.startswith(("images", "share")):
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if len(columns) > 1:
            axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})
