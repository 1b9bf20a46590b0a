"""What the encoder of mri_synth's evaluation hears: its Fréchet distance for held-out scans with one thing made wrong.

python benchmarks/mri_encoder.py ROOT

ROOT: a BIDS folder with T1w scans, brain masks and a column split in participants.tsv. Every set of held-out scans is
compared with 40 random sets of as many training scans; undisturbed, that is real against real, and all else is given
in units of it. Mean brains of the same ages and sexes are compared with the held-out scans themselves, as task=evaluate
does. About a minute of one core, and a second and a half a scan where the scans are not in the cache.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import numpy as np
import torch
from scipy import ndimage

from diffx.metrics import frechet_distance
from diffx.metrics.resample import permutation
from diffx.noise import Noise
from diffx_mri import BrainSynth
from diffx_mri.synth.evaluate.measures import Measures
from diffx_mri.synth.evaluate.sets import parts, read_scans
from diffx_mri.synth.segmentation.kept import to_bytes

SUBSETS = 40


def smooth(x: np.ndarray, width: float) -> np.ndarray:
    """By a Gaussian of `width` voxels; what lies beyond the brain has no part in it."""
    inside = ndimage.gaussian_filter((x > 0).astype(np.float32), width)
    return ndimage.gaussian_filter(x, width) / np.maximum(inside, 1e-3) * (x > 0)


def dealt(x: np.ndarray, side: int, seed: int) -> np.ndarray:
    """Detail finer than a blur by 2 voxels, cut into blocks that are dealt anew among the places inside the brain."""
    low = smooth(x, 2)
    counts = [n // side for n in x.shape]

    def blocks(volume: np.ndarray) -> np.ndarray:
        cut = volume.reshape(counts[0], side, counts[1], side, counts[2], side)
        return cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, side, side, side)

    detail = blocks((x - low) * (x > 0))
    full = np.flatnonzero(blocks(x > 0).all((1, 2, 3)))
    detail[full] = detail[full[permutation(len(full), seed).numpy()]]
    return low + detail.reshape(*counts, side, side, side).transpose(0, 3, 1, 4, 2, 5).reshape(x.shape)


def larger(x: np.ndarray, by: float) -> np.ndarray:
    middle = (np.array(x.shape) - 1) / 2
    return ndimage.affine_transform(x, np.full(3, 1 / by), middle * (1 - 1 / by), order=1)


def grainy(x: np.ndarray, size: float, seed: int) -> np.ndarray:
    return x + size * Noise([seed]).normal(*x.shape)[0].numpy()


def changes(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """A brain with one thing made wrong, by what it is."""
    return {
        **{f"blurred by {width:g} voxels": smooth(x, width) for width in (0.7, 1.0, 2.0)},
        **{f"grain of {size:g}": grainy(x, size, seed) for size in (0.03, 0.06)},
        **{f"detail dealt anew in blocks of {side} voxels": dealt(x, side, seed) for side in (4, 8)},
        "5 % larger": larger(x, 1.05),
        "5 % brighter": 1.05 * x,
        "2 mm further on": np.roll(x, 1, 0),
    }


RESHAPED = ("5 % larger", "2 mm further on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--measures", default="mri-measures-ixi", help="an id, a file or a run")
    parser.add_argument("--cache", default=None)
    args = parser.parse_args()
    codec = BrainSynth.load(device="cpu").codec
    measures = Measures.load(args.measures)
    data = SimpleNamespace(root=args.root, cache=args.cache, split=0.1)
    run = SimpleNamespace(cfg=SimpleNamespace(data=data, seed=0), fail=print, progress=lambda items, label, unit: items)
    posed = read_scans(run, codec)
    rest, held, _ = parts(posed.scans)
    real, known = posed[held], measures.features(posed[rest].images)
    subsets = [known[permutation(len(known), 0, i)[: len(held)]] for i in range(SUBSETS)]

    def against_training(images: np.ndarray) -> np.ndarray:
        features = measures.features(images)
        return np.array([frechet_distance(features, subset) for subset in subsets])

    undisturbed = against_training(real.images)
    low, high = np.quantile(undisturbed, [0.025, 0.975])
    print(f"real against real, n = {len(held)}: {undisturbed.mean():.2f}; 95 % of {SUBSETS}: {low:.2f} to {high:.2f}")
    sets: dict[str, list[np.ndarray]] = {}
    for i, brain in enumerate(real.images.astype(np.float32) / 170):
        for name, made in changes(brain, i).items():
            if name not in RESHAPED:  # the brain keeps its outline
                made = np.where(brain > 0, np.maximum(made, 1 / 170), 0)
            sets.setdefault(name, []).append(np.rint(np.clip(made * 170, 0, 255)).astype(np.uint8))
    for name, images in sets.items():
        share = against_training(np.stack(images)).mean() / undisturbed.mean()
        print(f"{name}: {share:.2f} times real against real", flush=True)
    with torch.no_grad():
        means = torch.cat([codec.decode(codec.expected([s.age], [s.sex])) for s in real.scans])
    distance = frechet_distance(measures.features(real.images), measures.features(to_bytes(means.float().numpy())))
    print(f"mean brains of their ages and sexes: {distance / undisturbed.mean():.2f} times real against real")


if __name__ == "__main__":
    main()
