"""Volumes of mri_synth's brains: beside those of training scans, and of ventricles beside the size asked for.

python benchmarks/mri_volumes.py ROOT --people 30 --seeds 1

ROOT: the BIDS folder the weights were trained on. So many people of ages and sexes of its training scans are drawn, and
three people with ventricles of five sizes each, by so many seeds. The shipped segmenter measures brains and scans. 18 s
a brain on two cores, and 5 s a scan that is not posed yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from diffx.config import resolve
from diffx.evaluation import estimate
from diffx_mri import BrainSynth, Person
from diffx_mri.synth.config import SynthConfig
from diffx_mri.synth.evaluate.sets import parts, posed_scans
from diffx_mri.synth.model import Brain
from diffx_mri.synth.segmentation.kept import STEP
from diffx_mri.synth.volumetry import ventricle_volume

SIZES = (-2.0, -1.0, 0.0, 1.0, 2.0)
ASKED = ((25, "F"), (50, "M"), (75, "F"))
GROUPS = {"under 35": (0, 35), "35 to 65": (35, 65), "over 65": (65, 200)}


def measured(brain: Brain) -> tuple[float, float]:
    """Litres of what is not background, fluid in the brain among it, and ml of ventricle."""
    assert brain.tissues is not None
    return brain.litres, ventricle_volume(brain.tissues, brain.affine)


def rows(age: np.ndarray, women: np.ndarray, brain: np.ndarray, ml: np.ndarray) -> dict[str, str]:
    """Figures of people by name."""

    def spread(x: np.ndarray) -> str:
        return f"{x.mean():.2f} ({x.std(ddof=1):.2f})"

    groups = [ml[(age >= low) & (age < high)] for low, high in GROUPS.values()]
    r = estimate(lambda a, v: float(np.corrcoef(a, v)[0, 1]), age, ml)
    low, high = r.interval or (np.nan, np.nan)
    about = np.log(ml) - np.polyval(np.polyfit(age, np.log(ml), 2), age)
    return {
        "people": str(len(age)),
        "brain volume, women / men: mean (sd), l": f"{spread(brain[women])} / {spread(brain[~women])}",
        f"ventricle volume, {' / '.join(GROUPS)}: mean (people), ml": " / ".join(
            f"{g.mean():.1f} ({len(g)})" if len(g) else "- (0)" for g in groups
        ),
        "correlation of ventricle volume with age (95 % of resamplings)": f"{r.value:.2f} ({low:.2f} to {high:.2f})",
        "standard deviation of log ventricle volume; about its curve over age": f"{np.log(ml).std(ddof=1):.2f}; "
        f"{about.std(ddof=3):.2f}",
    }


def drawn(synth: BrainSynth, people: list[Person]) -> np.ndarray:
    """Litres of brain and ml of ventricle of people, [N, 2]."""
    found = []
    for brain in synth.brains(people):
        found.append(measured(brain))
        print(f"{brain.person}: {found[-1][0]:.2f} l, {found[-1][1]:.1f} ml", flush=True)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1, help="people of each of the sizes")
    asked = parser.parse_args()
    synth = BrainSynth.load()

    people = [Person(a, s, seed, v) for a, s in ASKED for seed in range(1, asked.seeds + 1) for v in SIZES]
    ml = drawn(synth, people)[:, 1].reshape(len(ASKED), asked.seeds, len(SIZES)).mean(1)
    wanted = [[synth.millilitres(Person(a, s, ventricles=v)) for v in SIZES] for a, s in ASKED]
    cfg = resolve(SynthConfig, overrides=["plugin=mri_synth", f"data.root={asked.root}"])
    posed = posed_scans(cfg, synth.codec)
    train, _, _ = parts(posed.scans)
    train = [i for i in train if posed.scans[i].age is not None and posed.scans[i].sex is not None]
    segment = synth.segmenter
    assert segment is not None
    ages, sexes = (np.array([getattr(posed.scans[i], k) for i in train]) for k in ("age", "sex"))
    scans = (scan * np.float32(STEP) for scan in posed.images[train])
    real = np.array([measured(Brain(Person(), scan, posed.affine, 0.0, segment(scan))) for scan in scans])
    pick = np.random.default_rng(0).permutation(len(train))[: asked.people]
    found = drawn(synth, [Person(float(ages[i]), str(sexes[i]), 100 + k) for k, i in enumerate(pick)])
    ours, theirs = (
        rows(ages[own].astype(float), sexes[own] == "F", *of.T)
        for own, of in ((pick, found), (np.arange(len(train)), real))
    )
    print("\n| | synthetic | real |\n|---|---|---|")
    for name, value in ours.items():
        print(f"| {name} | {value} | {theirs[name]} |")
    print("\n| ml asked for, measured | " + " | ".join(f"{size:+g}" for size in SIZES) + " |\n" + "|---" * 6 + "|")
    for (age, sex), want, have in zip(ASKED, wanted, ml, strict=True):
        cells = " | ".join(f"{a:.1f}, {b:.1f}" for a, b in zip(want, have, strict=True))
        print(f"| {'women' if sex == 'F' else 'men'} of {age} | {cells} |")


if __name__ == "__main__":
    main()
