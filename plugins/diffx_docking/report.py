"""Pages on docked ligands and on screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import viewer
from .result import Docking
from .validity import OWN

VIEW = (
    "Green: the pose. Pale blue: residues within 5 Å; violet: cofactors and metals; dashed: hydrogen bonds. Click a "
    "rank to see its pose; drag to turn, scroll to zoom. The viewer is 3Dmol.js and needs no network."
)
CONFIDENCE = (
    "Confidence is the probability that the pose lies within 2 Å of where the ligand is in a crystal, calibrated on "
    "proteins that the network never saw, with the pocket given. Energy is Vina's scoring function, computed here."
)
ENERGY = "Poses are ranked by energy: Vina's scoring function, computed here."


def docked(
    run: Any,
    shown: Sequence[Docking],
    rows: Sequence[Mapping[str, str]],
    ligands: int,
    seconds: float,
    weights: Mapping[str, Any] | None,
) -> None:
    """The page of ``task=dock``: poses in the pocket, and the table of all ranks."""
    first, best = shown[0], shown[0].poses[0]
    facts: dict[str, Any] = {"ligands": ligands, "poses searched": first.searched}
    if ligands == 1:
        facts |= {"ligand": first.name, "energy": f"{best.energy:.1f} kcal/mol"}
        if best.confidence is not None:
            facts["confidence"] = f"{100 * best.confidence:.0f} %"
    run.report.facts(facts | {"time": f"{seconds:.1f} s"})
    run.report.embed("Poses in the pocket", viewer.page(shown), viewer.HEIGHT, VIEW)
    table = [_row(row) for row in rows if row["name"] in {docking.name for docking in shown}]
    run.report.table("Ranks", table, f"{CONFIDENCE if weights else ENERGY} {judged_by(first)}")
    if weights:
        run.report.table("Weights", _weights(weights))


def screened(
    run: Any, rows: Sequence[Mapping[str, Any]], best: Sequence[Docking], failed: int, weights: Mapping[str, Any] | None
) -> None:
    """The page of ``task=screen``: the hits, and the best of this session in the pocket."""
    run.report.facts(
        {"ligands": len(rows), "failed": failed, "best energy": f"{rows[0]['energy_kcal_mol']:.1f} kcal/mol"}
    )
    if best:
        run.report.embed("The lowest energies", viewer.page(best), viewer.HEIGHT, VIEW)
    caption = (
        "By energy, the lowest first. Large ligands have low energies whatever they are: look at the energy per heavy "
        "atom as well. No energy here is a measured affinity. "
    )
    run.report.table("Hits", [dict(row) for row in rows[:100]], caption + (CONFIDENCE if weights else ENERGY))
    if weights:
        run.report.table("Weights", _weights(weights))


def judged_by(docking: Docking) -> str:
    """Who says whether poses are valid, in a sentence; nothing where nobody does."""
    if not docking.judge:
        return ""
    line = f"Validity is judged by {docking.judge}."
    if docking.judge == OWN:
        line = (
            "Validity: the plugin's own geometry checks (bonds and stereo of the conformer, no clash within the ligand "
            "or with the receptor), which are fewer than PoseBusters'."
        )
    return line


def _row(row: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {"ligand": row["name"], "rank": int(row["rank"])}
    if "confidence" in row:
        out["confidence"] = float(row["confidence"])
    out["energy (kcal/mol)"] = float(row["energy_kcal_mol"])
    if "rmsd_to_reference" in row:
        out["RMSD to the reference (Å)"] = float(row["rmsd_to_reference"])
    if "valid" in row:
        out |= {"valid": "yes" if row["valid"] == "true" else "no", "failed checks": row["failed_checks"]}
    return out | {"file": row["file"]}


def _weights(weights: Mapping[str, Any]) -> list[dict[str, Any]]:
    facts = {
        "weights": weights.get("name"),
        "networks": weights.get("members"),
        "trained on": f"{weights['complexes']} complexes" if "complexes" in weights else None,
        "licence": weights.get("licence", "that of the training data"),
    }
    return [{"": name, "value": value} for name, value in facts.items()]
