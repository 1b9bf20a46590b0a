"""`task=survey`: a folder of homes, one after the other, resumable."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from diffx.errors import DataError
from diffx.io.files import append_line, atomic, read_lines

from .. import report
from ..digest import Digest
from ..face import Disaggregator
from ..inputs import chosen
from .disaggregate import household

JOURNAL = "homes.jsonl"  # one line a home, in checkpoints/: what resume=true goes by
SUMMARY = "summary.csv"


def survey(run: Any) -> None:
    """Disaggregate every home of ``data.root``, a week in memory at a time.

    ``samples/<home>/`` has the files of a single one, and ``samples/summary.csv`` a row for each home and appliance. A
    home that cannot be read is listed as failed, and the others are done. After a kill ``resume=true`` goes on with the
    next home.
    """
    cfg = run.cfg
    face = Disaggregator.load(cfg.from_, cfg.device, cfg.extensions)
    journal = run.checkpoints / JOURNAL
    done = {entry["home"]: entry for entry in read_lines(journal)} if cfg.resume else {}
    if done:
        run.log(f"{len(done)} homes were done before, the rest follows")
    run.begin()
    rows: list[dict[str, Any]] = []
    for name, path in chosen(cfg).items():
        entry = done.get(name)
        if entry is None:
            folder = run.samples / name
            folder.mkdir(exist_ok=True)
            try:
                entry = {"home": name, "rows": summary(name, household(run, face, path, folder))}
            except DataError as error:
                entry = {"home": name, "rows": [], "failed": str(error)}
                folder.rmdir()
            append_line(journal, json.dumps(entry))
        if reason := entry.get("failed"):
            run.fail(name, reason)
        rows += entry["rows"]
        _write(run, rows)
    if not rows:
        raise DataError(f"{cfg.data.root}: no home in it that could be disaggregated")
    homes = list(dict.fromkeys(row["home"] for row in rows))
    run.metric("homes", len(homes))
    run.report.facts({"homes": len(homes), "samples": cfg.n})
    run.report.table("Homes", [_shown(row) for row in rows], _TABLE)


_TABLE = "Energy of each appliance while the mains were known, with its 90 % interval; share of the household's energy."


def summary(name: str, digest: Digest) -> list[dict[str, Any]]:
    """One row an appliance: home, appliance, days, known, kWh, kWh_low, kWh_high, mains_kWh, share, runs_a_day."""
    total, house = report.totals(digest), digest.last
    days = digest.periods * house.period / 86_400
    known = digest.known / max(digest.periods, 1)
    return [
        {"home": name, "appliance": key, "days": round(days, 2), "known": round(known, 3)}
        | {column: round(float(row[column]), 3) for column in ("kWh", "kWh_low", "kWh_high", "mains_kWh", "share")}
        | {"runs_a_day": round(float(row["runs_a_day"]), 2)}
        for key, row in total.iterrows()
    ]


def _write(run: Any, rows: list[dict[str, Any]]) -> None:
    """The summary as far as it goes."""
    if rows:
        with atomic(run.samples / SUMMARY) as part:
            pd.DataFrame(rows).to_csv(part, index=False)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "home": row["home"],
        "appliance": row["appliance"].replace("_", " "),
        "days": row["days"],
        "energy (kWh)": row["kWh"],
        "90 % interval": (row["kWh_low"], row["kWh_high"]),
        "share (%)": round(100 * row["share"], 1),
        "activations a day": row["runs_a_day"],
    }
