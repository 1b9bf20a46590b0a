"""Is the stated uncertainty large where the error is, and as large as the error?"""

from __future__ import annotations

import numpy as np

from diffx.metrics.arrays import Array, tensor


def _pair(uncertainty: Array, error: Array) -> tuple[np.ndarray, np.ndarray]:
    """Both flat, float64; ValueError where shapes differ."""
    u, e = tensor(uncertainty), tensor(error)
    if u.shape != e.shape or not u.numel():
        raise ValueError(f"one uncertainty for each error, not {list(u.shape)} for {list(e.shape)}")
    return u.flatten().cpu().numpy(), e.flatten().cpu().numpy()


def sparsification(uncertainty: Array, error: Array, steps: int = 100) -> np.ndarray:
    """Mean error of what is left without the most uncertain k / steps, k = 0 ... steps - 1: float64 [steps].

    Falls where the uncertainty knows the errors (Ilg et al. 2018, sec. 4). At least one element is left.
    """
    u, e = _pair(uncertainty, error)
    mean = np.cumsum(e[np.argsort(u, kind="stable")]) / np.arange(1, len(e) + 1)  # of the most certain so many
    return mean[[max(1, round(len(e) * (1 - k / steps))) - 1 for k in range(steps)]]


def ausc(uncertainty: Array, error: Array, steps: int = 100) -> float:
    """Area under the sparsification curve, as a share of the mean error: 1 for an uncertainty that knows nothing."""
    return float(sparsification(uncertainty, error, steps).mean() / _pair(uncertainty, error)[1].mean())


def ause(uncertainty: Array, error: Array, steps: int = 100) -> float:
    """Area between the sparsification curve and that by the errors (Ilg et al. 2018), as a share of the mean error.

    0 where the uncertainty ranks as well as the truth would.
    """
    own, best = (sparsification(by, error, steps) for by in (uncertainty, error))
    return float((own - best).mean() / _pair(uncertainty, error)[1].mean())


def spread_skill(spread: Array, error: Array, members: int) -> float:
    """Root mean square of an ensemble's spread over that of the error of its mean: 1 where the spread is right.

    Truth and members of one distribution differ from the mean of n members by (1 + 1/n) of its variance (Fortin et al.
    2014, eq. 15), which is allowed for.

    Args:
        spread: standard deviation over members, n - 1 degrees of freedom.
        error: mean of the members less the truth, of the same shape.
        members: how many.
    """
    s, e = _pair(spread, error)
    return float(np.sqrt((1 + 1 / members) * np.square(s).mean() / np.square(e).mean()))


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's rho, equal values sharing their mean rank; 0 where one of the two is constant."""
    x, y = (_ranks(v) - (v.size - 1) / 2 for v in _pair(a, b))
    size = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float(x @ y) / size if size > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]
