"""A solver is a table of numbers.

A linear sampler is fully described by one row a step,

    x' = A x + D anchor + sum_j B_j m_-j + C z,

where m_0 is what the row's evaluation at (x, t) left, m_-1 the one before, ..., and z is fresh noise. What an
evaluation leaves is p x + q x_0-hat, by default x_0-hat itself; a velocity is such a combination too. Functions from a
schedule and a grid of times to a plan only compute coefficients, in host float64. A plan is frozen, printable,
comparable, survives JSON, and can be used any number of times.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One evaluation at time ``t`` and the linear update to time ``s``.

    Args:
        t: schedule time of the evaluation.
        s: schedule time that the update leads to.
        a: multiplies the state.
        b: ``b[j]`` multiplies the j-th newest output.
        c: multiplies fresh noise.
        d: multiplies the anchor.
        hold: make the state before this update the anchor (first stage of a step of several).
        output: (p, q), the output p x + q x_0-hat that this evaluation leaves; (0, 1) is x_0-hat.
        evaluate: False for a row that only moves the state with outputs already there (a corrector's second half).
    """

    t: float
    s: float
    a: float = 1.0
    b: tuple[float, ...] = ()
    c: float = 0.0
    d: float = 0.0
    hold: bool = False
    output: tuple[float, float] = (0.0, 1.0)
    evaluate: bool = True


@dataclass(frozen=True)
class Plan:
    """Rows in order of execution."""

    name: str
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        """Network evaluations."""
        return sum(row.evaluate for row in self.rows)

    @property
    def depth(self) -> int:
        """How many outputs have to be remembered."""
        return max(len(row.b) for row in self.rows)

    def __str__(self) -> str:
        head = f"{self.name}: {len(self)} evaluations\n{'t':>12} {'s':>12} {'A':>12} {'D':>12} {'C':>12}  B"
        return "\n".join([head, *(_line(row) for row in self.rows)])

    def to_json(self) -> str:
        """Lossless: ``Plan.from_json(plan.to_json()) == plan``."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that :meth:`to_json` wrote."""
        return cls._of(json.loads(text))

    @classmethod
    def _of(cls, raw: Mapping[str, Any]) -> Plan:
        lists = ("b", "output")
        rows: list[dict[str, Any]] = [{k: tuple(v) if k in lists else v for k, v in r.items()} for r in raw["rows"]]
        return cls(raw["name"], tuple(Row(**row) for row in rows))


def _line(row: Row) -> str:
    marks = [" (anchor)"] * row.hold + [f" leaves {row.output[0]:.6g} x + {row.output[1]:.6g} m"] * (
        row.output != (0.0, 1.0)
    )
    marks += [" (no evaluation)"] * (not row.evaluate)
    numbers = " ".join(f"{value:12.6g}" for value in (row.t, row.s, row.a, row.d, row.c))
    return f"{numbers}  {' '.join(f'{b:.6g}' for b in row.b)}{''.join(marks)}"


@dataclass(frozen=True)
class JointRow:
    """One row a leaf of a mixed state, done together; ``t`` and ``s`` are mappings too."""

    leaves: Mapping[str, Row]

    @property
    def t(self) -> dict[str, float]:
        return {name: row.t for name, row in self.leaves.items()}

    @property
    def s(self) -> dict[str, float]:
        return {name: row.s for name, row in self.leaves.items()}

    @property
    def evaluate(self) -> bool:
        return any(row.evaluate for row in self.leaves.values())


@dataclass(frozen=True)
class JointPlan:
    """Synchronised plans of the leaves of a mixed state: all have the same number of rows.

    Raises:
        ValueError: their numbers of rows differ, or one evaluates where another does not.
    """

    plans: Mapping[str, Plan]

    def __post_init__(self) -> None:
        patterns = {tuple(row.evaluate for row in plan.rows) for plan in self.plans.values()}
        if len(patterns) != 1:
            lengths = ", ".join(f"{name}: {len(plan.rows)}" for name, plan in self.plans.items())
            raise ValueError(f"the leaves of a state are stepped together; their plans have other rows ({lengths})")

    @property
    def rows(self) -> tuple[JointRow, ...]:
        names = list(self.plans)
        together = zip(*(plan.rows for plan in self.plans.values()), strict=True)
        return tuple(JointRow(dict(zip(names, rows, strict=True))) for rows in together)

    @property
    def depth(self) -> int:
        """How many outputs have to be remembered of each leaf."""
        return max(plan.depth for plan in self.plans.values())

    def __len__(self) -> int:
        """Network evaluations."""
        return sum(row.evaluate for row in self.rows)

    def __str__(self) -> str:
        return "\n\n".join(f"{name} {plan}" for name, plan in self.plans.items())

    def to_json(self) -> str:
        """Lossless: ``JointPlan.from_json(plan.to_json()) == plan``."""
        return json.dumps({name: asdict(plan) for name, plan in self.plans.items()})

    @classmethod
    def from_json(cls, text: str) -> JointPlan:
        """The plan that :meth:`to_json` wrote."""
        return cls({name: Plan._of(raw) for name, raw in json.loads(text).items()})


def pairs(times: Sequence[float]) -> list[tuple[float, float]]:
    """(t, s) of each step of a grid. ValueError unless it falls strictly towards 0 and has two entries at least."""
    times = [float(t) for t in times]
    if len(times) < 2 or not all(t > s >= 0 for t, s in itertools.pairwise(times)):
        raise ValueError(f"a time grid falls strictly from noise towards 0 and has two entries at least, not {times}")
    return list(itertools.pairwise(times))
