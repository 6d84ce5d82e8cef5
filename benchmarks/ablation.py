"""Train an experiment once for each change of its recipe, and note what each is worth, as CSV.

    SPRINGFIELD_MIRROR=../shared python benchmarks/ablation.py

Rows are added to benchmarks/results/ablation.csv: the scores of the kept epoch on val, which
only chooses that epoch. Run it in a clone of its own: it changes params.yaml. Commit first: each
row names its commit.
"""

import subprocess
from pathlib import Path

import pandas as pd
from tables import add, hardware, provenance

BASE = ["experiment=simpsons_cpu", "model.input_size=96", "train.epochs=5"]
CAPPED = [*BASE, "split.max_per_class=200", "split.val=0.3", "split.test=0.02"]
# As many frames to train on, but as unevenly spread over the classes as they are in all.
UNEVEN = [*BASE, "split.max_per_class=null", "split.val=0.25", "split.test=0.55"]
CHANGES = [
    (CAPPED, "the recipe", []),
    (CAPPED, "the recipe, seed 2", ["seed=2"]),
    (CAPPED, "the recipe, seed 3", ["seed=3"]),
    (CAPPED, "twice the learning rate", ["optimizer.lr=4e-3"]),
    (CAPPED, "half the learning rate", ["optimizer.lr=1e-3"]),
    (CAPPED, "earlier layers slower", ["optimizer.layer_decay=0.8"]),
    (CAPPED, "the same rate in all layers", ["optimizer.layer_decay=1.0"]),
    (CAPPED, "strong augmentation", ["augment=strong"]),
    (CAPPED, "no augmentation while training", ["augment.online=[]"]),
    (CAPPED, "mixup and cutmix", ["train.mixup=0.2", "train.cutmix=1.0"]),
    (CAPPED, "no label smoothing", ["train.label_smoothing=0"]),
    (CAPPED, "each frame once an epoch", ["train.balance=0"]),
    (CAPPED, "each class equally often", ["train.balance=1"]),
    (CAPPED, "the head first, for an epoch", ["train.head_epochs=1"]),
    (CAPPED, "no weight average", ["train.ema=0"]),
    (CAPPED, "no clipping", ["optimizer.clip=0"]),
    (CAPPED, "no weight decay", ["optimizer.weight_decay=0"]),
    (CAPPED, "from random weights", ["model.weights=null"]),
    (UNEVEN, "the recipe", []),
    (UNEVEN, "each frame once an epoch", ["train.balance=0"]),
    (UNEVEN, "rare classes more often", ["train.balance=0.5"]),
    (UNEVEN, "no copies of rare classes", ["augment.offline.floor=0"]),
]


def main() -> None:
    """Run them one after the other; those that the table has are not run again."""
    table = Path("benchmarks/results/ablation.csv")
    rows = pd.read_csv(table) if table.exists() else pd.DataFrame(columns=["base", "change"])
    done = set(zip(rows["base"], rows["change"], strict=True))
    for base, change, overrides in CHANGES:
        if (" ".join(base), change) in done:
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
    main()
