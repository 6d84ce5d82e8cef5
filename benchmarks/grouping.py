"""How the search for near-duplicates grows with the number of frames.

    python benchmarks/grouping.py

Synthetic hashes: shots of five frames on average, each frame a few bits from its shot. The median
of three runs each is noted in benchmarks/results/grouping.csv.
"""

import csv
import datetime
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from springfield.split import near_duplicates

DISTANCE = 10


def hashes(n: int) -> NDArray[np.uint64]:
    """Hashes of `n` frames."""
    rng = np.random.default_rng(n)
    found = rng.integers(0, 2**64, n // 5, np.uint64)[rng.integers(0, n // 5, n)]
    for _ in range(4):
        found ^= np.uint64(1) << rng.integers(0, 64, n).astype(np.uint64)
    return found


def main() -> None:
    """Measure 20,000, 200,000 and a million frames."""
    with Path("benchmarks/results/grouping.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", "frames", "near_duplicate_pairs", "seconds"])
        for n in (20_000, 200_000, 1_000_000):
            frames, seconds, pairs = hashes(n), [], 0
            for _ in range(3):
                started = time.perf_counter()
                pairs = len(near_duplicates(frames, DISTANCE))
                seconds.append(time.perf_counter() - started)
            row = (n, pairs, round(statistics.median(seconds), 2))
            writer.writerow([datetime.datetime.now(datetime.UTC).date().isoformat(), *row])
            print("{:7} frames {:7} pairs {:6.2f} s".format(*row))


if __name__ == "__main__":
    main()
