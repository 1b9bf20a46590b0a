"""Figures of mri_synth's inpaint and superres on held-out scans, beside what needs no model; and their pictures.

python benchmarks/mri_restore.py ROOT MASKS --scans 4 --samples 4 --out restore

ROOT: a BIDS folder with T1w scans, brain masks and a column split in participants.tsv (val is used). MASKS: a folder of
lesion masks in MNI space, of which moderate ones (8 to 60 ml) are brought into the scans. A scan's figures are written
when they are there, and not made again for the same weights and number of samples. Ends with the tables of
docs/results/mri_synth.md. About 80 s of CPU a scan with 4 samples.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from monai.metrics.regression import compute_ssim_and_cs
from scipy import ndimage

from diffx.io.files import write_json
from diffx_mri import BrainSynth
from diffx_mri.align import read_mask
from diffx_mri.bids import find_scans
from diffx_mri.harmonic import harmonic
from diffx_mri.pictures import montage
from diffx_mri.placed import place, scan_points, template_points
from diffx_mri.synth.config import RestoreConfig
from diffx_mri.synth.inpaint import fill
from diffx_mri.synth.superres import consistent, divided, enlarged, superres
from diffx_mri.volume import Volume, load, means, sample

THICK = 3  # slices of 2 mm in one


def centres(volume: Volume) -> np.ndarray:
    return volume.world(np.stack(np.meshgrid(*[np.arange(n) for n in volume.data.shape], indexing="ij"), -1))


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(a - b)[where].mean()))


def ssim(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Mean over the mask of the local index (Wang et al. 2004), Gaussian window of 7 voxels, range 1."""
    pair = [torch.from_numpy(np.ascontiguousarray(v, np.float32))[None, None] for v in (a, b)]
    local, _ = compute_ssim_and_cs(*pair, spatial_dims=3, kernel_size=(7,) * 3, kernel_sigma=(1.5,) * 3, data_range=1.0)
    edge = tuple((m - n) // 2 for m, n in zip(a.shape, local.shape[2:], strict=True))
    inner = where[tuple(slice(e, e + n) for e, n in zip(edge, local.shape[2:], strict=True))]
    return float(local[0, 0].numpy()[inner].mean())


def inserted(masks: Path, number: int, template: np.ndarray, brain: np.ndarray, voxel_ml: float) -> np.ndarray:
    """The number-th moderate lesion, read at the template points of a scan."""
    moderate = 0
    for path in sorted(masks.glob("*.nii.gz")):
        lesion = load(path)
        size = lesion.data.sum() * abs(np.linalg.det(lesion.affine[:3, :3])) / 1000
        if 8 < size < 60:
            here = (sample(lesion, template, 1) > 0.5) & brain
            if here.sum() * voxel_ml > 5:
                if moderate == number:
                    return here
                moderate += 1
    raise SystemExit(f"{masks}: fewer than {number + 1} moderate lesions")


def inpainting(
    synth: BrainSynth,
    scan,
    image: Volume,
    brain: Volume,
    masks: Path,
    number: int,
    n: int,
    how: RestoreConfig,
    out: Path,
):
    top = float(np.percentile(image.data[brain.data > 0], 99))
    truth = image.data / top
    codec, points = synth.codec, centres(image)
    whole = place(image, brain, codec)
    template = template_points(whole, codec, points)
    lesion = inserted(masks, number, template.numpy(), brain.data > 0, float(np.prod(image.spacing)) / 1000)
    began = time.process_time()
    torn = Volume(np.where(lesion, 0.15 * top, image.data).astype(np.float32), image.affine)  # a hypointense stroke
    done = fill(synth, torn, lesion, brain, list(range(n)), scan.age, scan.sex, how)
    cost = time.process_time() - began
    rim = ndimage.binary_dilation(lesion, iterations=2) & ~lesion & (brain.data > 0)
    mirrored = sample(image, scan_points(whole, codec, template * torch.tensor([-1.0, 1, 1])), 1) / top
    results = {
        "mean of the rim": np.where(lesion, truth[rim].mean(), truth),
        "harmonic filling": harmonic(truth, lesion, image.spacing),
        "other hemisphere": np.where(lesion, mirrored, truth),
        "prior alone, one sample": done.prior[0] / top,
        f"prior alone, mean of {n} samples": done.prior.mean(0) / top,
        "one sample": done.data[0] / top,
        f"mean of {n} samples": done.mean / top,
    }
    rows = {
        name: {"PSNR (dB)": psnr(v, truth, lesion), "mean absolute error": float(np.abs(v - truth)[lesion].mean())}
        for name, v in results.items()
    }
    assert np.array_equal(done.data[:, ~lesion], np.repeat(image.data[None], n, 0)[:, ~lesion])
    shown = {"with lesion": torn, "other hemisphere": Volume(results["other hemisphere"] * top, image.affine)}
    shown |= {"prior alone": Volume(done.prior[0], image.affine), "filled": Volume(done.data[0], image.affine)}
    shown |= {"truth": image}
    picture = montage(shown, image.world(np.argwhere(lesion).mean(0)), Volume(lesion.astype(np.float32), image.affine))
    picture.save(out / f"inpaint-{scan.subject}.png")
    spread = float((done.spread[lesion] / top).mean())
    facts = {"millilitres": float(lesion.sum() * np.prod(image.spacing) / 1000), "spread": spread, "cpu_s": cost}
    return {**facts, "rows": rows}


def slices(synth: BrainSynth, scan, image: Volume, brain: Volume, n: int, how: RestoreConfig, out: Path):
    top = float(np.percentile(image.data[brain.data > 0], 99))
    depth = image.data.shape[2] // THICK * THICK
    truth, inside = image.data[..., :depth] / top, brain.data[..., :depth] > 0
    factors = (1, 1, THICK)
    affine = divided(image.affine, (1, 1, 1 / THICK))
    thick = Volume(means(truth, factors).astype(np.float32), affine)
    mask = Volume((means(inside.astype(float), factors) > 0.5).astype(np.float32), affine)
    began = time.process_time()
    done = superres(synth, thick, mask, 2.0, list(range(n)), scan.age, scan.sex, how)
    cost = time.process_time() - began
    assert np.allclose(done.affine, image.affine, atol=1e-4)
    results = {
        "trilinear": enlarged(thick.data, factors, 1),
        "cubic": enlarged(thick.data, factors),
        "cubic, held to the measurement": consistent(enlarged(thick.data, factors), thick.data, factors),
        "prior alone, one sample": done.prior[0],
        f"prior alone, mean of {n} samples": done.prior.mean(0),
        "one sample": done.data[0],
        f"mean of {n} samples": done.mean,
    }
    cortex = inside & (truth > 0.35) & (truth < 0.75)
    sharp = lambda v: float(np.abs(np.diff(v, axis=2))[inside[..., 1:]].mean())  # noqa: E731
    rows = {
        name: {
            "PSNR (dB)": psnr(v, truth, inside), "SSIM": ssim(v, truth, inside),
            "PSNR, grey matter's range": psnr(v, truth, cortex), "gradient across slices": sharp(v),
            "largest departure from the measurement": float(np.abs(means(v, factors) - thick.data).max()),
        }
        for name, v in results.items()
    }  # fmt: skip
    shown = {"measured (6 mm)": thick, "cubic": Volume(done.cubic, image.affine)}
    shown |= {"prior alone": Volume(done.prior[0], image.affine), "sample": Volume(done.data[0], image.affine)}
    shown |= {"truth (2 mm)": Volume(truth, image.affine)}
    montage(shown, image.world(np.argwhere(inside).mean(0))).save(out / f"superres-{scan.subject}.png")
    return {"spread": float(done.spread[inside].mean()), "gradient_truth": sharp(truth), "cpu_s": cost, "rows": rows}


def table(found: list[dict]) -> str:
    """Means over the scans, one line a method, and the PSNR of each scan."""
    columns = list(found[0]["rows"]["one sample"])
    lines = ["| | " + " | ".join([*columns, "scan by scan"]) + " |", "|---" * (len(columns) + 2) + "|"]
    for name in found[0]["rows"]:
        values = [float(np.mean([f["rows"][name][c] for f in found])) for c in columns]
        said = [f"{v:.2f}" if abs(v) > 1 else "< 1e-5" if abs(v) < 1e-5 else f"{v:.3g}" for v in values]
        each = ", ".join(f"{f['rows'][name][columns[0]]:.1f}" for f in found)
        lines.append(f"| {name} | " + " | ".join([*said, each]) + " |")
    return "\n".join(lines)


def kept(file: Path, made_with: dict) -> dict | None:
    """Figures that are there, of the same weights and number of samples."""
    found = json.loads(file.read_text()) if file.exists() else {}
    return found if found.get("made_with") == made_with else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--from", dest="source", default=None, help="weights: an id, a file or a run folder")
    parser.add_argument("--autoguidance", type=float, default=RestoreConfig.detail_autoguidance, help="of the stages")
    parser.add_argument("--out", type=Path, default=Path("restore"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    synth = BrainSynth.load(options.source, device="cpu")
    how = RestoreConfig(detail=True, detail_autoguidance=options.autoguidance)
    made_with = {"weights": synth.meta["sha256"], "samples": options.samples, "autoguidance": options.autoguidance}
    held_out = [s for s in find_scans(options.root)[0] if s.split == "val"][: options.scans]
    found: dict[str, list[dict]] = {"inpaint": [], "superres": []}
    for number, scan in enumerate(held_out):
        image = load(scan.path)
        brain = read_mask(scan, image)
        assert brain is not None
        for task in found:
            file = options.out / f"{task}-{scan.subject}.json"
            got = kept(file, made_with)
            if got is None:
                if task == "inpaint":
                    lesions = options.masks, 7 * number
                    got = inpainting(synth, scan, image, brain, *lesions, options.samples, how, options.out)
                else:
                    got = slices(synth, scan, image, brain, options.samples, how, options.out)
                got["made_with"] = made_with
                write_json(file, got)
            found[task].append(got)
            print(file.name, {k: v for k, v in got.items() if k not in ("rows", "made_with")}, flush=True)
    print(f"{len(held_out)} scans, {options.samples} samples, weights of sha256 {made_with['weights'][:8]}")
    for task, each in found.items():
        print("", task, table(each), sep="\n")
        averages = {k: np.mean([f[k] for f in each]) for k in each[0] if k not in ("rows", "made_with")}
        print(", ".join(f"{k}: {v:.3g}" for k, v in averages.items()))


if __name__ == "__main__":
    main()
