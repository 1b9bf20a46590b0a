"""Figures of mri_synth's stage from 2 to 1 mm on held-out scans of 1 mm, beside interpolation; and a picture.

python benchmarks/mri_fine.py ROOT --from mri-synth-ds002748-2to1 --out fine

ROOT: a BIDS folder of T1w scans of 1 mm with brain masks and a column split in participants.tsv (val is held out). Each
scan is posed, averaged to 2 mm, and brought back to 1 mm. A network learns to tell patches of 24 mm of what was made
from those of the scans on as many scans of the training set, and is asked about the held-out ones. About a minute of
CPU a scan, and one for each network.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

from diffx.config import resolve
from diffx.plugins.weights import resolve_weights
from diffx.tiling.blend import edges
from diffx.tiling.windows import seam
from diffx_mri.codec import BrainCodec
from diffx_mri.synth.cascade.draw import OVERLAP, Refiner, around, covering, halved
from diffx_mri.synth.cascade.place import extent
from diffx_mri.synth.config import FINE, SynthConfig
from diffx_mri.synth.evaluate import similarity, two_sample
from diffx_mri.synth.evaluate.sets import posed_scans
from diffx_mri.synth.segmentation.kept import STEP, to_bytes
from diffx_mri.volume import means

EDGE = 4  # voxels
BAND = 12  # the first of the shells from 0.25 to 0.5 cycles/mm, which 2 mm do not show


def cubic(coarse: np.ndarray) -> np.ndarray:
    return ndimage.zoom(coarse, 2, order=3, mode="grid-constant", grid_mode=True)


def joints(size: int) -> list[int]:
    """Where windows over `size` voxels meet."""
    return edges(size, covering(size), OVERLAP)


def seams(drawn: np.ndarray, real: np.ndarray, coarse: np.ndarray) -> float:
    """Roughness where windows meet against elsewhere, over that of the scan; mean of the axes."""
    box = around(torch.from_numpy(coarse) > 0)
    x, y = (torch.from_numpy(v)[box] for v in (drawn, real))
    met = [(axis, joints(n)) for axis, n in enumerate(x.shape)]
    return float(np.mean([seam(x, places, axis, reference=y) for axis, places in met if places]))


def show(real: np.ndarray, made: dict[str, np.ndarray], affine: np.ndarray, out: Path) -> None:
    """The scan, and what was made of its 2 mm: an axial slice, whole and a part of it enlarged."""
    columns = {"scan, 1 mm": real, "cubic of its 2 mm": made["cubic"], "drawn from its 2 mm": made["drawn"]}
    at = 108
    whole = [np.asarray(volume)[24:168, ::-1, at].T[26:206] for volume in columns.values()]
    parts = [one[100:160, 8:68].repeat(12, 0).repeat(12, 1)[:, :720] for one in whole]
    rows = [np.hstack([one.repeat(5, 0).repeat(5, 1) for one in whole]), np.hstack(parts)]
    for name, row in zip(("whole", "part"), rows, strict=True):
        Image.fromarray(np.clip(row * 230, 0, 255).astype(np.uint8)).save(out / f"fine-{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--from", dest="source", default=FINE, help="weights of the stage")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--slab", type=int, default=0, help="slices of 1 mm in the middle that are drawn; 0: all")
    parser.add_argument("--judge", action="store_true", help="have a network tell patches, too")
    parser.add_argument("--out", type=Path, default=Path("fine"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    given = ["plugin=mri_synth", f"data.root={asked.root}", *([f"data.cache={asked.cache}"] if asked.cache else [])]
    cfg = resolve(SynthConfig, overrides=given)
    codec = BrainCodec.of_weights(resolve_weights(cfg.pose, "mri_synth"))
    stage = Refiner.load(asked.source, codec.pose_digest, "cpu")
    posed = posed_scans(cfg, codec, spacing=stage.stage.source)
    held = [i for i, scan in enumerate(posed.scans) if scan.split == "val"]
    rest = [i for i in range(len(posed)) if i not in held]
    chosen = rest[: len(held)] + held if asked.judge else held
    others = rest[len(held) : 3 * len(held)]
    low, high = (108 - asked.slab // 2, 108 + asked.slab // 2) if asked.slab else (0, posed.images.shape[3])
    part = np.zeros(posed.images.shape[3] // 2, np.float32)
    part[low // 2 : high // 2] = 1
    inner = slice(low + EDGE, high - EDGE) if asked.slab else slice(None)  # the cut of a slab is no edge of a brain
    made: dict[str, list[np.ndarray]] = {"trilinear": [], "cubic": [], "drawn": []}
    figures: dict[str, list[float]] = {name: [] for name in made}
    for number in chosen:
        scan, real = posed.scans[number], posed.images[number] * np.float32(STEP)
        coarse = means(real, (2, 2, 2)).astype(np.float32)
        where, file = extent(torch.from_numpy(coarse), 2.0), asked.out / f"{scan.subject}.npy"
        if not file.exists():
            began, told = time.process_time(), (scan.age, scan.sex, 1, asked.steps, where)
            np.save(file, halved(stage, torch.from_numpy(coarse * part), *told).numpy())
            print(scan.subject, f"{time.process_time() - began:.0f} s of CPU", flush=True)
        drawn = np.load(file)
        trilinear = F.interpolate(torch.from_numpy(coarse)[None, None], scale_factor=2, mode="trilinear")[0, 0].numpy()
        columns = {"trilinear": trilinear, "cubic": cubic(coarse), "drawn": drawn}
        inside = real[..., inner] > 0
        for name, volume in columns.items():
            made[name].append(to_bytes(np.where(real > 0, volume, 0)[..., inner]))
            if number in held:
                figures[name].append(float(np.square((volume - real)[..., inner][inside]).mean()))
        if number in held:
            gap = (means(drawn, (2, 2, 2)) - coarse)[..., (low + EDGE) // 2 : (high - EDGE) // 2]
            seen = coarse[..., (low + EDGE) // 2 : (high - EDGE) // 2] > 0.2
            ends, is_brain = drawn[..., inner] > 0, real[..., inner] > 0
            dice = 2 * (ends & is_brain).sum() / (ends.sum() + is_brain.sum())
            rough, off = seams(drawn, real, coarse * part), gap[seen].std()
            print(f"{scan.subject}: seams {rough:.2f}, means off by {off:.4f}, Dice of brain {dice:.3f}", flush=True)
        if number == held[0]:
            show(real, columns, posed.affine, asked.out)
    n, real = len(held), posed.images[chosen][..., inner]
    truth = similarity.spectra(real[-n:])
    print(f"{n} held-out scans")
    for name, volumes in made.items():
        spectra = similarity.spectra(np.stack(volumes[-n:]))
        lost = float((spectra - truth)[:, BAND:].mean())
        far = similarity.spectrum_distance(truth, spectra)
        psnr = float(np.mean(-10 * np.log10(figures[name])))
        print(f"{name}: spectra {far:.3f}, power over 0.25 /mm {lost:+.2f}, PSNR {psnr:.2f}", flush=True)
    if asked.judge:
        sets = {name: np.stack(volumes) for name, volumes in made.items()}
        for name, images in {"other scans": posed.images[others][..., inner], **sets}.items():
            told = two_sample.accuracy(real, images)
            print(f"patches told from the scans', {name}: {told.value:.2f} {told.interval}", flush=True)


if __name__ == "__main__":
    main()
