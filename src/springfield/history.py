"""The metrics of each epoch, which a resumed training goes on with, and their curves."""

import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from matplotlib.figure import Figure


class History(pl.Callback):
    """Keep what the learner logged, an epoch a row, and save it with each checkpoint."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a row: epoch, seconds and every logged metric."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        metrics.pop("step", None)
        seconds = round(time.perf_counter() - self._started, 2)
        self.rows.append({"epoch": trainer.current_epoch, "seconds": seconds, **metrics})

    def table(self) -> pd.DataFrame:
        """An epoch a row."""
        return pd.DataFrame(self.rows)

    def state_dict(self) -> dict[str, Any]:
        """What goes into a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint brings back."""
        self.rows = list(state_dict["rows"])


def curves_plot(table: pd.DataFrame, path: Path) -> None:
    """Draw loss, accuracy and learning rate by epoch."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = {
        "loss": ["train_loss", "val_loss"],
        "score": ["val_accuracy", "val_macro_f1"],
        "learning rate": ["lr"],
    }
    for position, (title, columns) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), position)
        for column, colour in zip(columns, ("tab:blue", "tab:orange"), strict=False):
            label = column.replace("_", " ")
            axes.plot(table["epoch"] + 1, table[column], "o-", ms=3, color=colour, label=label)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, format="png", metadata={"Software": None})
