"""Train the coursework's digit network once for each choice of the classroom, from five seeds.

    SPRINGFIELD_MIRROR=../mirror python benchmarks/choices.py

Each seed draws its own 300 pictures of each digit and learns from them for five epochs; the score
is the accuracy on all 10,000 test pictures. Rows are added to benchmarks/results/choices.csv (those
that it has are not run again), and the table of docs/classroom.md is printed. The stages run
without DVC, in .springfield/choices. Commit first: each row names its commit.
"""

import json
from pathlib import Path

import pandas as pd
from tables import add, hardware, provenance

from springfield import pipeline
from springfield.cli.workspace import machine, quiet
from springfield.config import compose, load
from springfield.machine.paths import Paths

RESULTS = Path("benchmarks/results/choices.csv")
FOLDER = Path(".springfield/choices")
SEEDS = range(1, 6)
CAPPED = [
    "experiment=mnist", "hardware=cpu", "split.max_per_class=300", "augment=none",
    "train.epochs=5", "train.batch_size=32", "train.ema=0", "evaluate.baseline=false",
]  # fmt: skip
PLAIN = ["optimizer=sgd", "optimizer.weight_decay=0"]
"""What penalties are added to."""
CHOICES: dict[str, list[list[str]]] = {
    "the recipe": [[]],
    "activation": [
        [f"model.options.activation={name}"] for name in ("leaky_relu", "tanh", "sigmoid")
    ],
    "pooling": [
        ["model.options.pooling=average"],
        ["model.options.pool_size=3"],
        ["model.options.pooling=average", "model.options.pool_size=3"],
    ],
    "optimizer": [
        [f"optimizer={name}"]
        for name in ("sgd_plain", "momentum", "sgd", "adagrad", "rmsprop", "adadelta", "adam")
    ],
    "penalty": [
        PLAIN,
        [*PLAIN, "optimizer.l1=1e-4"],
        ["optimizer=sgd", "optimizer.weight_decay=5e-3"],
        ["optimizer=sgd", "optimizer.l1=1e-4", "optimizer.weight_decay=5e-3"],
    ],
    "dropout": [["model.drop_rate=0"], ["model.options.drops=[0.1,0.2,0.3]"]],
    "loss": [["train.loss=hinge"], ["train.loss=squared_error"]],
}


def run(overrides: list[str], *stages: str) -> Paths:
    """Run stages in the folder of this table."""
    compose(Path(), FOLDER / "params.yaml", [*CAPPED, *overrides], pipeline.check)
    params, paths = load(FOLDER / "params.yaml"), Paths.within(FOLDER)
    pipeline.run(params, paths, machine(params), *stages)
    return paths


def main() -> None:
    """Run them seed by seed; those that the table has are not run again."""
    quiet()
    run([], "download", "prepare")
    rows = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["seed", "override"])
    done = set(zip(rows["seed"], rows["override"].fillna(""), strict=True))
    for seed in SEEDS:
        run([f"seed={seed}"], "split", "augment")
        for choice, variants in CHOICES.items():
            for overrides in variants:
                if (seed, " ".join(overrides)) in done:
                    continue
                paths = run([f"seed={seed}", *overrides], "train", "evaluate")
                row = {
                    **provenance(hardware()),
                    "choice": choice,
                    "override": " ".join(overrides),
                    "seed": seed,
                    "test_accuracy": json.loads(paths.metrics.read_text())["test"]["accuracy"],
                }
                add(RESULTS, [row])
    table()


def table() -> None:
    """Print the table of docs/classroom.md."""
    rows = pd.read_csv(RESULTS, keep_default_na=False)
    print("| choice | params | test accuracy | lowest to highest |\n| --- | --- | --- | --- |")
    for (choice, override), found in rows.groupby(["choice", "override"], sort=False):
        score = found["test_accuracy"]
        shown = f"`{override}`" if override else ""
        print(
            f"| {choice} | {shown} | {score.mean():.4f} | {score.min():.4f} to {score.max():.4f} |"
        )


if __name__ == "__main__":
    main()
