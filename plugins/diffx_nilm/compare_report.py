"""The page on how well households were disaggregated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import compare_charts, pictures
from .compare import OURS, Trial, misplaced
from .result import Piece

if TYPE_CHECKING:
    from .tasks.evaluate import Judged

Figures = Mapping[str, Mapping[str, Any]]  # method -> figure -> number

TITLES = {OURS: "diffx", "always_off": "always off", "gbm": "gradient boosting", "seq2point": "seq2point"}
COLUMNS = {
    "mae": "MAE (W)", "mae_interval": "MAE, 95 %", "f1": "F1", "f1_interval": "F1, 95 %", "precision": "precision",
    "recall": "recall", "sae": "SAE", "teca": "TECA", "nde": "NDE", "match_rate": "match rate", "crps": "CRPS (W)",
}  # fmt: skip
_TABLE = (
    "Over {days} days with {n:,} metered periods of {period:g} s. MAE: mean absolute error of the median. F1, "
    "precision, recall: on above {threshold:g} W. SAE: relative error of the total energy. TECA, match rate: the more "
    "the better, to 1; NDE, CRPS: the less. 95 %: from resampled days, for these homes."
)


def write(
    run: Any,
    judged: Sequence[Judged],
    pooled: Mapping[str, Trial],
    figures: Mapping[str, Figures],
    each: Mapping[str, Mapping[str, Figures]],
    worst: Sequence[Piece],
) -> None:
    """All sections: figures by appliance, honesty, the houses apart, the worst days."""
    report = run.report
    report.facts(_headline(judged, figures) | {"samples": run.cfg.n})
    report.picture(
        "Beside the baselines",
        compare_charts.methods(pooled, figures, TITLES),
        "Mean absolute error (the less the better) and F1 (the more the better); lines are 95 % intervals from "
        "resampled days. Always off has no F1.",
    )
    for key, trial in pooled.items():
        own = figures[key][OURS]
        caption = _TABLE.format(
            days=own["n_days"], n=own["n_samples"], period=trial.period, threshold=trial.appliance.threshold
        )
        report.table(pictures.titled(trial.appliance), [_row(name, of) for name, of in figures[key].items()], caption)
    report.picture(
        "Can the uncertainty be trusted?",
        compare_charts.honesty(list(pooled.values()), [of[OURS] for of in figures.values()]),
        "Left: of all the time that an appliance was called on with some probability, how often it was. Right: how "
        "much of the metered power, where meter or interval is above the threshold, lies within intervals of a level: "
        "those of the samples themselves (line), and calibrated (large). On the dashed line what is said comes true.",
    )
    report.table("Intervals", [_honest(pooled[key], of[OURS]) for key, of in figures.items()], _INTERVALS)
    if len(judged) > 1:
        rows = [_house(pooled[key], house, of) for house in judged for key, of in each[house.name].items()]
        report.table("House by house", rows, "The same figures of each house alone.")
    if worst:
        report.table("The worst days", [_day(day, judged) for day in worst], _WORST)
    for day in worst:
        name, start = day.household.name, day.household.start
        report.picture(f"{name}, {start:%A} {start.day} {start:%B %Y}", pictures.closeup(day), _CLOSEUP)


_INTERVALS = (
    "Share of the truth that calibrated intervals hold: of power, in periods where meter or interval is above the "
    "threshold; of energy, of the days that are known for half at least."
)
_WORST = "Energy that the medians put where, by the meters, it was not, or left out where it was."
_CLOSEUP = "Household, and each appliance: median and bands above the line, what its meter said below."


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


def _honest(trial: Trial, figures: Mapping[str, Any]) -> dict[str, Any]:
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
    row |= {"day": f"{day.household.start:%Y-%m-%d}", "misplaced (kWh)": round(misplaced(day) / 1000, 2)}
    hours = day.household.period / 3600
    for a, appliance in enumerate(day.appliances):
        if appliance.key in day.household.parts:
            known = day.household.parts[appliance.key] == day.household.parts[appliance.key]
            said, was = day.median[a][known], day.household.parts[appliance.key][known]
            row[f"{pictures.spoken(appliance)}: said"] = round(float(said[said == said].sum()) * hours / 1000, 2)
            row[f"{pictures.spoken(appliance)}: metered"] = round(float(was.sum()) * hours / 1000, 2)
    return row


def _short(value: Any, digits: int) -> Any:
    if isinstance(value, list):
        return tuple(round(end, digits) for end in value)
    return round(value, digits) if isinstance(value, float) else value


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.0f} %"
