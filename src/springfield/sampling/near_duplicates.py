"""Frames that look almost the same, by their perceptual hashes."""

from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from springfield.machine.progress import track

MIN_PARTS, MAX_RADIUS = 3, 3
"""Of a hash: at least so many parts, so that a part has at most 2^22 values; and how many bits of
a part are flipped at most, so that the buckets to look into stay few."""


def near_duplicates(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """The pairs (P x 2, first < second) of 64-bit hashes at most `distance` bits apart.

    Multi-index hashing (Norouzi et al., 2012): of hashes so close, one of a few parts differs in
    at most `radius` bits, so only hashes in the buckets of such parts are compared.
    """
    n = len(hashes)
    parts = max(MIN_PARTS, distance // (MAX_RADIUS + 1) + 1)
    edges = [64 * part // parts for part in range(parts + 1)]
    found = [np.empty((2, 0), np.int64)]
    for part in track(range(parts), "Comparing frames"):
        bits = edges[part + 1] - edges[part]
        keys = ((hashes >> np.uint64(edges[part])) & np.uint64(2**bits - 1)).astype(np.int32)
        order = np.argsort(keys, kind="stable")
        keys, ordered = keys[order], hashes[order]
        counts = np.bincount(keys, minlength=2**bits)
        starts, occupied = counts.cumsum() - counts, counts > 0
        # Where the highest flipped bit is 0, the other key is larger: each pair is met once.
        zero = [np.flatnonzero(keys >> bit & 1 == 0) for bit in range(bits)]
        radius = distance // parts - (part > distance % parts)
        for flips in chain.from_iterable(combinations(range(bits), r) for r in range(radius + 1)):
            first = zero[flips[-1]] if flips else np.arange(n)
            other = keys[first] ^ np.int32(sum(1 << bit for bit in flips))
            hits = np.flatnonzero(occupied[other])
            first, other, place = first[hits], other[hits], 0
            while len(first):  # the first of each bucket, the second of those that have one, ...
                second = starts[other] + place
                near = np.bitwise_count(ordered[first] ^ ordered[second]) <= distance
                near &= first < second
                found.append(order[np.stack((first[near], second[near]))])
                place += 1
                deeper = np.flatnonzero(counts[other] > place)
                first, other = first[deeper], other[deeper]
    pairs = np.sort(np.concatenate(found, axis=1), axis=0)
    return np.stack(np.divmod(np.unique(pairs[0] * n + pairs[1]), n), axis=1)
