"""metrics.json as tables of the page: the goals, and every figure beside what it is to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffx.evaluation.figure import LEAST, Figure, is_figure, judged
from diffx.run.report import Section, table
from diffx.run.words import figure as shown

_ORDER = ("missed", "too few to tell", "met")
_GOALS = (
    f"Goals that are missed come first. With fewer than {LEAST} cases on a side nothing is said to be met or missed."
)
_ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}


def goals_section(metrics: Mapping[str, Any]) -> Section | None:
    """The table of goals, the missed ones first; None where no figure has one."""
    found = sorted(judged(metrics), key=lambda one: _ORDER.index(one[1].verdict or "met"))
    if not found:
        return None
    rows = [
        {
            "verdict": own.verdict,
            "goal": own.title or _spoken(name),
            "wanted": own.goal.words if own.goal else "",
            "value": own.value,
            "95 % interval": _pair(own.interval),
            "unit": own.unit,
            "n": own.cases,
        }
        for name, own in found
    ]
    return table("Goals", _filled(rows), _GOALS)


def metrics_section(metrics: Mapping[str, Any]) -> Section | None:
    """The table of final figures, each beside its baselines and real against real; None without metrics.

    Columns that no metric fills are left out; groups are flattened to dotted names. What lies more than three names
    deep (house, appliance, method, ...) would be hundreds of rows: it is for metrics.json and the task's own tables.
    """
    rows = [_row(name, value) for name, value in _flat(metrics)]
    if not rows:
        return None
    caption = []
    if any("floor" in value for _, value in _flat(metrics) if is_figure(value)):
        caption.append("Real against real: what the same measure gives for real data compared with real data.")
    if any(name.endswith((" ↓", " ↑")) for name in (row["metric"] for row in rows)):
        caption.append("↓ lower is better, ↑ higher is better.")
    return table("Metrics", _filled(rows), " ".join(caption))


def _flat(metrics: Mapping[str, Any], prefix: str = "", depth: int = 3) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping) and not is_figure(value):
            found += _flat(value, f"{prefix}{name}.", depth - 1) if depth > 1 else []
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _row(name: str, value: Any) -> dict[str, Any]:
    if not is_figure(value):
        return {"metric": name, "value": "not finite" if value is None else value}
    own = Figure.from_json(value)
    first, rest = (own.baselines[0] if own.baselines else None), own.baselines[1:]
    named = first is not None and first.name not in ("", "baseline")
    ends = _pair(own.real_vs_real_interval)
    goal = f"{own.goal.words}: {own.verdict}" if own.goal and own.verdict else None
    return {
        "metric": name + _ARROWS[own.better],
        "value": "not finite" if own.value is None else own.value,
        "unit": own.unit,
        "95 % interval": _pair(own.interval),
        "baseline": None if first is None else f"{shown(first.value)} ({first.name})" if named else first.value,
        "other baselines": ", ".join(f"{shown(one.value)} ({one.name})" for one in rest) or None,
        "real against real": own.real_vs_real if ends is None else f"{shown(own.real_vs_real)} ({shown(ends)})",
        "goal": goal,
        "n": own.n,
        "note": shown({**({"real n": own.n_real} if own.n_real not in (None, own.n) else {}), **own.facts}) or None,
    }


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the columns that no row fills."""
    full = [
        name
        for name in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(name) not in (None, "") for row in rows)
    ]
    return [{name: row.get(name) for name in full} for row in rows]


def _pair(ends: Any) -> tuple[Any, ...] | None:
    return None if ends is None else tuple(ends)


def _spoken(name: str) -> str:
    """As in "scores.kettle.f1": without the group, and with spaces."""
    return ", ".join(part.replace("_", " ") for part in name.split(".")[-2:])
