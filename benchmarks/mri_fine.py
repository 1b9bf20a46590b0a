"""Figures of mri_synth's stage from 2 to 1 mm on held-out scans of 1 mm, beside interpolation; and a picture.

python benchmarks/mri_fine.py ROOT --from mri-synth-ds002748-2to1 --out fine

ROOT: a BIDS folder of T1w scans of 1 mm with brain masks and a column split in participants.tsv (val is held out). Each
scan is posed, averaged to 2 mm, and brought back to 1 mm. A network learns to tell patches of 24 mm of what was made
from those of the scans on as many scans of the training set, and is asked about the held-out ones. About a minute of
CPU a scan, and one for each network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mri_restore import psnr, ssim
from PIL import Image
from scipy import ndimage

from diffx.config import resolve
from diffx.plugins.weights import resolve_weights
from diffx.tiling.blend import edges
from diffx.tiling.windows import seam
from diffx_mri.codec import BrainCodec
from diffx_mri.pictures import montage
from diffx_mri.synth.cascade.draw import OVERLAP, Refiner, around, covering, halved
from diffx_mri.synth.config import FINE, SynthConfig
from diffx_mri.synth.evaluate import similarity, two_sample
from diffx_mri.synth.evaluate.sets import posed_scans
from diffx_mri.synth.segmentation.kept import STEP, to_bytes
from diffx_mri.volume import Volume, means

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
    return float(np.mean([seam(x, joints(n), axis, reference=y) for axis, n in enumerate(x.shape)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--from", dest="source", default=FINE, help="weights of the stage")
    parser.add_argument("--cache", default=None)
    parser.add_argument("--steps", type=int, default=6)
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
    chosen, others = rest[: len(held)] + held, rest[len(held) : 3 * len(held)]
    made: dict[str, list[np.ndarray]] = {"trilinear": [], "cubic": [], "drawn": []}
    figures: dict[str, list[list[float]]] = {name: [] for name in made}
    for number in chosen:
        scan, real = posed.scans[number], posed.images[number] * np.float32(STEP)
        coarse = means(real, (2, 2, 2)).astype(np.float32)
        drawn = halved(stage, torch.from_numpy(coarse), scan.age, scan.sex, 1, asked.steps).numpy()
        trilinear = F.interpolate(torch.from_numpy(coarse)[None, None], scale_factor=2, mode="trilinear")[0, 0].numpy()
        inside = real > 0
        for name, volume in (("trilinear", trilinear), ("cubic", cubic(coarse)), ("drawn", drawn)):
            made[name].append(to_bytes(np.where(drawn > 0, volume, 0)))
            if number in held:
                gap = float(np.sqrt(np.square(means(volume, (2, 2, 2)) - coarse)[coarse > 0.2].mean()))
                figures[name].append([psnr(volume, real, inside), ssim(volume, real, inside), gap])
        if number in held:
            print(scan.subject, f"seams {seams(drawn, real, coarse):.2f}", flush=True)
            overlap = 2 * ((drawn > 0) & inside).sum() / ((drawn > 0).sum() + inside.sum())
            print(scan.subject, f"Dice of the edge {overlap:.3f}", flush=True)
        if number == held[0]:
            columns = {"scan, 1 mm": real, "cubic of its 2 mm": cubic(coarse), "drawn from its 2 mm": drawn}
            shown = {name: Volume(np.asarray(volume), posed.affine) for name, volume in columns.items()}
            for name, radius in (("whole", 85.0), ("part", 35.0)):
                through = np.array([22.0, -30, 20]) if name == "part" else np.array([0.0, -20, 12])
                shot = montage(shown, through, radius=radius)
                times = 1 if name == "whole" else 3
                shot = shot.resize((shot.width * times, shot.height * times), Image.Resampling.NEAREST)
                shot.save(asked.out / f"fine-{name}.png")
    real = posed.images[chosen]
    n = len(held)
    truth = similarity.spectra(real[n:])
    floor = two_sample.accuracy(real, posed.images[others])
    print(f"{n} held-out scans; scans told from other scans' patches: {floor.value:.2f} {floor.interval}")
    for name, volumes in made.items():
        spectra = similarity.spectra(np.stack(volumes[n:]))
        told = two_sample.accuracy(real, np.stack(volumes))
        lost = float((spectra - truth)[:, BAND:].mean())
        far = similarity.spectrum_distance(truth, spectra)
        row = np.mean(figures[name], 0)
        print(
            f"{name}: spectra {far:.3f}, power over 0.25 /mm {lost:+.2f}, told {told.value:.2f} {told.interval}"
        )
        print(f"    PSNR {row[0]:.2f}, SSIM {row[1]:.3f}, rms of the means' difference {row[2]:.4f}", flush=True)


if __name__ == "__main__":
    main()
