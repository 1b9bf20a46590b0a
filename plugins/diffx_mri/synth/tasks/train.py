"""task=train: a codec and a prior of the scans of a BIDS folder."""

from __future__ import annotations

from diffx import tasks as core
from diffx.run import Run

from ..data import Latents, prepare


def train(run: Run) -> None:
    """Encode the scans of ``data.root`` and train on them; with ``from=`` go on from other weights with their codec."""
    cfg = run.cfg
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
