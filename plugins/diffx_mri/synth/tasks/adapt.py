"""task=adapt: weights for another scanner from a few of its scans, in closed form; no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.errors import DataError
from diffx.evaluation import Baseline, Figure
from diffx.pipeline import Pipeline

from ... import pictures
from ...codec import BrainCodec
from ...harmonisation import FEWEST, with_site
from ...pack import Packed
from ..config import PLUGIN, WEIGHTS
from ..data import prepare


def adapt(run: Any) -> None:
    """Move the appearance that ``from=`` draws to that of the scans of ``data.root``, as `site.with_site` says.

    The network, the shapes and what age and sex make of them stay. The weights can be drawn from, and trained on from.
    Raises DataError where fewer than 4 scans are not held out.
    """
    cfg = replace(run.cfg, from_=run.cfg.from_ or WEIGHTS)
    codec, packed = prepare(cfg, run.log, run.fail, run.flag)
    train, held = (unmirrored(packed, split) for split in ("train", "val"))
    if len(train) < FEWEST:
        raise DataError(f"{cfg.data.root}: {len(train)} scans to learn a scanner from; at least {FEWEST} are needed")
    path = run.checkpoints / "weights.safetensors"
    site, spread = adapted(cfg.from_, codec, departures(packed, train, codec), path)
    if held:
        own = departures(recoded(packed, codec, site), held, site)
        before, after = (departure(x, spread) for x in (departures(packed, held, codec), own))
        run.metric(
            "departure_held_out", Figure(after, real_vs_real=1.0, baselines=[Baseline("before", before)], n=len(held))
        )
        run.log(f"appearance of the held-out scans: {after:.2f} of what the network knows, {before:.2f} before")
    means = [c.decode(c.expected([None], [None]))[0] for c in (codec, site)]
    run.report.picture(
        "Mean brains",
        pictures.grid([m.cpu().numpy() for m in means], [codec.affine] * 2, ["before", f"of {len(train)} scans"]),
        "What these weights draw about, before and after.",
    )
    if site.tone is None:
        run.flag("no curve takes this contrast to that of the training scans: no stages draw, no segmenter reads")
    else:
        run.metric("tone_power", site.tone.power)
    run.log(f"weights: {path}")


def adapted(source: str | Path, codec: BrainCodec, x: Tensor, path: Path) -> tuple[BrainCodec, Tensor]:
    """Write the weights of `source` with their codec moved to the site of latents x (`site.with_site`).

    That codec, and the root mean square [3+K, *grid] of what the network learned.
    """
    pipeline = Pipeline.load(source, "cpu", plugin=PLUGIN)
    learned = getattr(pipeline.model.denoiser, "element_sigma_data", None)
    spread = torch.ones(codec.shape) if learned is None else learned.float()
    tensors, facts = with_site(codec, x, spread).to_tensors()
    found = BrainCodec.from_tensors(tensors, facts)
    alone: dict[str, Any] = {} if found.tone else {"stages": []}  # stages know the contrast of one scanner
    pipeline.save(path, {"codec": facts, **alone}, tensors)
    return found, spread


def unmirrored(packed: Packed, split: str) -> list[int]:
    """The scans of a split, without their mirror images."""
    return [i for i in packed.select(split) if not packed.rows[i]["flipped"]]


def departures(packed: Packed, index: list[int], codec: BrainCodec) -> Tensor:
    """Latents [N, 3+K, *grid] of scans, less what is expected of each age and sex."""
    rows = [packed.rows[i] for i in index]
    return packed.z[index].float() - codec.expected([r["age"] for r in rows], [r["sex"] for r in rows])


def recoded(packed: Packed, codec: BrainCodec, site: BrainCodec) -> Packed:
    """Latents of one codec as those of another that differs in mean and deviation alone."""
    z = (packed.z.float() * codec.deviation + codec.mean - site.mean) / site.deviation
    return replace(packed, z=z.to(packed.z.dtype))


def departure(x: Tensor, spread: Tensor) -> float:
    """Root mean square of the appearance in latents x [N, 3+K, *grid], over that of what the network learned."""
    return float((x[:, 3:].square().mean() / spread[3:].square().mean()).sqrt())
