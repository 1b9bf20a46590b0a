"""The page on a household that was disaggregated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from . import charts, pictures
from .digest import Digest
from .evaluate import charts as compare_charts
from .evaluate import report as compare_report
from .householder import sentences

BANDS = (
    "The intervals are calibrated: they were widened until, in homes that the network never saw, nine in ten of them "
    "held the metered energy."
)
RAW = "The intervals are not calibrated: see the notes at the top."
SIMULATED = (
    "No data.file was given, so this household is simulated, with its appliances and habits. The figures show what a "
    "report looks like, not how good the estimate is in real homes; diffx docs results/nilm gives those figures."
)


def totals(digest: Digest) -> pd.DataFrame:
    """Energy of the whole time by appliance: kWh, kWh_low, kWh_high, share of the mains, runs_a_day.

    The interval is of the samples' totals, widened as the calibration says: intervals of days do not add up.
    """
    out = digest.energies.total()
    out["share"] = out["kWh"] / out["mains_kWh"]
    out["runs_a_day"] = digest.habits.a_day
    return out


def write(
    run: Any, digest: Digest, facts: Mapping[str, Any], weights: Mapping[str, Any], simulated: bool, calibrated: bool
) -> None:
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
    caption = "Expected energy of the whole time, and the 90 % interval of the samples' totals. "
    caption += BANDS if calibrated else RAW
    report.table("Energy by appliance", _energy_rows(digest, whole), caption)
    known = digest.known * digest.last.period / 86_400
    said = sentences(whole, digest.appliances, known, run.cfg.price, run.cfg.currency)
    report.text("In plain words", "\n\n".join([said.pop("rest"), *said.values()]))
    days = digest.days.in_order()
    if days:
        _pictures(report, digest, table, days)
    if figures:
        report.picture(
            "Reliability and interval coverage",
            compare_charts.calibration([digest.metered[key].trial for key in figures], list(figures.values())),
            compare_report.CALIBRATION,
        )
        report.table("Beside the meters", [_figure_row(digest, key, of) for key, of in figures.items()], _FIGURES)
    if digest.notes:
        notes = [note.removeprefix(f"{digest.first.name}: ") for note in digest.notes] if digest.first else []
        report.text("How the data was read", "; ".join(notes) + ".")
    report.table("Weights", _weights(weights, calibrated))


_FIGURES = (
    "MAE: mean absolute error. F1: balance of the periods on that are found and those that are false. Coverage: share "
    "of active periods, and of days' energies, inside the 90 % interval. diffx docs results/nilm defines all of them."
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
        row["activations a day"] = round(own["runs_a_day"], 2)
        if appliance.key in digest.metered:
            meter = digest.metered[appliance.key]
            row["metered (kWh)"] = round(meter.totals[0] / 1000, 2)
            row["metered activations a day"] = round(float(meter.habits.a_day[0]), 2)
        rows.append(row)
    rest = {"appliance": "everything else", "energy (kWh)": round(_mains(digest) - whole["kWh"].sum(), 2)}
    return [*rows, {**rest, "share of the household (%)": round(100 * (1 - whole["share"].sum()), 1)}]


def _mains(digest: Digest) -> float:
    """kWh of the household while its mains were known."""
    return float(digest.energies.table().groupby("Date")["mains_kWh"].first().sum())


def _pictures(report: Any, digest: Digest, table: pd.DataFrame, days: list) -> None:
    appliances, metered = digest.appliances, digest.metered
    dots = " Dots: metered." if metered else ""
    span = charts.span_of(table)
    report.picture(
        f"Energy by {span}",
        charts.energy(
            digest.energies.table(span), appliances, {key: one.energy() for key, one in metered.items()}, span
        ),
        f"Expected energy with 90 % intervals.{dots} Hatched: less than half of it is known. Times that are not known "
        "count for no energy.",
    )
    below = " Below the line, on the same scale: metered power." if metered else ""
    report.picture(
        "The most telling days",
        pictures.days(days),
        "The power of the household, and the most likely power of each appliance, stacked. Dark: from 5 to 95 % of "
        f"their sum, so a dark block is one that may not be there.{below}",
    )
    best = digest.days.ranked()[0]
    report.picture(
        f"A closer look at {best.household.start:%A}",
        pictures.closeup(pictures.busiest(best)),
        "The busiest hours, appliance by appliance: the median, and bands at the levels of 50 and 90 %. Where two "
        "appliances have a band at the same time, the activation could be of either.",
    )
    lines = " The line: metered." if metered else ""
    report.picture(
        "When they are used",
        charts.habits(digest.habits.hours, appliances, {key: one.habits.hours[0] for key, one in metered.items()}),
        f"Expected minutes on in each hour of the day, over all days.{lines}",
    )


def _figure_row(digest: Digest, key: str, of: Mapping[str, Any]) -> dict[str, Any]:
    appliance = next(a for a in digest.appliances if a.key == key)
    metered, expected = digest.metered[key].totals / 1000
    return {
        "appliance": pictures.spoken(appliance),
        "metered (kWh)": round(metered, 2),
        "estimate then (kWh)": round(expected, 2),
        "MAE (W)": _round(of["mae"], 1),
        "F1": _round(of["f1"], 2),
        "coverage of power (%)": _percent(of["coverage90"]),
        "coverage of days (%)": _percent(of["energy_coverage90"]),
        "days": of["n_days"],
    }


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _percent(share: float | None) -> int | None:
    return None if share is None else round(100 * share)


def _weights(weights: Mapping[str, Any], calibrated: bool) -> list[dict[str, Any]]:
    rows = {
        "weights": weights.get("name"),
        "trained for": f"{weights['step']} steps" if "step" in weights else None,
        "bands": "calibrated" if calibrated else "the samples' own",
        "licence": weights.get("licence", "that of the training data"),
    }
    return [{"": name, "value": value} for name, value in rows.items()]
