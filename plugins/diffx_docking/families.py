"""Families of proteins by what their pockets share, so that none is trained on and judged by at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from .receptor import Receptor

SHARED = 0.3  # of the smaller pocket's triples of residues, from which two pockets are of one family


def triples(pocket: Receptor) -> frozenset[tuple[str, str, str]]:
    """The kinds of three residues in a row, wherever a pocket has such."""
    kinds: dict[tuple[str, int], str] = {}
    for residue, number in zip(pocket.residues, pocket.numbers, strict=True):
        chain, _, rest = number.partition(":")
        if rest.lstrip("-").isdigit():
            kinds[chain, int(rest)] = residue.partition(":")[2].removesuffix(rest)
    rows = ((kind, kinds.get((c, i + 1)), kinds.get((c, i + 2))) for (c, i), kind in kinds.items())
    return frozenset((a, b, c) for a, b, c in rows if b and c)


def families(pockets: Sequence[frozenset[tuple[str, str, str]]]) -> np.ndarray:
    """A number [n] for each pocket: equal where a chain of alike pockets joins them (single linkage)."""
    parent = list(range(len(pockets)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    having: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, own in enumerate(pockets):
        shared: dict[int, int] = defaultdict(int)
        for triple in own:
            for j in having[triple]:
                shared[j] += 1
            having[triple].append(i)
        for j, count in shared.items():
            if count > SHARED * min(len(own), len(pockets[j])):
                first, second = sorted((root(i), root(j)))
                parent[second] = first  # the smallest number names a family, in whatever order pockets are joined
    return np.unique([root(i) for i in range(len(pockets))], return_inverse=True)[1]


def folds(family: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Which of `count` parts each case [n] is in: families stay whole, and the parts are about equally large."""
    names, sizes = np.unique(family, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, part = np.zeros(count, int), np.zeros(len(names), int)
    for k in order:
        part[k] = filled.argmin()
        filled[part[k]] += sizes[k]
    return part[np.searchsorted(names, family)]
