"""`task=calibrate`: measure in metered houses how wide the bands have to be, and write weights that know it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from diffx.errors import UsageError
from diffx.io import checkpoint
from diffx.plugins.weights import resolve_weights

from ..data import chosen, metered
from ..evaluate.evidence import Evidence, calibrated, gather, has_days
from ..face import PLUGIN, Disaggregator
from ..household import Household


def calibrate(run: Any) -> None:
    """Disaggregate the last ``data.days`` days of metered houses, and widen the bands of ``from=`` accordingly.

    Bands are for homes that the network never saw. So the houses are those of ``data.root`` where it was trained on
    others; where it was trained on these, ``folds`` names weights that were not, and the house that each never saw.
    """
    cfg = run.cfg
    if not cfg.from_:
        raise UsageError("from= says which weights to calibrate")
    if 0 < cfg.data.days < 1:
        raise UsageError(f"data.days={cfg.data.days:g}: the bands of days' energies take whole days, 1 at least")
    found = list(chosen(cfg))
    source = resolve_weights(cfg.from_, PLUGIN)
    folds = [fold.rpartition("@")[::2] for fold in cfg.folds]
    if wrong := [fold for fold, (weights, house) in zip(cfg.folds, folds, strict=True) if not weights or not house]:
        raise UsageError(f"folds: {wrong[0]!r} is not weights@house")
    seen: list[dict[str, Evidence]] = []
    for weights, name in folds or [(source, name) for name in found]:
        face = Disaggregator.load(weights, cfg.device, cfg.extensions)
        cfg.data.houses = [name]
        for house in metered(cfg, face.appliances, run.log):
            run.log(f"{house.name}: {min(cfg.data.days or house.days, house.days):.0f} days with {weights}")
            opened = face.open(last(house, cfg.data.days), seed=cfg.seed)
            seen.append(gather(face.pieces(opened, cfg.n, cfg.seed, cfg.sample)))
    calibration = calibrated(seen, face.appliances)
    measured = [[each[a.key] for each in seen if a.key in each] for a in face.appliances]
    if short := [a.key for a, own in zip(face.appliances, measured, strict=True) if own and not has_days(own)]:
        run.flag(
            f"no day of {', '.join(short)} is known well enough: the intervals of its energies are the samples' own"
        )
    tensors, meta = checkpoint.load(source)
    meta |= {
        "calibration": calibration.to_json(),
        "calibrated_with": {"n": cfg.n, **asdict(cfg.sample)},
    }
    path = run.checkpoints / "weights.safetensors"
    checkpoint.save(path, tensors, meta)
    run.report.table(
        "Bands",
        [
            {"appliance": a.key, "level": level, "members' interval": b.level, "periods": b.reach, "widened by": b.gain}
            for a, bands in zip(face.appliances, calibration.bands, strict=True)
            for level, b in bands.items()
        ],
        "The least widening with which the intervals hold the share that they promise in these houses.",
    )
    run.log(f"weights: {path}")


def last(house: Household, days: float) -> Household:
    """The last ``days`` days of it; all of it for 0."""
    return house.last(days)[1] if days and house.days > days else house
