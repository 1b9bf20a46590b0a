"""`task=train`: the networks that rank poses, from a folder of known complexes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.metrics import reliability
from diffx.noise import derive

from ..confidence import Calibration, Confidence
from ..descriptors import NAMES
from ..diffusion import load_scores, scores_file
from ..families import families, folds
from ..kept import digest, question
from ..known import chosen, read_known
from ..opinions import OPINIONS
from ..pictures import reliability_picture
from ..ranking import Ranker
from ..score import ScoreNetwork
from ..training import SUCCESS, Example, calibrated, example, fit, load_example, save_example


def train(run: Any) -> None:
    """Dock the complexes of ``data.root``, fit networks to the poses, calibrate them, and write the weights.

    Complexes that the network of scores learnt from are left out, where it is asked. Docked complexes are kept in
    ``checkpoints/``, so that ``resume=true`` goes on with the next one. Families of proteins are left out in turn; what
    networks say of families that they did not see gives the calibration and the figures of ``metrics.json``. The
    networks that are written are then fitted to all complexes.
    """
    cfg = run.cfg
    examples = docked(run)
    part = folds(families([one.triples for one in examples]), cfg.ranking.folds, cfg.seed)
    logits = left_out(run, examples, part)
    calibration = calibrated(logits, examples)
    members = [_fit(run, examples, k, f"network {k + 1} of {cfg.ranking.members}") for k in range(cfg.ranking.members)]
    network = {"hidden": cfg.ranking.hidden, "dropout": cfg.ranking.dropout}
    path = run.checkpoints / "weights.safetensors"
    meta = {"net": network, "complexes": len(examples), "search": vars(cfg.search), "seed": cfg.seed}
    Confidence(members, calibration, {}).save(path, meta)
    judge(run, examples, logits, calibration)
    run.log(f"weights: {path}")


def docked(run: Any) -> list[Example]:
    """The examples of all complexes that can be read; those that cannot are listed as failed."""
    cfg = run.cfg
    folder = run.checkpoints
    needed = cfg.ranking.network or cfg.search.guidance != "energy"
    network, learnt = asked_of(cfg.scores) if needed else (None, frozenset())
    names = [name for name in chosen(cfg.data, cfg.seed) if name not in learnt]
    asked = question(cfg.search, cfg.seed, cfg.scores)
    facts = {**asked, "opinions": digest(cfg.scores) if cfg.ranking.network else None}
    facts["descriptors"] = [*NAMES, *(OPINIONS if cfg.ranking.network else ())]  # another version may have others
    run.begin()
    found = []
    for name in run.progress(names, "docking", unit="complex"):
        path = folder / f"docked-{name}.safetensors"
        one = load_example(path, facts)
        if one is None:
            ((_, known),) = read_known(cfg.data.root, [name])
            try:
                if isinstance(known, DataError):
                    raise known
                one = example(known, cfg.search, asked, folder / "searched", network, cfg.ranking.network)
            except DataError as error:
                run.fail(name, error)
                continue
            save_example(path, one, facts)
        found.append(one)
    if len(found) < 2 * cfg.ranking.folds:
        raise DataError(f"{cfg.data.root}: {len(found)} complexes are too few to train on")
    return found


def asked_of(scores: str | None) -> tuple[ScoreNetwork, frozenset[str]]:
    """The network of scores, and the complexes that it learnt from: what it says of those is too good to rank by."""
    path = scores_file(scores)
    return load_scores(path), frozenset(checkpoint.read_meta(path)["learnt"])


def left_out(run: Any, examples: list[Example], part: np.ndarray) -> list[torch.Tensor]:
    """Logits of the searched poses of each example, by networks that saw none of its family."""
    if len(np.unique(part)) < 2:
        raise DataError(f"{run.cfg.data.root}: all proteins are of one family, so that none can be left out")
    logits: list[torch.Tensor] = [torch.zeros(0)] * len(examples)
    for k in np.unique(part):
        seen = [one for one, own in zip(examples, part, strict=True) if own != k]
        ranker = _fit(run, seen, 1000 + int(k), f"fold {k + 1}")
        for i in np.flatnonzero(part == k):
            with torch.no_grad():
                logits[i] = ranker(examples[i].descriptors)
    return logits


def judge(run: Any, examples: list[Example], logits: list[torch.Tensor], calibration: Calibration) -> None:
    """Figures on families that were left out: the first pose by confidence and by energy, and the reliability."""
    off = [one.rmsd.numpy() for one in examples]
    order = [z.argsort(descending=True).numpy() for z in logits]
    top1 = np.array([r[k[0]] < SUCCESS for r, k in zip(off, order, strict=True)])
    said = np.array([float(calibration(z.max())) for z in logits])
    known = reliability(said, top1.astype(float), bins=8)
    figures = {
        "top1_2A": float(top1.mean()),
        "top1_2A_by_energy": float(np.mean([r[0] < SUCCESS for r in off])),
        "top5_2A": float(np.mean([r[k[:5]].min() < SUCCESS for r, k in zip(off, order, strict=True)])),
        "oracle_2A": float(np.mean([r.min() < SUCCESS for r in off])),
        "calibration_error": known.error,
        "n": len(examples),
    }
    run.metric("left_out", figures)
    run.report.facts({"complexes": len(examples), "first pose right": f"{100 * figures['top1_2A']:.0f} %"})
    run.report.picture(
        "Reliability on families left out", reliability_picture(known),
        "Confidence of the first-ranked pose against how often it was within 2 Å, on proteins that were left out.",
    )  # fmt: skip


def _fit(run: Any, examples: list[Example], member: int, label: str) -> Ranker:
    cfg = run.cfg
    with run.progress(cfg.train.steps, label) as bar:

        def told(step: int, loss: float) -> None:
            bar.advance(loss=loss)
            if step % cfg.train.log_every == 0:
                run.record(step, **{f"loss_{label.replace(' ', '_')}": loss})

        return fit(examples, cfg.ranking, cfg.train, derive(cfg.seed, "member", member), told)
