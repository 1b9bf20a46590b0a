"""What was sampled beside what was metered: that from which bands are calibrated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..appliances import Appliance
from ..calibration import LEVELS, Calibration, fit_band, fit_decision, fit_energy
from ..result import Piece
from .scores import Score


@dataclass(frozen=True)
class Evidence:
    """Of one appliance in one house: ``members`` [M, T] and ``truth`` [T], W; of its days ``energies`` [M, D] and
    ``metered`` [D], Wh."""

    members: np.ndarray
    truth: np.ndarray
    energies: np.ndarray
    metered: np.ndarray


def gather(pieces: Iterable[Piece]) -> dict[str, Evidence]:
    """Evidence by appliance, of those that were metered in a house; members are kept in half precision."""
    members: dict[str, list[np.ndarray]] = {}
    truth: dict[str, list[np.ndarray]] = {}
    scores: dict[str, Score] = {}
    for piece in pieces:
        house = piece.household
        day = house.index.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
        for a, appliance in enumerate(piece.appliances):
            if (metered := house.parts.get(appliance.key)) is None:
                continue
            score = scores.setdefault(appliance.key, Score(appliance.threshold, house.period))
            score.add(metered, piece.members[:, a], day)
            members.setdefault(appliance.key, []).append(piece.members[:, a].astype(np.float16))
            truth.setdefault(appliance.key, []).append(metered)
    found = {}
    for key, score in scores.items():
        days = list(score.days().values())
        energies = np.stack([of for _, of in days], axis=1) if days else np.zeros((len(members[key][0]), 0))
        metered = np.array([energy for energy, _ in days])
        found[key] = Evidence(np.concatenate(members[key], axis=1), np.concatenate(truth[key]), energies, metered)
    return found


def calibrated(houses: Sequence[dict[str, Evidence]], appliances: Sequence[Appliance]) -> Calibration:
    """The calibration that all houses together speak for.

    An appliance that none metered keeps the members' bands, and one without a whole day their intervals of energy.
    """
    plain = Calibration.none(len(appliances))
    bands, energies, decisions = list(plain.bands), list(plain.energies), list(plain.decisions)
    for a, appliance in enumerate(appliances):
        own = [house[appliance.key] for house in houses if appliance.key in house]
        if not own:
            continue
        pieces = [(each.members.astype(np.float32), each.truth) for each in own]
        decisions[a] = fit_decision(pieces, appliance)
        bands[a] = {level: fit_band(pieces, appliance, level) for level in LEVELS}
        if has_days(own):
            energies[a] = fit_energy(
                np.concatenate([each.energies for each in own], axis=1), np.concatenate([each.metered for each in own])
            )
    return Calibration(tuple(bands), tuple(energies), tuple(decisions))


def has_days(own: Iterable[Evidence]) -> bool:
    """Whether any day of an appliance is known well enough to compare its energy."""
    return any(len(each.metered) for each in own)
