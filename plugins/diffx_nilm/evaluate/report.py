"""The page on how well households were disaggregated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import pictures
from ..result import Piece
from . import charts as compare_charts
from .days import misplaced
from .figures import TITLES
from .trials import OURS, Judged, Trial

Figures = Mapping[str, Mapping[str, Any]]  # method -> figure -> number

COLUMNS = {
    "mae": "MAE (W)", "mae_interval": "MAE, 95 %", "f1": "F1", "f1_interval": "F1, 95 %",
    "average_precision": "average precision", "precision": "precision", "recall": "recall",
    "sae": "SAE", "teca": "TECA", "nde": "NDE", "match_rate": "match rate", "crps": "CRPS (W)",
}  # fmt: skip
_TABLE = (
    "{days} days with {n:,} metered periods of {period:g} s. MAE: mean absolute error of the median. F1, precision and "
    "recall: on means above {threshold:g} W. Average precision: over all thresholds of the "
    "probability, or of a baseline's power. SAE: relative error of the total energy. TECA and match rate: higher is "
    "better, at most 1. NDE and CRPS: lower is better. The 95 % intervals come from resampled days of these homes."
)


def write(
    run: Any,
    judged: Sequence[Judged],
    pooled: Mapping[str, Trial],
    figures: Mapping[str, Figures],
    each: Mapping[str, Mapping[str, Figures]],
    worst: Sequence[Piece],
) -> None:
    """All sections: figures by appliance, calibration, the houses apart, the worst days."""
    report = run.report
    report.facts(_headline(judged, figures) | {"samples": run.cfg.n})
    report.picture(
        "Beside the baselines",
        compare_charts.methods(pooled, figures),
        "Mean absolute error (lower is better) and F1 (higher is better), with 95 % intervals from resampled days. "
        "Always off has no F1.",
    )
    for key, trial in pooled.items():
        own = figures[key][OURS]
        caption = _TABLE.format(
            days=own["n_days"], n=own["n_samples"], period=trial.period, threshold=trial.appliance.threshold
        )
        report.table(pictures.titled(trial.appliance), [_row(name, of) for name, of in figures[key].items()], caption)
    report.picture(
        "Reliability and interval coverage",
        compare_charts.calibration(list(pooled.values()), [of[OURS] for of in figures.values()]),
        CALIBRATION,
    )
    report.table("Intervals", [_held(pooled[key], of[OURS]) for key, of in figures.items()], _INTERVALS)
    if len(judged) > 1:
        rows = [_house(pooled[key], house, of) for house in judged for key, of in each[house.name].items()]
        report.table("House by house", rows, "The same figures of each house alone.")
    if worst:
        report.table("The worst days", [_day(day, judged) for day in worst], _WORST)
    for day in worst:
        name, start = day.household.name, day.household.start
        report.picture(f"{name}, {start:%A} {start.day} {start:%B %Y}", pictures.closeup(day), _CLOSEUP)


CALIBRATION = (
    "Left, reliability: how often an appliance was on among all the times that the samples gave it some probability of "
    "being on. Right, coverage: the share of the metered power inside intervals of each level, counted where the meter "
    "or the interval is above the threshold. Small dots: the samples' own intervals; large dots: as widened by the "
    "calibration of the weights. On the dashed line the calibration is perfect."
)
_INTERVALS = (
    "Share of the truth inside the intervals: of power, in periods where the meter or the interval is above the "
    "threshold; of energy, on the days of which at least half is known."
)
_WORST = "Misplaced energy: what the estimate gives to times when the meter shows less, and what it misses, added up."
_CLOSEUP = "The household, and each appliance: the estimate with its bands above the line, the meter below it."


def _headline(judged: Sequence[Judged], figures: Mapping[str, Figures]) -> dict[str, Any]:
    names = [house.name for house in judged]
    facts: dict[str, Any] = {"houses": ", ".join(names) if len(names) < 4 else len(names)}
    facts["days of known mains"] = round(sum(house.known for house in judged), 1)
    for name, title in (("mae", "smallest MAE of all methods"), ("f1", "largest F1 of all methods")):
        best = sum(_leads(of, name) for of in figures.values())
        facts[title] = f"{best} of {len(figures)} appliances"
    return facts


def _leads(figures: Figures, name: str) -> bool:
    """Whether our figure is at least as good as everybody's."""
    sign = -1 if name == "mae" else 1
    own = figures[OURS][name]
    others = [of[name] for method, of in figures.items() if method != OURS and of[name] is not None]
    return own is not None and all(sign * own >= sign * other for other in others)


def _row(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": TITLES.get(name, name)}
    for key, title in COLUMNS.items():
        row[title] = _short(figures.get(key), 2 if key in ("mae", "mae_interval", "crps") else 3)
    return row


def _held(trial: Trial, figures: Mapping[str, Any]) -> dict[str, Any]:
    raw = trial.coverage()
    return {
        "appliance": pictures.spoken(trial.appliance),
        "power, 50 %": _percent(figures["coverage50"]),
        "the samples' own": _percent(raw.get(0.5)),
        "power, 90 %": _percent(figures["coverage90"]),
        "the samples' own ": _percent(raw.get(0.9)),
        "energy of a day, 90 %": _percent(figures["energy_coverage90"]),
    }


def _house(trial: Trial, house: Judged, figures: Figures) -> dict[str, Any]:
    row: dict[str, Any] = {"house": house.name, "appliance": pictures.spoken(trial.appliance)}
    row["days"] = figures[OURS]["n_days"]
    for name in figures:
        row[f"MAE (W), {TITLES.get(name, name)}"] = _short(figures[name]["mae"], 2)
    for name in figures:
        if name != "always_off":
            row[f"F1, {TITLES.get(name, name)}"] = _short(figures[name]["f1"], 3)
    for name, title in (("coverage90", "power within 90 %"), ("energy_coverage90", "days within 90 %")):
        row[title] = _percent(figures[OURS][name])
    return row


def _day(day: Piece, judged: Sequence[Judged]) -> dict[str, Any]:
    row: dict[str, Any] = {"house": day.household.name} if len(judged) > 1 else {}
    row |= {"day": f"{day.household.start:%Y-%m-%d}", "misplaced energy (kWh)": round(misplaced(day) / 1000, 2)}
    hours = day.household.period / 3600
    for a, appliance in enumerate(day.appliances):
        if appliance.key in day.household.parts:
            known = day.household.parts[appliance.key] == day.household.parts[appliance.key]
            said, was = day.median[a][known], day.household.parts[appliance.key][known]
            row[f"{pictures.spoken(appliance)}: estimate"] = round(float(said[said == said].sum()) * hours / 1000, 2)
            row[f"{pictures.spoken(appliance)}: metered"] = round(float(was.sum()) * hours / 1000, 2)
    return row


def _short(value: Any, digits: int) -> Any:
    if isinstance(value, list):
        return tuple(round(end, digits) for end in value)
    return round(value, digits) if isinstance(value, float) else value


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.0f} %"
