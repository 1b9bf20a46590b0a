"""Plans of the leaves of a mixed state, row by row at times that belong together in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from diffx.process.table import Plan, Row
from diffx.process.transitions import transitions


class Timed(Protocol):
    """What is asked of a process here."""

    def times(self, u: np.ndarray) -> Any:
        """Training times [B] from uniform variates [B] in (0, 1)."""


def clock(process: Timed, times: Sequence[float]) -> np.ndarray:
    """The uniform variates in [0, 1] that ``process.times`` takes to ``times``: the time of a whole mixed state.

    0 and what lies below the least training time are 0, what lies above the greatest is 1.

    Raises:
        ValueError: the process's training times do not rise with the variate, so there is no inverse.
    """
    if (np.diff(process.times(np.linspace(0.0, 1.0, 1025))) < 0).any():
        raise ValueError("leaves can be synchronised only if their training times rise with the uniform variate")
    wanted = np.asarray(times, dtype=np.float64)
    low, high = np.zeros_like(wanted), np.ones_like(wanted)
    for _ in range(60):
        middle = (low + high) / 2
        below = process.times(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    ends = process.times(np.array([0.0, 1.0]))
    return np.where(wanted <= max(0.0, ends[0]), 0.0, np.where(wanted >= ends[1], 1.0, high))


def synchronised_times(times: Sequence[float], lead: Timed, leaf: Timed) -> tuple[float, ...]:
    """The times of ``leaf`` at which ``lead`` is at ``times``: a grid of one leaf as a grid of another.

    One uniform variate gives all leaves of a :class:`Product` their training times, so a network is trained only where
    the leaves' times belong together in this sense, and is to be asked only there.
    """
    u = clock(lead, times)
    return tuple(float(t) for t in np.where(u > 0, leaf.times(u), 0.0))


def times_of(plan: Plan, lead: Timed, leaf: Timed) -> tuple[float, ...]:
    """The times of ``leaf`` at which ``lead`` is at the times of its ``plan``, each once."""
    times = tuple(dict.fromkeys([*(row.t for row in plan.rows), plan.rows[-1].s]))
    return synchronised_times(times, lead, leaf)


def synchronised_transitions(plan: Plan, lead: Timed, leaf: Timed, eta: float = 0.0, temperature: float = 1.0) -> Plan:
    """Transitions of the tokens of ``leaf``, row by row with ``plan`` of ``lead``, for a :class:`JointPlan`.

    The rows have the times of :func:`synchronised_times`. One that stays at its time, such as the second of Heun's
    two, leaves the tokens as they are; one that moves on without evaluation uses the last prediction.
    """
    starts, ends = (synchronised_times([getattr(row, at) for row in plan.rows], lead, leaf) for at in ("t", "s"))
    like = transitions((1.0, 0.0), eta, temperature).rows[0]
    rows = [
        Row(t, s, b=like.b, c=like.c if s < t else 0.0, evaluate=row.evaluate)
        for t, s, row in zip(starts, ends, plan.rows, strict=True)
    ]
    return Plan(f"transitions synchronised with {plan.name}", tuple(rows))


def synchronised_steps(plan: Plan, like: Plan) -> Plan:
    """The steps of ``plan`` on the rows of ``like``, for a :class:`JointPlan`.

    A row of ``like`` that moves on in time takes the next step; one that does not, such as the second of Heun's two,
    leaves the leaf as it is. A step without evaluation uses the last prediction, made where the leaf still is.

    Raises:
        ValueError: the numbers of steps differ, or a step needs more than the last prediction.
    """
    if sum(row.s != row.t for row in like.rows) != len(plan.rows):
        raise ValueError(f"{plan.name} has {len(plan.rows)} steps, which are not those of {like.name}")
    if any(len(row.b) > 1 or row.d for row in plan.rows):
        raise ValueError(f"{plan.name} remembers earlier steps, between which {like.name} may evaluate more than once")
    steps, rows, now = iter(plan.rows), [], plan.rows[0].t
    for row in like.rows:
        step = next(steps) if row.s != row.t else Row(now, now)
        rows.append(replace(step, evaluate=row.evaluate))
        now = step.s
    return Plan(f"{plan.name} synchronised with {like.name}", tuple(rows))
