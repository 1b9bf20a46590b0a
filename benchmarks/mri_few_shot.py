"""What a few scans of another scanner are worth to mri_synth: a made-up scanner, and ways to go over to it.

python benchmarks/mri_few_shot.py ROOT --few 8 32 --steps 100 --out few_shot

ROOT: a BIDS folder with T1w scans, brain masks or region maps, ages, sexes and a column split in participants.tsv. Its
scans as another scanner might have taken them stand in for the other site: training people to adapt on, held-out people
to compare with. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from diffx import tasks as core
from diffx.config import resolve
from diffx.io.checkpoint import read_meta
from diffx.io.files import atomic, write_json
from diffx.metrics import frechet_distance
from diffx.noise import Noise, derive
from diffx.plugins.weights import resolve_weights
from diffx.run import Run
from diffx_mri import BrainSynth
from diffx_mri.align import read_mask
from diffx_mri.bids import Scan, find_scans
from diffx_mri.codec import BrainCodec
from diffx_mri.pack import Packed
from diffx_mri.synth.config import BrainSampling, SynthConfig
from diffx_mri.synth.data import Latents, prepare
from diffx_mri.synth.evaluate import similarity
from diffx_mri.synth.evaluate.measures import SHIPPED, Measures
from diffx_mri.synth.evaluate.scans import read_posed
from diffx_mri.synth.evaluate.sets import people
from diffx_mri.synth.segmentation.kept import to_bytes
from diffx_mri.synth.tasks.adapt import adapted, departures, recoded, unmirrored
from diffx_mri.volume import Volume, load, save

GAMMA = 0.65  # less contrast between grey and white matter, brighter fluid
FWHM = 4.0  # mm, in the axial plane
COIL = 0.3  # log intensity that the coil adds at 100 mm from the middle, less at the top: the same for everybody
WOBBLE = 0.05  # standard deviation of the log intensity that each scan adds as a slope over 100 mm


def other_scanner(scan: Volume, brain: Volume, seed: int) -> Volume:
    """The scan with another contrast, a blur in the axial plane and a bias field."""
    inside = brain.data > 0
    top = float(np.percentile(scan.data[inside], 99))
    seen = (np.maximum(scan.data, 0) / top) ** GAMMA
    seen = ndimage.gaussian_filter(seen, [FWHM / 2.355 / s for s in scan.spacing[:2]] + [0])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in scan.data.shape], indexing="ij"), -1)
    place = (scan.world(index) - scan.world(np.argwhere(inside)).mean(0)) / 100  # dm
    slopes = WOBBLE * Noise([seed])["coil"].normal(3)[0].numpy()
    bias = COIL * (np.square(place).sum(-1) - place[..., 2]) + place @ slopes
    return Volume((seen * np.exp(bias) * 1000).astype(np.float32), scan.affine)


def make_site(root: Path, few: int, out: Path) -> Path:
    """A BIDS folder of `few` training people, chosen by the hash of their names, and all held out."""
    scans = [s for s in find_scans(root)[0] if s.age is not None and s.sex is not None]
    train = sorted((s for s in scans if s.split == "train"), key=lambda s: derive(0, "few", s.subject))[:few]
    chosen = [*train, *(s for s in scans if s.split == "val")]
    lines = ["participant_id\tage\tsex\tsplit", *(f"{s.subject}\t{s.age}\t{s.sex}\t{s.split}" for s in chosen)]
    for number, scan in enumerate(chosen):
        _write(scan, number, out)
    table, text = out / "participants.tsv", "\n".join(lines) + "\n"
    if not table.is_file() or table.read_text() != text:  # encoded scans are known by its date
        table.write_text(text)
    return out


def _write(scan: Scan, number: int, out: Path) -> None:
    path = out / scan.subject / "anat" / f"{scan.subject}_T1w.nii.gz"
    if path.is_file():
        return
    image = load(scan.path)
    brain = read_mask(scan, image)
    if brain is None:
        raise SystemExit(f"{scan.path}: no brain mask")
    save(out / f"derivatives/masks/{scan.subject}/anat/{scan.subject}_desc-brain_mask.nii.gz", brain)
    save(path, other_scanner(image, brain, number))


class Bench:
    """The made-up site, encoded and posed once, and the weights that each way makes of `source`."""

    def __init__(self, root: Path, source: str, few: list[int], steps: int, out: Path):
        self.source = resolve_weights(source, "mri_synth")
        self.out = out / f"{read_meta(self.source)['sha256'][:8]}-{steps}"  # what is made of these weights
        self.out.mkdir(parents=True, exist_ok=True)
        site = make_site(root, max(few), out / "site")
        words = ["plugin=mri_synth", f"from={source}", f"data.root={site}", f"data.cache={out / 'cache'}"]
        self.codec, self.packed = prepare(resolve(SynthConfig, overrides=words), print)
        self.posed = read_posed(site, self.codec, out / "posed")
        held = [s.split == "val" for s in self.posed.scans]
        self.real = self.posed[[i for i, h in enumerate(held) if h]]
        self.known = self.posed[[i for i, h in enumerate(held) if not h]]
        self.measures = Measures.load(SHIPPED)

    def few(self, n: int, mirrored: bool) -> list[int]:
        """n training scans, the same for every way, smaller sets in larger ones; with their mirror images or not."""
        index = self.packed.select("train") if mirrored else unmirrored(self.packed, "train")
        names = sorted({self.packed.rows[i]["subject"] for i in index}, key=lambda name: derive(1, "few", name))[:n]
        return [i for i in index if self.packed.rows[i]["subject"] in names]

    def statistics(self, n: int) -> tuple[Path, BrainCodec, Packed]:
        """Location and scale of n scans, in closed form."""
        path = self.out / f"statistics-{n}.safetensors"
        codec, _ = adapted(self.source, self.codec, departures(self.packed, self.few(n, False), self.codec), path)
        return path, codec, recoded(self.packed, self.codec, codec)

    def trained(self, name: str, n: int, steps: int, rank: int, lr: float, adapt: bool) -> np.ndarray:
        """Fine-tuned on n scans, adapters of a rank or all weights (0); from the statistics of n or what is shipped."""
        source, codec, packed = self.statistics(n) if adapt else (self.source, self.codec, self.packed)
        folder = self.out / name.replace(" ", "-")
        path = folder / "checkpoints/weights.safetensors"
        if not path.exists():
            words = [f"train.lora_rank={rank}", f"train.steps={steps}", f"train.lr={lr}", "train.warmup=20"]
            words += ["train.ema_std=0.1", "train.checkpoint_every=50", "train.val_every=50", "device=cpu"]
            run = Run(
                resolve(SynthConfig, overrides=["plugin=mri_synth", f"from={source}", "resume=true", *words]), folder
            )
            tensors, facts = codec.to_tensors()
            splits = {
                "train": Latents(packed, self.few(n, True), codec),
                "val": Latents(packed, packed.select("val"), codec),
            }
            core.train(run, tensors, {"codec": facts}, splits)
        return self.drawn(path)

    def drawn(self, path: Path) -> np.ndarray:
        """A brain for each held-out person, of that age and sex, as bytes; kept for the weights and the sampling."""
        sampling = hashlib.sha256(repr(BrainSampling()).encode()).hexdigest()[:8]
        file = self.out / f"drawn-{read_meta(path)['sha256'][:12]}-{sampling}.npy"
        if not file.exists():
            whom = people(self.real.scans, len(self.real), 0)
            images = [to_bytes(brain.data) for brain in BrainSynth.load(path, device="cpu").brains(whom)]
            with atomic(file) as part, open(part, "wb") as handle:
                np.save(handle, np.stack(images))
        return np.load(file)

    def mean_brains(self, codec: BrainCodec) -> np.ndarray:
        """What is expected of each held-out person."""
        known = [([s.age], [s.sex]) for s in self.real.scans]
        return np.concatenate([to_bytes(codec.decode(codec.expected(*told)).numpy()) for told in known])

    def matched(self, n: int) -> np.ndarray:
        """Brains as shipped, mapped by one curve to the histogram of n scans: what needs no new weights."""
        images = self.drawn(self.source)
        names = {self.packed.rows[i]["subject"] for i in self.few(n, False)}
        like = self.known.images[[s.subject in names for s in self.known.scans]]
        mine, theirs = (np.bincount(s[s > 0], minlength=256).cumsum() / (s > 0).sum() for s in (images, like))
        curve = np.interp(mine, theirs, np.arange(256)).round().clip(1)
        return np.where(images > 0, curve[images], 0).astype(np.uint8)

    def figures(self, images: np.ndarray) -> dict[str, float]:
        """Distances of brains to the held-out scans of the site."""
        sets = [self.known.images, self.real.images, images]
        coarse = [similarity.pixels(s) for s in sets]
        _, real, made = similarity.principal(coarse[0], *coarse[1:])
        features = [self.measures.features(s) for s in sets[1:]]
        mean = [s.astype(np.float32).mean(0) / 170 for s in sets[1:]]
        inside = (mean[0] > 0) | (mean[1] > 0)
        return {
            "histograms": similarity.histogram_distance(*[similarity.histograms(s) for s in sets[1:]]),
            "spectra": similarity.spectrum_distance(*[similarity.spectra(s) for s in sets[1:]]),
            "Frechet, encoder": frechet_distance(*features),
            "Frechet, pixels": frechet_distance(real, made),
            "mean image, rms": float(np.sqrt(np.square(mean[0] - mean[1])[inside].mean())),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--from", dest="source", default="mri-synth-ixi", help="weights to start from")
    parser.add_argument("--few", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("few_shot"))
    options = parser.parse_args()
    bench = Bench(options.root, options.source, options.few, options.steps, options.out)
    every = max(1, len(bench.known) // len(bench.real))
    ways: dict[str, Callable[[], np.ndarray]] = {
        "training scans of the site": lambda: bench.known.images[::every][: len(bench.real)],
        "as shipped": lambda: bench.drawn(bench.source),
        "as shipped, mean brains": lambda: bench.mean_brains(bench.codec),
    }
    for n in options.few:
        ways[f"statistics of {n}"] = partial(lambda n: bench.drawn(bench.statistics(n)[0]), n)
        ways[f"statistics of {n}, mean brains"] = partial(lambda n: bench.mean_brains(bench.statistics(n)[1]), n)
        ways[f"as shipped, histogram of {n}"] = partial(bench.matched, n)
        for name, rank, lr, adapt in (
            ("LoRA on", options.rank, 1e-3, False),
            ("statistics and LoRA on", options.rank, 1e-3, True),
            ("all weights on", 0, 1e-4, False),
        ):
            ways[f"{name} {n}"] = partial(bench.trained, f"{name} {n}", n, options.steps, rank, lr, adapt)
    encoder = bench.measures.encoder_sha256
    rows: dict[str, dict[str, Any]] = {}
    for name, way in ways.items():
        file = bench.out / f"{name.replace(' ', '-').replace(',', '')}.json"
        found = json.loads(file.read_text()) if file.exists() else {"cpu_s": 0.0}
        if found.get("encoder") != encoder:
            began = time.process_time()
            images = way()
            seconds = max(time.process_time() - began, found["cpu_s"])  # brains that were kept cost nothing again
            found = {**bench.figures(images), "cpu_s": seconds, "encoder": encoder}
            write_json(file, found)
        rows[name] = found
        print(name, found, flush=True)
    columns = [name for name in rows["as shipped"] if name != "encoder"]
    print("| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", sep="\n")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:.3g}" for c in columns) + " |")


if __name__ == "__main__":
    main()
