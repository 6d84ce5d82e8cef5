"""What benchmarks/gpu.sh measured, as rows of benchmarks/results/gpus.csv."""

import sys
from pathlib import Path

import pandas as pd
from tables import add, hardware, provenance

RESULTS = Path("benchmarks/results/gpus.csv")


def main(experiment: str, measured: Path, devices: str) -> None:
    """Add a row for one device and one for all."""
    losses = {
        n: pd.read_csv(measured / f"same-{n}/metrics.csv")["train_loss"] for n in ("1", devices)
    }
    speeds, weak = (
        {
            n: pd.read_csv(measured / f"{name}-{n}/speed.csv")["images_per_second"]
            .iloc[1:]
            .median()
            for n in ("1", devices)
        }
        for name in ("speed", "weak")
    )
    accuracies = {
        n: pd.read_csv(measured / f"speed-{n}/metrics.csv")["val_accuracy"].iloc[-1]
        for n in ("1", devices)
    }
    for n in ("1", devices):
        row = {
            **provenance(hardware()),
            "experiment": experiment,
            "devices": n,
            "images_per_second": round(speeds[n], 1),
            "val_accuracy": round(accuracies[n], 4),
            "efficiency": round(speeds[n] / speeds["1"] / int(n), 3),
            "weak_images_per_second": round(weak[n], 1),
            "weak_efficiency": round(weak[n] / weak["1"] / int(n), 3),
            "steps_compared": len(losses[n]),
            "largest_loss_difference": float(f"{(losses[n] - losses['1']).abs().max():.2g}"),
        }
        add(RESULTS, [row])
        print(*(f"{name}={value}" for name, value in row.items()), sep="  ")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
