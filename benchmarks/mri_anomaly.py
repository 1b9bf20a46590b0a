"""Partial noising (AnoDDPM; Wyatt et al. 2022) beside the healing diffusion: the same network, data and minutes.

python benchmarks/mri_anomaly.py ROOT --steps 500 --out partial.json

ROOT: a BIDS folder of FLAIR with lesion masks in derivatives/lesion and a column split in participants.tsv. A diffusion
of healthy slices is trained on "train"; each slice of "val" is noised to a level and denoised again, and what became
darker is the score, through the median of the product. Average precision and the best Dice, pooled over all heads.
About 15 minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.data import is_held_out
from diffx.io.files import write_json
from diffx.metrics import average_precision
from diffx.nets import Folded, UNet
from diffx.nets.model import Model
from diffx.noise import Noise, derive
from diffx.predict import Denoiser
from diffx.process import Gaussian
from diffx.schedule import EDM, lognormal
from diffx.train import fit
from diffx_mri.anomaly.config import AnomalyConfig
from diffx_mri.anomaly.data import Made, prepare, seen
from diffx_mri.anomaly.lesions import Blobs
from diffx_mri.anomaly.score import Settings, median
from diffx_mri.anomaly.stack import Stack
from diffx_mri.bids import derived, is_lesion_mask, known
from diffx_mri.contrast import Contrast, find_contrast
from diffx_mri.overlay import on_grid
from diffx_mri.volume import load

LEVELS = (0.3, 0.6, 1.0)  # of the noise, in standard deviations of a slice


class HealthySlices(Made):
    """The healthy slices that :class:`Made` makes ill, as they are."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(derive(self.seed, self.split, index))
        slices, *_ = self.healthy(rng, *self.places[index % len(self.places)])
        return {"x": torch.from_numpy(seen(slices[1:2])).float()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--out", type=Path, default=Path("partial.json"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cfg = AnomalyConfig(contrast="FLAIR")
    cfg.data.root, cfg.data.cache = str(asked.root), asked.cache
    data = HealthySlices(prepare(cfg, print), "train", Blobs())
    process = Gaussian(EDM(sigma_max=80), 1.0, lognormal(-0.4, 1.2))
    net = cfg.net
    unet = UNet(2, net.fold**2, channels=net.channels, blocks=net.blocks, attention=net.attention)
    denoiser = Denoiser(Folded(unet, net.fold), "edm", process.schedule, process.sigma_data)
    training = replace(cfg.train, steps=asked.steps, warmup=30, ema_std=0.1, val_every=0)
    pipeline = fit(Model(denoiser), process, data, training, device="cpu")
    found = {str(level): measured(pipeline, asked.root, level) for level in LEVELS}
    print(found)
    write_json(asked.out, found)


def measured(pipeline: Any, root: Path, level: float) -> dict[str, float]:
    """Average precision and the best Dice of what partial noising to a level leaves brighter than its denoised self."""
    scans = find_contrast(root, Contrast.of("FLAIR"))
    (people, _), lesions = known(root, scans), derived(root, ("mask",))
    scores, truths = [], []
    for session, path in scans.items():
        masks = [mask for mask, name in lesions.get(session, []) if is_lesion_mask(name)]
        if not is_held_out(people[session]["split"]) or not masks:
            continue
        scan = load(path)
        stack = Stack.of(scan, None, "FLAIR")
        truth = stack.grid.slices(on_grid(masks[0], scan)) > 0.5
        rest = np.zeros_like(stack.slices)
        for k in stack.filled:
            rest[k] = denoised(pipeline, seen(stack.slices[k]), level, derive(0, "slice", k))
        settings = Settings()
        score = median(np.maximum(rest, 0), settings.median, settings.layers)
        inside = stack.region | truth
        scores.append(np.where(stack.region, score, -1)[inside])
        truths.append(truth[inside])
    score, truth = np.concatenate(scores), np.concatenate(truths)
    hits = np.cumsum(truth[np.argsort(-score, kind="stable")])
    dice = float((2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max())
    return {"auprc": average_precision(score, truth), "dice_oracle": dice}


@torch.no_grad()
def denoised(pipeline: Any, state: np.ndarray, level: float, seed: int) -> np.ndarray:
    """The slice less what it becomes when noise is put on it and taken off (DDIM), in the state's unit."""
    clean = torch.from_numpy(state)[None, None].float()
    x = clean + level * Noise([seed])["partial"].normal(*clean.shape[1:])
    times = np.geomspace(level, 0.05, 4)
    for t, s in pairwise(times):
        x0 = pipeline.model.denoiser(x, float(t))
        x = x0 + float(s / t) * (x - x0)
    return (clean - pipeline.model.denoiser(x, float(times[-1])))[0, 0].numpy()


if __name__ == "__main__":
    main()
