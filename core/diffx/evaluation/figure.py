"""A figure and all that it takes to judge it: the one schema of metrics.json (docs/evaluation.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

LEAST = 15  # cases a side below which no goal is said to be met or missed
Verdict = Literal["met", "missed", "too few to tell"]
Better = Literal["lower", "higher", ""]


@dataclass(frozen=True)
class Baseline:
    """What another method gets on the same cases: ``name`` as people say it, ``value`` (None: not defined)."""

    name: str
    value: float | None


@dataclass(frozen=True)
class Goal:
    """The range that a figure should lie in, ends included.

    Args:
        low: lower end; None is none.
        high: upper end; None is none.
        wanted: the goal in words, where it is not plain from the ends ("at most 1.5 x real against real").
    """

    low: float | None = None
    high: float | None = None
    wanted: str = ""

    @property
    def words(self) -> str:
        """As in "at most 20", "at least 0.95" or "0.85 to 0.95"."""
        if self.wanted:
            return self.wanted
        if self.low is None or self.high is None:
            return f"at least {self.low:.4g}" if self.low is not None else f"at most {self.high:.4g}"
        return f"{self.low:.4g}" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}"

    def holds(self, value: float) -> bool:
        """Whether the value lies in the range."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class Figure:
    """One figure of an evaluation.

    Args:
        value: the figure; None where it is not defined.
        interval: ends of its 95 % interval.
        real_vs_real: what the same measure gives for real data against real data: as good as a figure can be.
        real_vs_real_interval: ends of the central 95 % of that.
        baselines: what other methods get; the first is the trivial one (the mean, a copy, always off).
        n: independent cases that it rests on: patients, houses' days, complexes, drawn samples.
        n_real: real cases that these are compared with, where that is another number.
        unit: as in "W" or "dB".
        better: whether "lower" or "higher" is better; "" where it should come close to ``real_vs_real``.
        goal: what was wanted.
        title: how the report calls it; by default its name in metrics.json.
        facts: what else belongs to it, name -> value.
    """

    value: float | None
    interval: Sequence[float] | None = None
    real_vs_real: float | None = None
    real_vs_real_interval: Sequence[float] | None = None
    baselines: Sequence[Baseline] = ()
    n: int | None = None
    n_real: int | None = None
    unit: str = ""
    better: Better = ""
    goal: Goal | None = None
    title: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> int | None:
        """Cases on the smaller side; None where they were not counted."""
        known = [n for n in (self.n, self.n_real) if n is not None]
        return min(known) if known else None

    @property
    def verdict(self) -> Verdict | None:
        """Whether the goal is met; "too few to tell" below 15 cases a side; None without a goal or a value."""
        if self.goal is None or self.value is None:
            return None
        if self.cases is not None and self.cases < LEAST:
            return "too few to tell"
        return "met" if self.goal.holds(self.value) else "missed"

    def to_json(self) -> dict[str, Any]:
        """As it stands in metrics.json: ``value``, and of the rest what is known."""
        known: dict[str, Any] = {"value": self.value}
        known["interval"] = list(self.interval) if self.interval is not None else None
        known["floor"] = self.real_vs_real
        ends = self.real_vs_real_interval
        known["floor_interval"] = list(ends) if ends is not None else None
        if self.baselines:
            known["baseline"] = self.baselines[0].value
            known["baselines"] = {baseline.name: baseline.value for baseline in self.baselines}
        known |= {"n": self.n, "n_real": self.n_real, "unit": self.unit or None, "better": self.better or None}
        if self.goal is not None:
            goal = {"low": self.goal.low, "high": self.goal.high, "wanted": self.goal.words, "verdict": self.verdict}
            known["goal"] = {name: value for name, value in goal.items() if value is not None}
        known["title"] = self.title or None
        return {name: value for name, value in known.items() if value is not None or name == "value"} | dict(self.facts)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Figure:
        """What :meth:`to_json` made, or any mapping with a ``value``: entries that it does not know become facts."""
        rest = dict(raw)
        named = rest.pop("baselines", {})
        plain = rest.pop("baseline", None)
        goal = rest.pop("goal", None)
        baselines = [Baseline(name, value) for name, value in named.items()]
        if plain is not None and not baselines:
            baselines = [Baseline("", plain)]
        keys = {"floor": "real_vs_real", "floor_interval": "real_vs_real_interval"}
        own = ("value", "interval", "floor", "floor_interval", "n", "n_real", "unit", "better", "title")
        return cls(
            **{keys.get(name, name): rest.pop(name) for name in own if name in rest},
            baselines=baselines,
            goal=Goal(goal.get("low"), goal.get("high"), goal.get("wanted", "")) if goal else None,
            facts=rest,
        )


def is_figure(entry: Any) -> bool:
    """Whether an entry of metrics.json is a figure, and no group of them."""
    return isinstance(entry, Mapping) and "value" in entry


def to_json(entry: Any) -> Any:
    """An entry of metrics.json: figures, also those in groups, as mappings; everything else as it is."""
    if isinstance(entry, Figure):
        return entry.to_json()
    return {str(name): to_json(value) for name, value in entry.items()} if isinstance(entry, Mapping) else entry


def judged(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Figure]]:
    """(dotted name, figure) of all figures in metrics.json that have a goal and a value."""
    for name, entry in metrics.items():
        if is_figure(entry):
            figure = Figure.from_json(entry)
            if figure.verdict:
                yield f"{prefix}{name}", figure
        elif isinstance(entry, Mapping):
            yield from judged(entry, f"{prefix}{name}.")
