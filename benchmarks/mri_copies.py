"""Whether mri_synth's brains repeat training scans, at the voxels of each stage of the cascade.

python benchmarks/mri_copies.py ROOT RUN

ROOT: the BIDS folder the weights were trained on, its column split as it was then. RUN: a run folder of task=evaluate
or task=sample with brains of 2 mm. Brains and held-out scans are compared with the training scans and their mirror
images, averaged to 8, 4 and 2 mm, and in what each stage adds to the one before. Weak detail lies near to all there is,
so beside what a stage adds stand held-out scans whose detail is made as weak. A minute of CPU once scans are posed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffx.config import resolve
from diffx.metrics import audit
from diffx.plugins.weights import resolve_weights
from diffx_mri.codec import BrainCodec
from diffx_mri.synth.cascade.place import enlarged
from diffx_mri.synth.config import WEIGHTS, SynthConfig
from diffx_mri.synth.evaluate.sets import parts, posed_scans
from diffx_mri.synth.segmentation.kept import STEP, to_bytes
from diffx_mri.volume import load


def views(images: np.ndarray, mirrored: bool) -> dict[str, Tensor]:
    """Rows [N, voxels] of brains uint8 [N, X, Y, Z] at each resolution, and of what each stage adds; with their mirror
    images after them or not."""
    found = {}
    volume = torch.from_numpy(images).float()[:, None] * STEP
    if mirrored:
        volume = torch.cat([volume, volume.flip(2)])
    for edge in (8, 4, 2):
        fine, coarse = (F.avg_pool3d(volume, size // 2) for size in (edge, 2 * edge))
        found[f"{edge} mm"] = fine.flatten(1)
        if edge < 8:
            found[f"what {2 * edge} to {edge} mm adds"] = (fine - enlarged(coarse)).flatten(1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    cfg = resolve(SynthConfig, overrides=["plugin=mri_synth", f"data.root={options.root}"])
    posed = posed_scans(cfg, BrainCodec.of_weights(resolve_weights(WEIGHTS, "mri_synth")))
    rest, held, known = parts(posed.scans)
    if not known:
        raise SystemExit(f"{options.root}: participants.tsv does not tell what was held out")
    files = sorted(options.run.glob("samples/sub-*/anat/*_T1w.nii.gz"))
    drawn = np.stack([to_bytes(load(file).data) for file in files])
    every = np.concatenate([posed.images, drawn]).max(0) > 0
    lo, hi = (np.argwhere(every).min(0) // 8 * 8, -(-(np.argwhere(every).max(0) + 1) // 8) * 8)
    lo[0] = min(lo[0], every.shape[0] - hi[0])  # a mirror image lies in the box too
    box = (slice(None), *(slice(a, b) for a, b in zip(lo, [every.shape[0] - lo[0], *hi[1:]], strict=True)))
    train, unseen, made = (
        views(images[box], mirrored)
        for images, mirrored in ((posed.images[rest], True), (posed.images[held], False), (drawn, False))
    )
    columns = ["", "nearest training scan, over that of held-out scans", "nearer than 1 in 8 held-out", "copies"]
    print("| " + " | ".join(columns) + " |", "|---" * len(columns) + "|", sep="\n")
    for name, rows in made.items():
        said = {name: rows}
        if name.endswith("adds"):
            weaker = float(rows.square().mean().sqrt() / unseen[name].square().mean().sqrt())
            said[f"held-out scans, {weaker:.2f} times {name}"] = weaker * unseen[name]
        for label, own in said.items():
            found = audit(own, train[name], unseen[name])
            near = f"{found.share:.2f} (by chance up to {found.chance_share:.2f})"
            print(f"| {label} | {found.distance_ratio:.2f} | {near} | {len(found.copies)} of {len(own)} |", flush=True)


if __name__ == "__main__":
    main()
