"""task=sample: brains for an age, a sex and a size of the ventricles."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from diffx.run import Run

from ... import pictures
from ...derivatives import DerivativesWriter
from ...volume import Volume
from ..checks import check
from ..config import SPACE, SPACE_SAID, VOXELS, WEIGHTS
from ..denoising import TITLE, denoising
from ..face import BrainSynth
from ..model import Brain, Person
from ..segmentation.tissues import CLASSES
from ..volumetry import ventricle_volume

SHOWN = 8  # brains whose pictures the report holds


def sample(run: Run) -> None:
    """Draw ``n`` brains of ``age``, ``sex`` and ``ventricles`` with seeds ``seed``, ``seed + 1``, ... as BIDS
    derivatives."""
    cfg = run.cfg
    synth = BrainSynth.load(cfg.from_, cfg.device, cfg.extensions)
    people = [Person(cfg.age, cfg.sex, cfg.seed + i, cfg.ventricles) for i in range(cfg.n)]
    known = synth.meta.get("ages")
    if cfg.age is not None and known and not known[0] <= cfg.age <= known[1]:
        run.flag(f"age {cfg.age:g} lies outside the ages of the training set, {known[0]:.0f} to {known[1]:.0f} years")
    way: list[tuple[int, Tensor]] = []
    stages = drawn_by(synth, cfg)
    out = DerivativesWriter(run.samples, "Synthetic T1-weighted brains", SPACE, SPACE_SAID)
    shown: list[Brain] = []  # the others are on the disk alone
    rows: list[dict[str, Any]] = []
    seconds, litres = [], []
    with run.progress(len(people), "drawing brains", unit="brain") as bar:
        for brain in synth.brains(people, cfg.sample, lambda step, z: way.append((step, z[:1].cpu())), cfg.voxel):
            check(run, synth, brain)
            label, person = f"synth{len(rows) + 1:03d}", brain.person
            made = {
                "SkullStripped": not synth.codec.whole_head,
                "Weights": cfg.from_ or WEIGHTS,
                "Sampling": {**asdict(cfg.sample), "stages": stages},
            }
            volume = Volume(brain.data, brain.affine)
            path = out.write(label, volume, made, person.age, person.sex, person.seed, person.ventricles)
            if brain.tissues is not None:
                out.write_tissues(label, Volume(brain.tissues, brain.affine), CLASSES[1:])
            run.log_only(f"{path.name}: seed {person.seed}, {brain.litres:.2f} l, {brain.seconds:.1f} s")
            rows.append(row(f"sub-{label}", synth, brain))
            seconds.append(brain.seconds)
            litres.append(brain.litres)
            if len(shown) < SHOWN:
                shown.append(brain)
            bar.advance()
    run.metric("seconds_per_volume", float(np.mean(seconds)))
    run.metric("brain_volume_litres", float(np.mean(litres)))
    report(run, synth, shown, rows, way, run.metrics["seconds_per_volume"])


def drawn_by(synth: BrainSynth, cfg: Any) -> list[str]:
    """The stages of the cascade that draw voxels of the edge that is asked for."""
    return synth.named_stages(cfg.sample) + ([cfg.sample.fine] if cfg.voxel == VOXELS[1] else [])


def row(name: str, synth: BrainSynth, brain: Brain) -> dict[str, Any]:
    """A line of the report."""
    person, tissues = brain.person, brain.tissues
    measured = None if tissues is None else round(ventricle_volume(tissues, brain.affine), 1)
    asked = synth.millilitres(person)
    return {
        "file": name,
        "age asked": person.age,
        "sex asked": person.sex,
        "ventricles asked (sd)": person.ventricles,
        "asked (ml)": None if asked is None else round(asked, 1),
        "measured (ml)": measured,
        "seed": person.seed,
        "brain volume (l)": round(brain.litres, 3),
        "seconds": round(brain.seconds, 1),
    }


def caption(person: Person) -> str:
    """As in "F, 70 y, seed 1"."""
    age = f"{person.age:g} y" if person.age is not None else None
    return ", ".join(filter(None, [person.sex, age, f"seed {person.seed}"]))


def report(
    run: Run, synth: BrainSynth, shown: list[Brain], rows: list[dict[str, Any]], way: list[tuple[int, Tensor]],
    seconds: float,
) -> None:  # fmt: skip
    """Pictures of the brains `shown`, what was asked for of all, and how it was made."""
    cfg = run.cfg
    affine = shown[0].affine
    run.report.facts(
        {
            "brains": len(rows),
            "asked for": caption_of_request(cfg),
            "grid": " x ".join(map(str, shown[0].data.shape)) + f" at {shown[0].affine[0, 0]:g} mm",
            "seconds a brain": round(seconds, 1),
        }
    )
    run.report.picture(
        "Synthetic brains",
        pictures.grid([b.data for b in shown], [affine] * len(shown), [caption(b.person) for b in shown]),
        "Axial, coronal and sagittal slices through the centre of mass. "
        "No such person exists: these are samples of a model of healthy brains, not for diagnosis.",
    )
    run.report.picture(TITLE, *denoising(synth, way, shown[0].data))
    run.report.table(
        "Brains",
        rows,
        "What was asked for, drawn by the seed where it was left open. Ventricles: standard deviations from what is "
        "usual for the age and sex, the volume that makes, and what the segmenter of task=evaluate finds. Brain "
        "volume: voxels that are not background; skull-stripped T1w includes inner fluid spaces.",
    )
    training = {
        "weights": cfg.from_ or WEIGHTS,
        "stages": ", ".join(drawn_by(synth, cfg)) or "none",
        "trained for": f"{synth.meta.get('step', 0)} steps",
        "training scans": synth.codec.facts.get("brains"),
        "licence": synth.meta.get("licence", "that of the training data"),
    }
    run.report.table("Weights", [{"": k, "value": v} for k, v in training.items()])


def caption_of_request(cfg: Any) -> str:
    """As in "F, 70 y, ventricles +2 sd"."""
    size = f"ventricles {cfg.ventricles:+g} sd" if cfg.ventricles is not None else None
    wanted = [cfg.sex, f"{cfg.age:g} y" if cfg.age is not None else None, size]
    return ", ".join(filter(None, wanted)) or "any age, any sex"
