"""How alike two tables are, column by column and pair by pair: 1 is alike, 0 apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from diffx_tabular.reader import Columns, length
from diffx_tabular.table import Table

BINS = 4


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> float:
    """Largest distance of the two distribution functions, without missing values; 1 where one side has none."""
    a, b = (np.sort(v[~np.isnan(v)]) for v in (a, b))
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    at = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the sum of the absolute differences of the frequencies of whole numbers."""
    size = int(max(a.max(), b.max())) + 1
    share = [np.bincount(v, minlength=size) / len(v) for v in (a, b)]
    return float(np.abs(share[0] - share[1]).sum() / 2)


def by_column(table: Table, real: Columns, other: Columns) -> dict[str, float]:
    """1 - KS of each number and 1 - TV of each category, whether a number is missing being one."""
    x, y = table.values(real), table.values(other)
    p, q = table.codes(real), table.codes(other)
    numbers = {c.name: 1 - kolmogorov_smirnov(x[:, i], y[:, i]) for i, c in enumerate(table.numbers)}
    return numbers | {c.name: 1 - total_variation(p[:, i], q[:, i]) for i, c in enumerate(table.categories)}


def by_pair(table: Table, real: Columns, other: Columns) -> float:
    """Mean over pairs: 1 - |difference of rank correlation| / 2 of two numbers, 1 - TV of the contingency table where
    a category is among them, numbers by quartiles of the real ones."""
    size = len(table.numbers)
    found = list(1 - _off(table, real, other) / 2)
    levels = [len(c.levels) for c in table.categories]
    p, q = (np.concatenate([_binned(table, real, t), table.codes(t)], 1) for t in (real, other))
    wide = [BINS + 1] * size + levels
    for i, j in combinations(range(len(wide)), 2):
        if j >= size:
            found.append(1 - total_variation(p[:, i] * wide[j] + p[:, j], q[:, i] * wide[j] + q[:, j]))
    return float(np.mean(found))


def correlation_error(table: Table, real: Columns, other: Columns) -> float:
    """Mean absolute difference of rank correlation over pairs of numbers."""
    return float(_off(table, real, other).mean())


def rank_correlation(x: np.ndarray) -> np.ndarray:
    """Spearman's, [N, N], of the rows in which both numbers are known; 0 where one does not vary."""
    n = x.shape[1]
    out = np.eye(n)
    for i, j in combinations(range(n), 2):
        both = ~np.isnan(x[:, i]) & ~np.isnan(x[:, j])
        a, b = _ranks(x[both, i]), _ranks(x[both, j])
        if len(a) > 1 and a.std() > 0 and b.std() > 0:
            out[i, j] = out[j, i] = np.corrcoef(a, b)[0, 1]
    return out


def _ranks(x: np.ndarray) -> np.ndarray:
    """Mean ranks of ties."""
    ordered = np.sort(x)
    return (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")) / 2


def _binned(table: Table, real: Columns, other: Columns) -> np.ndarray:
    """Numbers of ``other`` by the quartiles of ``real``, missing ones as a bin of their own: [n, N]."""
    x, y = table.values(real), table.values(other)
    bins = [
        np.where(np.isnan(v), BINS, np.searchsorted(np.nanquantile(u, [0.25, 0.5, 0.75]), v, "right"))
        for u, v in zip(x.T, y.T)
    ]
    return np.array(bins, dtype=np.int64).reshape(len(bins), length(other)).T


def _off(table: Table, real: Columns, other: Columns) -> np.ndarray:
    """Absolute differences of rank correlation, one a pair of numbers."""
    off = rank_correlation(table.values(real)) - rank_correlation(table.values(other))
    return np.abs(off[np.triu_indices(len(off), 1)])
