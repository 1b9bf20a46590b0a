"""task=evaluate: synthetic brains against the held-out scans of a BIDS folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.evaluation import Baseline, Figure, Goal, estimate
from diffx.noise import derive

from ...bids import Scan
from ..evaluate import figures, similarity, two_sample
from ..evaluate.drawing import draw, through_codec
from ..evaluate.figures import MEAN, Brains
from ..evaluate.measures import Measures, Readings
from ..evaluate.report import pages
from ..evaluate.scans import Posed
from ..evaluate.sets import MOST, check_folder, parts, people, read_scans
from ..face import BrainSynth
from ..model import Person
from ..segmentation.kept import to_bytes
from ..segmentation.segment import dice
from ..segmentation.tissues import CLASSES

PAIRS = 24  # of which the mean structural similarity is taken


def evaluate(run: Any) -> None:
    """Draw as many brains as ``evaluate.n`` says, with the ages and sexes of the held-out scans, and compare.

    Every figure stands beside what real scans get against real scans, and beside its baseline, what the mean brain of
    the same ages and sexes gets. Raises UsageError, DataError.
    """
    cfg = run.cfg
    check_folder(cfg)
    synth = BrainSynth.load(cfg.from_, cfg.device, cfg.extensions)
    measures = Measures.load(cfg.evaluate.measures)
    posed = read_scans(run, synth.codec)
    measures.check(posed.images.shape[1:])
    rest, held, known = parts(posed.scans, cfg.seed)
    if not known:
        run.flag(
            "participants.tsv holds out too few scans, or trains on too few: one half is compared with the other, and "
            "memorisation is not tested"
        )
    train, held_out = posed[rest], posed[held]
    drawn = draw(run, synth, people(held_out.scans, cfg.evaluate.n or min(len(held), MOST), cfg.seed))
    means = torch.cat([synth.codec.decode(synth.codec.expected([p.age], [p.sex])) for p in drawn.people])
    sources: dict[str, tuple[np.ndarray, Sequence[Person | Scan]]] = {
        "synthetic": (drawn.images, drawn.people),
        "held out": (held_out.images, held_out.scans),
        "train": (train.images, train.scans),
        MEAN: (to_bytes(means.float().cpu().numpy()), drawn.people),
    }
    if cfg.evaluate.ceiling:
        sources["codec"] = (through_codec(run, synth, held_out), held_out.scans)
    sets = describe(run, measures, sources, posed.affine)
    others: dict[str, Brains] = {name: sets[name] for name in (MEAN, "codec") if name in sets}
    run.metric("n_real", len(held))
    run.metric("n_synth", len(drawn.people))
    goal = Goal(high=20, wanted="at most 20 s on 2 cores")
    run.metric("seconds_per_volume", Figure(drawn.seconds, unit="s", better="lower", goal=goal, title="time a brain"))
    run.metric("encoder_sha256", measures.encoder_sha256)
    for name, figure in figures.distances(sets["synthetic"], sets["held out"], sets["train"], others, cfg.seed).items():
        run.metric(name, figure)
        if name.startswith("frechet"):
            run.metric(f"{name}_floor", figure.real_vs_real)
    alike(run, {name: images for name, (images, _) in sources.items() if name != "train"})
    told_apart(run, posed, drawn.images, sources[MEAN][0])
    conditions(run, sets)
    segmenter(run, sets["held out"].readings, held_out)
    mirrored = similarity.pixels(train.images, mirrored=True)
    if known:
        memorised(run, sets, mirrored)
    pages(run, synth, sets, drawn, held_out, train, torch.cat([sets["train"].pixels, mirrored]))


def describe(
    run: Any, measures: Measures, sources: Mapping[str, tuple[np.ndarray, Sequence[Person | Scan]]], affine: np.ndarray
) -> dict[str, Brains]:
    """What the figures are made of, for each set of brains: images and whose they are; one of them is "train"."""
    with run.progress(sum(len(images) for images, _ in sources.values()), "measuring", unit="brain") as bar:
        read = {name: measures.read(images, affine, bar.advance) for name, (images, _) in sources.items()}
    coarse = {name: similarity.pixels(images) for name, (images, _) in sources.items()}
    scores = dict(zip(coarse, similarity.principal(coarse["train"], *coarse.values())[1:], strict=True))
    return {
        name: Brains(
            torch.tensor([np.nan if p.age is None else p.age for p in who], dtype=torch.float64),
            torch.tensor([np.nan if p.sex is None else float(p.sex == "M") for p in who], dtype=torch.float64),
            read[name],
            similarity.histograms(images),
            similarity.spectra(images),
            coarse[name],
            scores[name],
        )
        for name, (images, who) in sources.items()
    }


def alike(run: Any, images: dict[str, np.ndarray]) -> None:
    """Mean MS-SSIM between brains of one set: synthetic ones should be as unlike as real ones, no more and no less."""
    found = {}
    with run.progress(len(images) * PAIRS, "comparing pairs", unit="pair") as bar:
        for name, some in images.items():
            values, first = similarity.pair_similarities(some, PAIRS, run.cfg.seed, bar.advance)
            pairs = {"pairs": len(values)}
            found[name] = estimate(lambda v: float(v.mean()), values, groups=first, seed=run.cfg.seed, facts=pairs)
    baselines = [Baseline(name, found[name].value) for name in (MEAN, "codec") if name in found]
    run.metric("ms_ssim_synth", replace(found["synthetic"], real_vs_real=found["held out"].value, baselines=baselines))
    run.metric("ms_ssim_real", found["held out"])


def told_apart(run: Any, posed: Posed, synthetic: np.ndarray, mean: np.ndarray) -> None:
    """Whether a network tells patches of the synthetic brains from those of scans, training scans among them."""
    seed, n = run.cfg.seed, min(len(synthetic), len(posed) // 2)
    order = sorted(range(len(posed)), key=lambda i: derive(seed, "told apart", posed.scans[i].subject))
    real, others = posed.images[order[:n]], posed.images[order[n : 2 * n]]
    with run.progress(4 * two_sample.STEPS, "telling patches apart") as bar:
        figure = two_sample.against(real, others, {"synthetic": synthetic, MEAN: mean}, seed, bar.advance)
    run.metric("two_sample_accuracy", figure)


def conditions(run: Any, sets: dict[str, Brains]) -> None:
    """Whether age and sex show in the synthetic brains as they do in the real ones."""
    found = {name: figures.ages(brains, run.cfg.seed) for name, brains in sets.items()}
    real, synthetic = found["held out"], found["synthetic"]
    if not real:
        run.flag("fewer than 4 held-out scans have an age: no figure about age is given")
    goals = figures.age_goals(synthetic, real) if real else {}
    titles = {"age_mae": "error of the age read back", "ventricle_age_r": "correlation of ventricles with age"}
    for name, own in real.items():
        run.metric(f"{name}_synth", replace(
            _beside(synthetic[name], own, found[MEAN].get(name)), goal=goals.get(name), title=titles.get(name, "")
        ))  # fmt: skip
        if name.startswith("ventricle") and name in found["train"]:  # of age_*: the regression was fitted to these
            run.metric(f"{name}_train", found["train"][name])
        if name == "age_mae":
            middle = sets["train"].ages.nanmean()
            trivial = Baseline("mean age", float((sets["held out"].ages - middle).abs().nanmean()))
            own = replace(own, baselines=[trivial])
        run.metric(f"{name}_real", own)
    differences = {name: figures.sex_difference(brains, run.cfg.seed) for name, brains in sets.items()}
    true, made = differences["held out"], differences["synthetic"]
    if true is None or made is None:
        run.flag("fewer than 2 men or 2 women are held out: no figure about sex is given")
        return
    run.metric("brain_volume_sex_diff_synth", _beside(made, true, differences[MEAN]))
    run.metric("brain_volume_sex_diff_real", true)
    if differences["train"]:
        run.metric("brain_volume_sex_diff_train", differences["train"])


def _beside(own: Figure, real: Figure, mean: Figure | None) -> Figure:
    """A figure of the synthetic brains with that of the real ones and of the mean brains."""
    baselines = () if mean is None else (Baseline(MEAN, mean.value),)
    return replace(own, real_vs_real=real.value, n_real=real.n, baselines=baselines)


def memorised(run: Any, sets: dict[str, Brains], mirrored: Tensor) -> None:
    """The audit, in features and in pixels; an alarm is flagged, and copies as what they are."""
    audits = figures.memorisation(sets["synthetic"], sets["train"], sets["held out"], sets[MEAN], mirrored)
    for name, (found, told) in audits.items():
        for key, value in told.items():
            run.metric(key, value)
        run.log(f"{name}: {found}")
        if found.copies:
            run.flag(f"{name}: {len(found.copies)} synthetic brains are nearer to a training scan than chance allows")
        elif found.alarm:
            run.flag(
                f"{name}: more synthetic brains than chance allows lie nearer to a training scan than held-out ones"
            )


def segmenter(run: Any, found: Readings, held_out: Posed) -> None:
    """The segmenter's Dice on the held-out scans that have a region map."""
    labelled = np.flatnonzero(held_out.labelled)
    if len(labelled):
        scores = np.stack([dice(found.tissues[i], held_out.tissues[i]) for i in labelled])
        for k, name in enumerate(CLASSES[1:]):
            own = Figure(float(np.nanmean(scores[:, k])), n=len(labelled), better="higher")
            run.metric(f"segmenter_dice_{name.replace(' ', '_')}", own)
