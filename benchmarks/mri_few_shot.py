"""Brains of another scanner by leave-out: mri_synth as it ships, through one intensity curve, and after task=adapt.

python benchmarks/mri_few_shot.py ROOT --folds 3 --out few_shot

ROOT: a BIDS folder of T1w scans of one other scanner, with brain masks, ages and sexes; its split is not looked at. The
scans of each fold are judged by, those of the others are learned from; brains of the ages and sexes of all are pooled.
Half of the brains are compared with the scans of the other half of the people, 40 times: mean and central 95 %. What is
there already is not made again. Eight minutes of CPU for 12 scans.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from diffx.config import resolve
from diffx.io.checkpoint import read_meta
from diffx.io.files import atomic
from diffx.metrics import frechet_distance
from diffx.metrics.resample import permutation
from diffx.plugins.weights import resolve_weights
from diffx_mri import BrainSynth, pictures
from diffx_mri.codec import BrainCodec
from diffx_mri.synth.config import BrainSampling, SynthConfig
from diffx_mri.synth.data import prepare
from diffx_mri.synth.evaluate import similarity
from diffx_mri.synth.evaluate.measures import Measures
from diffx_mri.synth.evaluate.scans import read_posed
from diffx_mri.synth.model import Person
from diffx_mri.synth.segmentation.kept import STEP, to_bytes
from diffx_mri.synth.tasks.adapt import adapted, departures

HALVES = 40  # random halves of the people


class Bench:
    """The scans of the site, encoded and posed once, and the brains that each way draws for their ages and sexes."""

    def __init__(self, root: Path, source: str, folds: int, out: Path):
        self.source, self.out, self.count = resolve_weights(source, "mri_synth"), out, folds
        out.mkdir(parents=True, exist_ok=True)
        words = ["plugin=mri_synth", f"from={source}", f"data.root={root}", f"data.cache={out / 'cache'}"]
        self.codec, self.packed = prepare(resolve(SynthConfig, overrides=words), print)
        posed = read_posed(root, self.codec, out / "posed")
        order = sorted(range(len(posed)), key=lambda i: (posed.scans[i].age, posed.scans[i].subject))
        self.real = posed[order]  # so that every fold has all ages
        self.fold = [number % folds for number in range(len(order))]
        self.people = [Person(s.age, s.sex, number) for number, s in enumerate(self.real.scans)]

    def others(self, fold: int) -> list[int]:
        """Numbers of the scans that are not of that fold."""
        return [i for i, own in enumerate(self.fold) if own != fold]

    def site(self, fold: int) -> Path:
        """Weights adapted to the scans that are not of that fold."""
        names = {self.real.scans[i].subject for i in self.others(fold)}
        index = [i for i, row in enumerate(self.packed.rows) if row["subject"] in names and not row["flipped"]]
        path = self.out / f"site-{fold}.safetensors"
        adapted(self.source, self.codec, departures(self.packed, index, self.codec), path)
        return path

    def tone(self, fold: int) -> str:
        """The curve that stages see the brains of a fold through."""
        tone = BrainCodec.of_weights(self.site(fold)).tone
        return "no curve" if tone is None else f"{tone.gain:.2f} x intensity to the power {tone.power:.2f}"

    def by_fold(self, make: Callable[[int, list[int]], np.ndarray]) -> np.ndarray:
        """What `make` makes of each fold, of the people of these numbers, in the order of all."""
        made = {}
        for fold in range(self.count):
            index = [i for i, own in enumerate(self.fold) if own == fold]
            made |= dict(zip(index, make(fold, index), strict=True))
        return np.stack([made[i] for i in range(len(self.fold))])

    def drawn(self, path: Path, index: list[int], options: BrainSampling) -> np.ndarray:
        """Brains of the people of these numbers as bytes; kept for the weights and the sampling."""
        asked = f"{options.stages}-{options.ageing:g}-{options.stage_autoguidance:g}-{index[0]}"
        key = f"{read_meta(path)['sha256'][:12]}-{asked}"
        file = self.out / f"drawn-{key}.npy"
        if not file.exists():
            synth = BrainSynth.load(path, device="cpu")
            brains = synth.brains([self.people[i] for i in index], options)
            with atomic(file) as part, open(part, "wb") as handle:
                np.save(handle, np.stack([to_bytes(brain.data) for brain in brains]))
        return np.load(file)

    def shipped(self, **options: object) -> np.ndarray:
        return self.drawn(self.source, list(range(len(self.people))), BrainSampling(**options))

    def statistics(self, **options: object) -> np.ndarray:
        return self.by_fold(lambda fold, index: self.drawn(self.site(fold), index, BrainSampling(**options)))

    def mean_brains(self, adapt: bool) -> np.ndarray:
        """What is expected of each person."""

        def make(fold: int, index: list[int]) -> np.ndarray:
            codec = BrainCodec.of_weights(self.site(fold) if adapt else self.source)
            told = [([self.people[i].age], [self.people[i].sex]) for i in index]
            return np.concatenate([to_bytes(codec.decode(codec.expected(*one)).numpy()) for one in told])

        return self.by_fold(make)

    def curve(self) -> np.ndarray:
        """Brains as shipped, mapped by one curve to the histogram of the scans learned from: no new weights."""
        images = self.shipped(stages=[])

        def make(fold: int, index: list[int]) -> np.ndarray:
            sets = images, self.real.images[self.others(fold)]
            mine, theirs = (np.bincount(s[s > 0], minlength=256).cumsum() / (s > 0).sum() for s in sets)
            mapped = np.interp(mine, theirs, np.arange(256)).round().clip(1)[images[index]]
            return np.where(images[index] > 0, mapped, 0).astype(np.uint8)

        return self.by_fold(make)

    def distances(self, measures: Measures, images: np.ndarray) -> dict[str, list[float]]:
        """Distances of half of the brains to the scans of the other half of the people, for each pair of halves."""
        sets = (self.real.images, images)
        features = [measures.features(s) for s in sets]
        histograms, spectra = ([view(s) for s in sets] for view in (similarity.histograms, similarity.spectra))
        scores = similarity.principal(similarity.pixels(sets[0]), similarity.pixels(sets[1]))
        bright = [s.astype(np.float32) * STEP for s in sets]
        found: dict[str, list[float]] = {}
        for half in range(HALVES):
            order = permutation(len(images), half).tolist()
            a, b = order[: len(order) // 2], order[len(order) // 2 :]
            real, made = bright[0][a].mean(0), bright[1][b].mean(0)
            inside = (real > 0) | (made > 0)
            row = {
                "histograms": similarity.histogram_distance(histograms[0][a], histograms[1][b]),
                "spectra": similarity.spectrum_distance(spectra[0][a], spectra[1][b]),
                "Frechet, encoder": frechet_distance(features[0][a], features[1][b]),
                "Frechet, pixels": frechet_distance(scores[0][a], scores[1][b]),
                "mean image, rms": float(np.sqrt(np.square(real - made)[inside].mean())),
            }
            for name, value in row.items():
                found.setdefault(name, []).append(value)
        return found

    def picture(self, ways: dict[str, np.ndarray], of: list[int]) -> None:
        """The scan of each of these people, and what is drawn for them."""
        volumes = [images[i] * STEP for i in of for images in ways.values()]
        captions = [f"{name}: {self.people[i].sex}, {self.people[i].age:.0f} y" for i in of for name in ways]
        affines = [self.real.affine] * len(volumes)
        pictures.grid(volumes, affines, captions, columns=len(ways)).save(self.out / "another_scanner.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--from", dest="source", default="mri-synth-ixi", help="weights to start from")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("few_shot"))
    options = parser.parse_args()
    bench = Bench(options.root, options.source, options.folds, options.out)
    n = len(bench.people) - len(bench.people) // options.folds
    ways: dict[str, Callable[[], np.ndarray]] = {
        "real scans": lambda: bench.real.images,
        "as shipped, mean brains": lambda: bench.mean_brains(False),
        f"statistics of {n}, mean brains": lambda: bench.mean_brains(True),
        "as shipped, without stages": lambda: bench.shipped(stages=[]),
        f"as shipped, without stages, one intensity curve from {n}": bench.curve,
        f"statistics of {n}, without stages": lambda: bench.statistics(stages=[]),
        f"statistics of {n} (`task=adapt`)": bench.statistics,
        f"statistics of {n}, stages not guided": lambda: bench.statistics(stage_autoguidance=1.0),
        "as shipped": bench.shipped,
    }
    print(f"{len(bench.people)} scans;", *[f"fold {f}: {bench.tone(f)};" for f in range(options.folds)])
    measures, made = Measures.load(), {}
    for name, way in ways.items():
        made[name] = way()
        found = bench.distances(measures, made[name])
        ends = {k: (np.mean(v), *np.quantile(v, (0.025, 0.975))) for k, v in found.items()}
        if name == "real scans":
            print("| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|", sep="\n")
        print(
            f"| {name} | " + " | ".join("{:.3g} ({:.2g} to {:.2g})".format(*e) for e in ends.values()) + " |",
            flush=True,
        )
    shown = {"scan": "real scans", "as shipped": "as shipped", "adapted": f"statistics of {n} (`task=adapt`)"}
    middle = [len(bench.people) // 4, 3 * len(bench.people) // 4]
    bench.picture({short: made[name] for short, name in shown.items()}, middle)


if __name__ == "__main__":
    main()
