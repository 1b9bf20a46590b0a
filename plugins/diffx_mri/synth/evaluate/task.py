"""task=evaluate: synthetic brains against the held-out scans of a BIDS folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.errors import UsageError

from ...bids import Scan
from ...derivatives import DerivativesWriter
from ...volume import Volume
from ..face import WEIGHTS, BrainSynth, Person
from ..tasks import SPACE, SPACE_SAID, check
from . import figures, similarity
from .figures import Brains
from .measures import Measured, Measures
from .page import pages
from .scans import Posed, prepared, to_bytes
from .segment import dice
from .sets import MOST, parts, people, read_scans
from .tissues import CLASSES

PAIRS = 24  # of which the mean structural similarity is taken
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


def evaluate(run: Any) -> None:
    """Draw as many brains as ``evaluate.n`` says, with the ages and sexes of the held-out scans, and compare.

    Every figure stands beside its floor, what real scans get against real scans, and its baseline, what the mean brain
    of the same ages and sexes gets. Raises UsageError, DataError.
    """
    cfg = run.cfg
    if not cfg.data.root:
        raise UsageError("data.root= says which BIDS folder of T1w scans to compare with")
    synth = BrainSynth.load(cfg.from_, cfg.device, cfg.extensions)
    measures = Measures.load(cfg.evaluate.measures)
    posed = read_scans(run, synth.codec)
    measures.check(posed.images.shape[1:])
    rest, held, known = parts(posed.scans, cfg.seed)
    if not known:
        run.flag("nearly all scans are of one split: half of them stand in for the training set, nothing is audited")
    train, held_out = posed[rest], posed[held]
    drawn = draw(run, synth, people(held_out.scans, cfg.evaluate.n or min(len(held), MOST), cfg.seed))
    means = torch.cat([synth.codec.decode(synth.codec.expected([p.age], [p.sex])) for p in drawn.people])
    sources: dict[str, tuple[np.ndarray, Sequence[Person | Scan]]] = {
        "synthetic": (drawn.images, drawn.people),
        "held out": (held_out.images, held_out.scans),
        "train": (train.images, train.scans),
        "baseline": (to_bytes(means.float().cpu().numpy()), drawn.people),
    }
    if cfg.evaluate.ceiling:
        sources["codec"] = (through_codec(run, synth, held_out), held_out.scans)
    sets = describe(run, measures, sources, posed.affine)
    others: dict[str, Brains] = {name: sets[name] for name in ("baseline", "codec") if name in sets}
    run.metric("n_real", len(held))
    run.metric("n_synth", len(drawn.people))
    run.metric("seconds_per_volume", drawn.seconds)
    run.metric("encoder_sha256", measures.encoder_sha256)
    for name, figure in figures.distances(sets["synthetic"], sets["held out"], sets["train"], others, cfg.seed).items():
        run.metric(name, figure)
        if name.startswith("frechet"):
            run.metric(f"{name}_floor", figure["floor"])
    alike(run, {name: images for name, (images, _) in sources.items() if name != "train"})
    conditions(run, sets)
    segmenter(run, sets["held out"].measured, held_out)
    mirrored = similarity.pixels(train.images, mirrored=True)
    if known:
        memorised(run, sets, mirrored)
    pages(run, synth, sets, drawn, held_out, train, torch.cat([sets["train"].pixels, mirrored]))


def describe(
    run: Any, measures: Measures, sources: Mapping[str, tuple[np.ndarray, Sequence[Person | Scan]]], affine: np.ndarray
) -> dict[str, Brains]:
    """What the figures are made of, for each set of brains: images and whose they are; one of them is "train"."""
    with run.progress(sum(len(images) for images, _ in sources.values()), "measuring", unit="brain") as bar:
        measured = {name: measures.measure(images, affine, bar.advance) for name, (images, _) in sources.items()}
    coarse = {name: similarity.pixels(images) for name, (images, _) in sources.items()}
    scores = dict(zip(coarse, similarity.principal(coarse["train"], *coarse.values())[1:], strict=True))
    return {
        name: Brains(
            torch.tensor([np.nan if p.age is None else p.age for p in who], dtype=torch.float64),
            torch.tensor([np.nan if p.sex is None else float(p.sex == "M") for p in who], dtype=torch.float64),
            measured[name],
            similarity.histograms(images),
            similarity.spectra(images),
            coarse[name],
            scores[name],
        )
        for name, (images, who) in sources.items()
    }


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


def alike(run: Any, images: dict[str, np.ndarray]) -> None:
    """Mean MS-SSIM between brains of one set: synthetic ones should be as unlike as real ones, no more and no less."""
    found = {}
    with run.progress(len(images) * PAIRS, "comparing pairs", unit="pair") as bar:
        for name, some in images.items():
            found[name] = similarity.pair_similarities(some, PAIRS, run.cfg.seed, bar.advance)

    def figure(values: Tensor, **more: float) -> dict[str, Any]:
        error = 1.96 * float(values.std()) / len(values) ** 0.5
        middle = float(values.mean())
        return {"value": middle, "interval": [middle - error, middle + error], **more, "pairs": len(values)}

    others = {name: float(found[name].mean()) for name in ("baseline", "codec") if name in found}
    run.metric("ms_ssim_synth", figure(found["synthetic"], floor=float(found["held out"].mean()), **others))
    run.metric("ms_ssim_real", figure(found["held out"]))


def conditions(run: Any, sets: dict[str, Brains]) -> None:
    """Whether age and sex show in the synthetic brains as they do in the real ones."""
    seed = run.cfg.seed
    real, synthetic = (figures.ages(sets[name], seed) for name in ("held out", "synthetic"))
    baseline, everyone = figures.ages(sets["baseline"], seed), figures.ages(sets["train"], seed)
    if not real:
        run.flag("fewer than 4 held-out scans have an age: no figure about age is given")
    for name in real:
        floor = {"floor": real[name]["value"], "baseline": baseline[name]["value"]}
        run.metric(f"{name}_synth", {**synthetic[name], **floor})
        if name.startswith("ventricle") and name in everyone:  # of age_*: the regression was fitted to these
            run.metric(f"{name}_train", everyone[name])
        run.metric(f"{name}_real", real[name])
    if real:
        ages, middle = sets["held out"].ages, sets["train"].ages.nanmean()
        run.metrics["age_mae_real"]["baseline"] = float((ages - middle).abs().nanmean())
        run.metric("age_mae_real", run.metrics["age_mae_real"])
    differences = {name: figures.sex_difference(brains, seed) for name, brains in sets.items()}
    if differences["held out"] is None or differences["synthetic"] is None:
        run.flag("fewer than 2 men or 2 women are held out: no figure about sex is given")
        return
    floor = {"floor": differences["held out"]["value"], "baseline": (differences["baseline"] or {}).get("value")}
    run.metric("brain_volume_sex_diff_synth", {**differences["synthetic"], **floor, "unit": "l"})
    run.metric("brain_volume_sex_diff_real", {**differences["held out"], "unit": "l"})
    if differences["train"]:
        run.metric("brain_volume_sex_diff_train", {**differences["train"], "unit": "l"})


def memorised(run: Any, sets: dict[str, Brains], mirrored: Tensor) -> None:
    """The audit, in features and in pixels; an alarm is flagged, and copies as what they are."""
    audits = figures.memorisation(sets["synthetic"], sets["train"], sets["held out"], sets["baseline"], mirrored)
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


def segmenter(run: Any, found: Measured, held_out: Posed) -> None:
    """The segmenter's Dice on the held-out scans that have a region map."""
    labelled = np.flatnonzero(held_out.labelled)
    if len(labelled):
        scores = np.stack([dice(found.tissues[i], held_out.tissues[i]) for i in labelled])
        for k, name in enumerate(CLASSES[1:]):
            run.metric(f"segmenter_dice_{name.replace(' ', '_')}", {"value": float(np.nanmean(scores[:, k]))})
