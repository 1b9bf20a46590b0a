"""`task=learn`: the network of scores, from a folder of known complexes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from diffx.errors import DataError
from diffx.evaluation import Baseline, Figure
from diffx.io import checkpoint
from diffx.noise import derive

from ..denoising import MISSED, STATE, Lesson, held_out, learn
from ..diffusion import save_scores
from ..families import families, folds, triples
from ..known import known_complexes, read_known
from ..pack import packed
from ..receptor import read_receptor
from ..score import ScoreNetwork
from ..sites import pocket_of

_JUDGED, _POSES = 60, 20  # complexes left out, and noised poses of each, that judge the network


def learn_scores(run: Any) -> None:
    """Pack the complexes of ``data.root``, train on all but one part of their families, and write the weights.

    Packed complexes are kept in ``checkpoints/packed``, and training goes on with ``resume=true``. The weights name
    the complexes that were learnt, so that ``task=train`` can rank by what the network says of others.
    """
    cfg = run.cfg
    names, part = parted(run)
    if len(np.unique(part)) < 2:
        raise DataError(f"{cfg.data.root}: all proteins are of one family, so that none can be left out")
    judged = [name for name, own in zip(names, part, strict=True) if own == 0][:_JUDGED]
    others = lessons_of(run, judged, "packing those left out")
    lessons = lessons_of(run, [name for name, own in zip(names, part, strict=True) if own != 0], "packing")
    with torch.random.fork_rng():
        torch.manual_seed(derive(cfg.seed, "scores") % 2**31)
        network = ScoreNetwork(**vars(cfg.score))
    run.log(f"{len(lessons)} complexes to learn from; {int((part == 0).sum())} of other families left out")
    run.begin()
    facts = {"plugin": cfg.plugin, "net": vars(cfg.score), "seed": cfg.seed}
    state = run.checkpoints / STATE
    done = checkpoint.read_meta(state)["step"] if cfg.resume and state.exists() else 0
    with run.progress(cfg.learn.steps, "learning scores", done) as bar:

        def told(step: int, losses: Any) -> None:
            run.record(step, **{f"loss_{leaf}": value for leaf, value in losses.items()})
            bar.advance(step - bar.done, loss=sum(losses.values()) / len(losses))

        tensors = learn(
            network, lessons, cfg.learn, cfg.learn.poses, cfg.seed, run.checkpoints, facts, cfg.resume, told
        )
    learnt = [one.name for one in lessons]
    path = run.checkpoints / "weights.safetensors"
    save_scores(path, tensors, vars(cfg.score), {"learnt": learnt, "step": cfg.learn.steps, "seed": cfg.seed})
    own, without = held_out(network, others, _POSES, cfg.seed)
    for leaf, value in own.items():
        beside = [Baseline("no network", without[leaf])]
        run.metric(f"loss_{leaf}", Figure(value, n=len(others), better="lower", baselines=beside))
    run.log(f"weights: {path}")


def parted(run: Any) -> tuple[list[str], np.ndarray]:
    """The complexes that can be read, and which part [n] each is in: families of proteins stay whole."""
    cfg, pockets = run.cfg, {}
    names = known_complexes(cfg.data.root)[: cfg.data.first or None]
    for name, known in read_known(cfg.data.root, names):
        try:
            if isinstance(known, DataError):
                raise known
            pockets[name] = triples(pocket_of(read_receptor(known.protein), known.box))
        except DataError as error:
            run.fail(name, error)
    return list(pockets), folds(families(list(pockets.values())), cfg.learn.parts, cfg.seed)


def lessons_of(run: Any, names: list[str], label: str) -> list[Lesson]:
    """Packed complexes of which a conformer comes near the truth; those that cannot be read are listed as failed."""
    cfg, found = run.cfg, []
    for name in run.progress(names, label, unit="complex"):
        ((_, known),) = read_known(cfg.data.root, [name])
        try:
            if isinstance(known, DataError):
                raise known
            one = packed(known, cfg.seed, run.checkpoints / "packed" / f"{name}.safetensors")
            found += [Lesson.of(one)] if one.rmsd <= MISSED else []
        except DataError as error:
            run.fail(name, error)
    return found
