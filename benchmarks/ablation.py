"""Train an experiment once for each change of its recipe, and note what each is worth, as CSV.

    SPRINGFIELD_MIRROR=../shared python benchmarks/ablation.py

Rows are added to benchmarks/results/ablation.csv: the scores of the kept epoch on val, which takes
no part in training. Run it in a clone of its own: it changes params.yaml. Commit first: each row
names its commit.
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
from tables import add, hardware, provenance

BASE = [
    "experiment=simpsons_cpu",
    "split.max_per_class=200",
    "split.val=0.3",
    "split.test=0.02",
    "model.input_size=96",
    "train.epochs=5",
]
CHANGES = {
    "the recipe": [],
    "the recipe, seed 2": ["seed=2"],
    "the recipe, seed 3": ["seed=3"],
    "twice the learning rate": ["optimizer.lr=4e-3"],
    "half the learning rate": ["optimizer.lr=1e-3"],
    "earlier layers slower": ["optimizer.layer_decay=0.8"],
    "the same rate in all layers": ["optimizer.layer_decay=1.0"],
    "strong augmentation": ["augment=strong"],
    "no augmentation while training": ["augment.online=[]"],
    "mixup and cutmix": ["train.mixup=0.2", "train.cutmix=1.0"],
    "no label smoothing": ["train.label_smoothing=0"],
    "no copies of rare classes": ["augment.offline.floor=0"],
    "each frame once an epoch": ["train.balance=0"],
    "each frame once, seed 2": ["train.balance=0", "seed=2"],
    "each frame once, seed 3": ["train.balance=0", "seed=3"],
    "each class equally often": ["train.balance=1"],
    "the head first, for an epoch": ["train.head_epochs=1"],
    "no weight average": ["train.ema=0"],
    "no clipping": ["optimizer.clip=0"],
    "no weight decay": ["optimizer.weight_decay=0"],
    "from random weights": ["model.weights=null"],
}


def main(base: list[str]) -> None:
    """Run them one after the other; those that the table has are not run again."""
    table = Path("benchmarks/results/ablation.csv")
    done = set(pd.read_csv(table)["change"]) if table.exists() else set()
    for change, overrides in CHANGES.items():
        if change in done:
            continue
        subprocess.run(["springfield", "compose", *base, *overrides], check=True)
        subprocess.run(["dvc", "repro", "train"], check=True)
        epochs = pd.read_csv("reports/train/metrics.csv")
        kept = epochs.iloc[int(epochs["val_score"].argmax())]
        row = {
            **provenance(hardware()),
            "base": " ".join(base),
            "change": change,
            "overrides": " ".join(overrides),
            "epoch": int(kept["epoch"]),
            "val_accuracy": round(kept["val_accuracy"], 4),
            "val_macro_f1": round(kept["val_macro_f1"], 4),
            "val_loss": round(kept["val_loss"], 4),
        }
        add(table, [row])


if __name__ == "__main__":
    main(sys.argv[1:] or BASE)
