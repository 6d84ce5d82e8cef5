"""How the search for near-duplicates grows with the number of frames.

    python benchmarks/grouping.py

Synthetic hashes: shots of five frames on average, each frame a few bits from its shot. The median
of three runs each is added to benchmarks/results/grouping.csv.
"""

import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tables import add, processor, provenance

from springfield.sampling.near_duplicates import near_duplicates

RESULTS = Path("benchmarks/results/grouping.csv")
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
    for n in (20_000, 200_000, 1_000_000):
        frames, seconds, pairs = hashes(n), [], 0
        for _ in range(3):
            started = time.perf_counter()
            pairs = len(near_duplicates(frames, DISTANCE))
            seconds.append(time.perf_counter() - started)
        row = {
            "frames": n,
            "near_duplicate_pairs": pairs,
            "seconds": round(statistics.median(seconds), 2),
        }
        add(RESULTS, [{**provenance(processor()), **row}])
        print("{:7} frames {:7} pairs {:6.2f} s".format(*row.values()))


if __name__ == "__main__":
    main()
