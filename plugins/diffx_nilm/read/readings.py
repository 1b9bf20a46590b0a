"""Whether the numbers of a column are readings of a meter that counts up, rather than power."""

from __future__ import annotations

import numpy as np

_RISES, _PER_FALL = 50, 20  # rises, and how many of them come on a fall at least
_STRICT, _FEW, _MANY = 6, 3, 100  # rises without any fall, in a short file and in one of many rows
_LEVEL = 0.01  # share of its level by which a short reading grows, and power does not


def is_reading(x: np.ndarray) -> bool:
    """Whether power could not look like these numbers [n], W or kWh, in order of time and without NaN.

    Power falls about as often as it rises. A reading rises only, but for dips, resets and overflows, and stands still
    in between. A short one is also told from its size: it grows by little of what it has reached.
    """
    if len(x) < 4:
        return False
    middle = float(np.median(x))
    for part in (x, x[x > 0.5 * middle]):  # with and without dips
        rises, falls = _steps(part)
        if rises >= _RISES and falls * _PER_FALL <= rises:
            return True
        if not falls and rises >= (_FEW if len(x) >= _MANY else _STRICT):
            return True
    near = x[np.abs(x - middle) <= 0.5 * abs(middle)]  # without outliers
    rises, falls = _steps(near)
    return rises >= _FEW and falls * 10 <= rises and len(x) >= 10 and bool(np.ptp(near) < _LEVEL * middle)


def _steps(x: np.ndarray) -> tuple[int, int]:
    step = np.diff(x)
    return int((step > 0).sum()), int((step < 0).sum())
