"""`task=disaggregate`: the parts of a household's power, in files and on a page."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffx.errors import UsageError

from .. import report
from ..calibration import uncalibrated
from ..config import PowerSampling
from ..data import options_of
from ..digest import Digest
from ..face import WEIGHTS, Disaggregator, Source
from ..householder import sentences, write_page
from ..simulate import simulate
from ..write import power_file, write_energy

UNKNOWN = 0.5  # share of the time without mains above which a result says little
SURPLUS = 0.01  # share of the time in which parts may be more than the whole before somebody should look


def disaggregate(run: Any) -> None:
    """Disaggregate ``data.file``, or a simulated household, into ``samples/power.*`` and ``samples/energy.csv``."""
    cfg = run.cfg
    face = Disaggregator.load(cfg.from_, cfg.device, cfg.extensions)
    source: Source = cfg.data.file or made_up(cfg)
    began = time.perf_counter()
    digest = household(run, face, source, run.samples)
    doubt = uncalibrated(face.meta, cfg.n, asdict(cfg.sample), asdict(PowerSampling()))
    flag(run, digest, doubt)
    measure(run, digest, time.perf_counter() - began)
    weights = {"name": cfg.from_ or WEIGHTS, **face.meta}
    report.write(run, digest, {"samples": cfg.n}, weights, not cfg.data.file, not doubt)


def household(run: Any, face: Disaggregator, source: Source, folder: Path) -> Digest:
    """Disaggregate one household into ``power.*``, ``energy.csv`` and ``householder.html`` of a folder."""
    cfg = run.cfg
    opened = face.open(source, options_of(cfg, face.appliances), usage_of(cfg, face), seed=cfg.seed, say=run.log)
    digest = Digest(face.appliances, face.calibration)
    done = 0
    with (
        power_file(folder / f"power.{cfg.format}") as add,
        run.progress(max(round(opened.days), 1), "disaggregating", unit="day") as bar,
    ):
        for piece in face.pieces(opened, cfg.n, cfg.seed, cfg.sample):
            add(piece.frame())
            digest.add(piece)
            days = round(digest.periods * face.period / 86_400)
            bar.advance(days - done)
            done = days
    write_energy(folder / "energy.csv", digest.energies.table())
    known = digest.known * face.period / 86_400
    said = sentences(report.totals(digest), face.appliances, known, cfg.price, cfg.currency)
    assert digest.first is not None
    write_page(folder / "householder.html", said, f"What {digest.first.name} used")
    return digest


def made_up(cfg: Any) -> Any:
    """The simulated household of ``simulate.*``."""
    asked = cfg.simulate
    return simulate(asked.days, cfg.seed, asked.start, cfg.data.period, cfg.data.timezone, asked.missing)


def usage_of(cfg: Any, face: Disaggregator) -> dict[str, float]:
    """Activations a day by appliance, as far as ``usage`` says. UsageError where it is not one for each."""
    keys = [a.key for a in face.appliances]
    if cfg.usage and len(cfg.usage) != len(keys):
        raise UsageError(f"usage: {len(cfg.usage)} given, and these weights know {len(keys)}: {', '.join(keys)}")
    return dict(zip(keys, cfg.usage, strict=False))


def flag(run: Any, digest: Digest, doubt: str) -> None:
    """What the user must know before believing the result; ``doubt``: why the intervals are not calibrated, or ""."""
    house = digest.first
    assert house is not None
    days = digest.periods * house.period / 86_400
    if not run.cfg.data.file:
        run.flag("no data.file was given: this household is simulated")
    if digest.known < (1 - UNKNOWN) * digest.periods:
        run.flag(f"the mains are not known {100 * (1 - digest.known / digest.periods):.0f} % of the time")
    if days < 1:
        run.flag(f"{24 * days:.1f} hours are little: habits and daily energies take at least a day")
    if house.power == "apparent":
        run.flag("the mains are apparent power (VA); the network learnt active power (W), motors will look larger")
    if digest.broken:
        run.flag(f"{digest.broken} periods with known mains have no estimate")
    if digest.surplus > SURPLUS * max(digest.known, 1):
        share = 100 * digest.surplus / digest.known
        run.flag(
            f"the appliances' power exceeds the household's {share:.0f} % of the time: are these really the mains?"
        )
    if doubt:
        run.flag(doubt)


def measure(run: Any, digest: Digest, seconds: float) -> None:
    """Final figures: energies with 90 % intervals, activations a day, and scores where there are meters."""
    whole = report.totals(digest)
    run.metric(
        "energy_kwh",
        {
            key: {"value": round(row.kWh, 3), "interval90": [round(row.kWh_low, 3), round(row.kWh_high, 3)]}
            for key, row in whole.iterrows()
        },
    )
    run.metric("runs_a_day", {key: round(value, 2) for key, value in whole["runs_a_day"].items()})
    scores = {}
    for appliance, energy in zip(digest.appliances, digest.calibration.energies, strict=True):
        if appliance.key in digest.metered:
            figures = digest.metered[appliance.key].figures(energy)
            shown = ("mae", "f1", "coverage90")
            scores[appliance.key] = {name: figures[name] for name in shown if figures[name] is not None}
    if scores:
        run.metric("beside_meters", scores)
    if digest.first is not None:
        run.metric("seconds_per_day", seconds / max(digest.periods * digest.first.period / 86_400, 1e-9))
