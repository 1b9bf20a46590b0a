"""The page on a household that was disaggregated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from . import charts, pictures
from .digest import Digest

BANDS = (
    "The intervals are calibrated: widened until, in homes that the network never saw, nine in ten of them held what "
    "the meters said."
)
RAW = "The intervals are those of the samples: these weights have not been calibrated (task=calibrate)."
SIMULATED = (
    "No data.file was given, so this household is made up: a simulator drew its appliances and habits. The figures "
    "show what a report looks like, not how good the estimate is in real homes (diffx docs nilm says that)."
)
_KWH = ["kWh", "kWh_low", "kWh_high"]


def totals(digest: Digest) -> pd.DataFrame:
    """Energy of the whole time by appliance: kWh, kWh_low, kWh_high, share of the mains, runs_a_day.

    The ends of the days' intervals are added up, as if all days were wrong in the same way: what is mistaken in a home
    is mistaken every day, so this is cautious where samples of the total would be too sure.
    """
    table = digest.energies.table()
    by = table.groupby("appliance", sort=False)
    out = by[_KWH].sum()
    out["share"] = out["kWh"] / by["mains_kWh"].sum()
    out["runs_a_day"] = digest.habits.a_day
    return out


def write(run: Any, digest: Digest, facts: Mapping[str, Any], weights: Mapping[str, Any], simulated: bool) -> None:
    """All sections; ``facts`` go to the top, ``weights`` to the end."""
    report = run.report
    figures = {
        a.key: digest.metered[a.key].figures(energy)
        for a, energy in zip(digest.appliances, digest.calibration.energies, strict=True)
        if a.key in digest.metered
    }
    whole, table = totals(digest), digest.energies.table()
    report.facts(_headline(digest, whole) | dict(facts))
    if simulated:
        report.text("A simulated household", SIMULATED)
    calibrated = bool(weights.get("calibration"))
    caption = f"Expected energy and its 90 % interval. {BANDS if calibrated else RAW} The total's adds up "
    caption += "those of the days, as if all days were wrong in the same way."
    report.table("Energy by appliance", _energy_rows(digest, whole), caption)
    days = digest.days.list()
    if days:
        _pictures(report, digest, table, days)
    if figures:
        metered = [digest.metered[key] for key in figures]
        report.picture(
            "Can it be trusted here?",
            charts.honesty(metered, list(figures.values())),
            "Against the household's own meters. Left: of all the time that an appliance was called on with some "
            "probability, how often it was; on the dashed line what is said comes true. Right: how much of the metered "
            "power (while on) and of the days' energies lies within the intervals; the line is what they promise.",
        )
        report.table("Beside the meters", [_figure_row(digest, key, of) for key, of in figures.items()], _FIGURES)
    if digest.notes:
        notes = [note.removeprefix(f"{digest.first.name}: ") for note in digest.notes] if digest.first else []
        report.text("How the data was read", "; ".join(notes) + ".")
    report.table("Weights", _weights(weights, calibrated))


_FIGURES = (
    "Mean absolute error; F1, the balance of found and false periods on; share of active periods, and of days' "
    "energies, inside of the 90 % interval. diffx docs nilm defines them."
)


def _headline(digest: Digest, whole: pd.DataFrame) -> dict[str, Any]:
    assert digest.first is not None
    begin, end = digest.first.start, digest.last.index[-1]
    date = f"{begin.day} {begin:%B} {begin.year}"
    if begin.date() != end.date():
        date = f"{begin.day} {begin:%b}{f' {begin.year}' * (begin.year != end.year)} – {end.day} {end:%b %Y}"
    mains = _mains(digest)
    return {
        "household": digest.first.name,
        "time": date,
        "mains known": f"{100 * digest.known / digest.periods:.3g} %",
        "household energy": f"{mains:.3g} kWh",
        f"of which {len(digest.appliances)} appliances": f"{100 * whole['kWh'].sum() / max(mains, 1e-9):.0f} %",
    }


def _energy_rows(digest: Digest, whole: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for appliance in digest.appliances:
        own = whole.loc[appliance.key]
        row = {"appliance": pictures.spoken(appliance), "energy (kWh)": round(own["kWh"], 2)}
        row["90 % interval"] = (round(own["kWh_low"], 2), round(own["kWh_high"], 2))
        row["share of the household (%)"] = round(100 * own["share"], 1)
        row["runs a day"] = round(own["runs_a_day"], 2)
        if appliance.key in digest.metered:
            meter = digest.metered[appliance.key]
            row["metered (kWh)"] = round(meter.totals[0] / 1000, 2)
            row["metered runs a day"] = round(float(meter.habits.a_day[0]), 2)
        rows.append(row)
    rest = {"appliance": "everything else", "energy (kWh)": round(_mains(digest) - whole["kWh"].sum(), 2)}
    return [*rows, {**rest, "share of the household (%)": round(100 * (1 - whole["share"].sum()), 1)}]


def _mains(digest: Digest) -> float:
    """kWh of the household while its mains were known."""
    return float(digest.energies.table().groupby("Date")["mains_kWh"].first().sum())


def _pictures(report: Any, digest: Digest, table: pd.DataFrame, days: list) -> None:
    appliances, metered = digest.appliances, digest.metered
    dots = " Dots are what the meters said." if metered else ""
    _, span = charts.spans(table, {})
    report.picture(
        f"Energy by {span}",
        charts.energy(table, appliances, {key: one.energy() for key, one in metered.items()}),
        f"Expected energy with 90 % intervals.{dots} Hatched: less than half of the day is known. What is not known "
        "is in none of the energies.",
    )
    below = " Below the line, on the same scale: what the meters said." if metered else ""
    report.picture(
        "The most telling days",
        pictures.days(days),
        "What the household drew, and the most likely power of each appliance, one on the other. Darkened: from 5 to "
        f"95 % of their sum, so a dark block is one that may not be there.{below}",
    )
    best = digest.days.best()
    assert best is not None
    report.picture(
        f"A closer look at {best.household.start:%A}",
        pictures.closeup(pictures.busiest(best)),
        "The busiest hours, appliance by appliance: median, and bands that hold the truth half and nine tenths of the "
        "time. Two bands in one place are a run that could be of either.",
    )
    lines = " The line is what the meters said." if metered else ""
    report.picture(
        "When they run",
        charts.habits(digest.habits.hours, appliances, {key: one.habits.hours[0] for key, one in metered.items()}),
        f"Minutes on that are expected in each hour of the day, over all days.{lines}",
    )


def _figure_row(digest: Digest, key: str, of: Mapping[str, float]) -> dict[str, Any]:
    appliance = next(a for a in digest.appliances if a.key == key)
    metered, expected = digest.metered[key].totals / 1000
    return {
        "appliance": pictures.spoken(appliance),
        "metered (kWh)": round(metered, 2),
        "estimate then (kWh)": round(expected, 2),
        "MAE (W)": _finite(of["mae"], 1),
        "F1": _finite(of["f1"], 2),
        "power within (%)": _finite(100 * of["coverage90"], 0),
        "days within (%)": _finite(100 * of["energy_coverage90"], 0),
        "days": of["n_days"],
    }


def _finite(value: float, digits: int) -> float | None:
    return round(value, digits) if value == value else None


def _weights(weights: Mapping[str, Any], calibrated: bool) -> list[dict[str, Any]]:
    rows = {
        "weights": weights.get("name"),
        "trained for": f"{weights['step']} steps" if "step" in weights else None,
        "bands": "calibrated" if calibrated else "the samples' own",
        "licence": weights.get("licence", "that of the training data"),
    }
    return [{"": name, "value": value} for name, value in rows.items()]
