"""`task=simulate`: a household that nobody lives in, with the meters that few real ones have."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import pictures
from ..appliances import DEFAULT
from ..evaluate.days import Days, telling
from ..face import parts
from ..household import Household
from ..result import Piece
from ..write import power_file
from .disaggregate import made_up


def simulate(run: Any) -> None:
    """Write the household of ``simulate.*`` and ``seed``: Time, Aggregate and its appliances, W."""
    cfg = run.cfg
    house = made_up(cfg)
    path = run.samples / f"household.{cfg.format}"
    shown = Days(telling, 3)
    with power_file(path) as add:
        for part in parts(house):
            add(part.frame())
            shown.add(as_piece(part))
    mains = _kwh(house.mains, house)
    energies = {a.key: _kwh(house.parts[a.key], house) for a in DEFAULT}
    run.metric("energy_kwh", {"household": round(mains, 3)} | {key: round(kwh, 3) for key, kwh in energies.items()})
    run.report.facts({"home": cfg.seed, "days": f"{house.days:g}", "energy": f"{mains:.3g} kWh"})
    run.report.text(
        "A household that was made up",
        "Its appliances and habits are drawn from the seed; another seed is another home. It knows the power of each "
        "appliance, so that what is found in its mains can be checked: "
        f"diffx run plugin=nilm data.file={path}",
    )
    days = [piece.household for piece in shown.in_order()]
    if days:
        caption = "Grey is everything else that is on: fridge, lights, cooking, laundry, heating."
        run.report.picture("Some of its days", pictures.parts(days, DEFAULT), caption)
    rows = [
        {"appliance": pictures.spoken(a), "energy (kWh)": round(energies[a.key], 2),
         "share of the household (%)": round(100 * energies[a.key] / max(mains, 1e-9), 1)}
        for a in DEFAULT
    ]  # fmt: skip
    run.report.table("Energy by appliance", rows, "The household's is that of the time in which its mains are known.")
    run.log(f"{house.days:g} days in {path}")


def as_piece(house: Household) -> Piece:
    """What is certain: the metered parts as the only member."""
    return Piece(house, DEFAULT, house.of([a.key for a in DEFAULT])[None], {})


def _kwh(power: np.ndarray, house: Household) -> float:
    return float(np.nansum(power, dtype=np.float64)) * house.period / 3.6e6
