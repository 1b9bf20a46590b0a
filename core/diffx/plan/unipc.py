"""A predictor and a corrector that share their evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from diffx.plan.grids import steps
from diffx.plan.single import denoise, transfer
from diffx.process.table import Plan, Row
from diffx.schedule import Schedule


def unipc(schedule: Schedule, times: Sequence[float], order: int = 2, variant: str = "bh2") -> Plan:
    """UniPC multistep on the data prediction, orders 1 to 3 (Zhao et al. 2023, algorithms 1 and 2).

    The prediction at the end of a step corrects that step before it starts the next one: a corrector of one order more
    at no further evaluation. Lower orders fill the first steps.

    Args:
        variant: B(h) of the paper's eq. 8: "bh1", h, or "bh2", exp(h) - 1 with h the step in log-SNR / 2, negative.

    Raises:
        ValueError: another order or variant.
    """
    if order not in (1, 2, 3) or variant not in ("bh1", "bh2"):
        raise ValueError(f"unipc has order 1, 2 or 3 and variant bh1 or bh2, not {order} and {variant!r}")
    rows: list[Row] = []
    level: list[float] = []  # log-SNR / 2 of the outputs so far, newest first
    before: tuple[float, int] | None = None  # where the step came from that ends here, and its order
    for t, s in steps(schedule, times):
        if s == 0:
            rows.append(denoise(t))
            continue
        here, there = (-math.log(r) if (r := float(schedule.ratio(at))) < math.inf else -math.inf for at in (t, s))
        level = [here, *level]
        if before is not None:
            start, its_order = before
            a, b = _update(schedule, start, t, level[1 : its_order + 1], here, variant, correct=True)
            rows.append(Row(t, t, 0.0, b, d=a))
        known = [x for x in level if math.isfinite(x)][:order] if math.isfinite(there) else []
        a, b = _update(schedule, t, s, known or level[:1], there, variant, correct=False)
        rows.append(Row(t, s, a, b, hold=True, evaluate=before is None))
        before = (t, len(known)) if known else None
    return Plan(f"unipc_{order}({variant})", tuple(rows))


def _update(
    schedule: Schedule, t: float, s: float, level: list[float], there: float, variant: str, correct: bool
) -> tuple[float, tuple[float, ...]]:
    """(A, B) of the step from t to s, where log-SNR / 2 is ``there``.

    ``level``: of the outputs that are used, newest first, that at t the first. A corrector also uses the one at s,
    which then is the newest.
    """
    h = there - level[0]
    row = transfer(schedule, t, s)
    if math.isinf(h):
        return row.a, row.b
    gain = -math.expm1(-h)  # weight of the prediction
    nodes = [*((x - level[0]) / h for x in level[1:]), *([1.0] if correct else [])]
    pull = (h if variant == "bh1" else gain) * _rho(h, nodes, variant) / np.array(nodes)  # of each difference from m_0
    newer = (pull[-1],) if correct else ()
    older = pull[: len(level) - 1]
    b = (*newer, gain - pull.sum(), *older)
    return row.a, tuple(float(schedule.alpha(s) * x) for x in b)


def _rho(h: float, nodes: list[float], variant: str) -> np.ndarray:
    """The paper's a_p: sum_m a_m r_m^(k-1) = k! h phi_k+1(h) / B(h), k = 1 ... p; with one node, 1/2."""
    if len(nodes) < 2:
        return np.full(len(nodes), 0.5)
    scale = -h if variant == "bh1" else math.expm1(-h)
    phi, factorial, wanted = math.expm1(-h) / -h - 1, 1, []
    for k in range(1, len(nodes) + 1):
        wanted.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / -h - 1 / factorial
    return np.linalg.solve(np.vander(nodes, increasing=True).T, wanted)
