"""task=train: a codec and a prior of the scans of a BIDS folder, or a stage of the cascade."""

from __future__ import annotations

from diffx import tasks as core
from diffx.run import Run

from ..data import Latents, prepare, stage_crops


def train(run: Run) -> None:
    """Encode the scans of ``data.root`` and train on them; with ``from=`` go on from other weights with their codec.

    With ``stage=`` a stage of the cascade is trained instead, on crops of the scans in the pose of ``pose=``.
    """
    cfg = run.cfg
    if cfg.stage:
        crops, facts = stage_crops(cfg, fail=run.fail, progress=run.progress, log=run.log, flag=run.flag)
        run.report.facts({"training scans": len(crops["train"].brains)})
        core.train(run, None, facts, crops)
        return
    codec, packed = prepare(cfg, run.log, run.fail, run.flag)
    rows = [packed.rows[i] for i in packed.select("train")]
    ages = [row["age"] for row in rows if row["age"] is not None]
    run.report.facts({"training scans": len({(r["subject"], r["session"]) for r in rows})})
    tensors, facts = codec.to_tensors()
    if codec.people:  # of whom the trend knows, where few scans are added
        ages += [codec.people["ages"][0], codec.people["ages"][-1]]
    meta = {"codec": facts, "ages": [min(ages), max(ages)] if ages else None}
    splits = {split: Latents(packed, packed.select(split), codec) for split in ("train", "val")}
    core.train(run, tensors, meta, splits)
