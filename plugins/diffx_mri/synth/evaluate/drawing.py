"""The brains of an evaluation: those drawn beside the held-out scans, and these scans through the codec."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ...derivatives import DerivativesWriter
from ...volume import Volume
from ..checks import check
from ..config import SPACE, SPACE_SAID, WEIGHTS
from ..face import BrainSynth
from ..model import Person
from ..segmentation.kept import to_bytes
from ..segmentation.tissues import CLASSES
from .scans import Posed, prepared

SWEEP = (25.0, 40.0, 55.0, 70.0, 80.0)


@dataclass
class Drawn:
    """Synthetic brains as bytes [N, X, Y, Z] and whom they were drawn for; `sweep`, one person at the ages of SWEEP;
    `way`: predictions of the first brain's latent from noise on; seconds a brain."""

    images: np.ndarray
    people: list[Person]
    sweep: np.ndarray
    way: list[tuple[int, Tensor]]
    seconds: float


def draw(run: Any, synth: BrainSynth, whom: list[Person]) -> Drawn:
    """Draw a brain for each, written as a BIDS-derivatives folder, and one person at five ages."""
    cfg = run.cfg
    out = DerivativesWriter(run.samples, "Synthetic T1-weighted brains", SPACE, SPACE_SAID)
    way: list[tuple[int, Tensor]] = []
    images: list[np.ndarray] = []
    seconds: list[float] = []
    with run.progress(len(whom) + len(SWEEP), "drawing brains", unit="brain") as bar:
        for brain in synth.brains(whom, cfg.sample, lambda step, z: way.append((step, z[:1].cpu()))):
            check(run, synth, brain)
            made = {"SkullStripped": True, "Weights": cfg.from_ or WEIGHTS, "Sampling": asdict(cfg.sample)}
            person = brain.person
            label = f"synth{len(images) + 1:03d}"
            volume = Volume(brain.data, brain.affine)
            out.write(label, volume, made, person.age, person.sex, person.seed, person.ventricles)
            if brain.tissues is not None:
                out.write_tissues(label, Volume(brain.tissues, brain.affine), CLASSES[1:])
            images.append(to_bytes(brain.data))
            seconds.append(brain.seconds)
            bar.advance()
        growing = [Person(age, whom[0].sex, cfg.seed) for age in SWEEP]
        sweep = []
        for brain in synth.brains(growing, cfg.sample):
            sweep.append(to_bytes(brain.data))
            bar.advance()
    return Drawn(np.stack(images), whom, np.stack(sweep), way, float(np.mean(seconds)))


def through_codec(run: Any, synth: BrainSynth, held_out: Posed) -> np.ndarray:
    """The held-out scans encoded and decoded, as bytes: what a perfect prior would draw with this codec."""
    found = []
    for scan in run.progress(held_out.scans, "through the codec", unit="scan"):
        z, _ = synth.codec.encode([prepared(scan, synth.codec)])
        found.append(to_bytes(synth.codec.decode(z)[0].float().cpu().numpy()))
    return np.stack(found)
