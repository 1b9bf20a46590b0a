"""What task=inpaint and task=superres do: read, ask the prior, write beside the name of the scan, show."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from diffx import __version__
from diffx.errors import DataError
from diffx.run import Run
from diffx.run.files import write_json

from ..derivatives import BIDS_VERSION
from ..stored import Stored, write
from ..volume import Volume, save
from .config import SynthConfig
from .face import WEIGHTS, BrainSynth
from .inpaint import Filling, fill
from .montage import montage
from .requests import Request, on_grid, requests
from .superres import Thin, superres

_SHOWN = 4  # scans whose pictures the report holds


def inpaint(run: Run) -> None:
    """Fill the lesions of ``data.file`` (mask ``data.mask``) or of a BIDS folder: ``n`` fillings, mean and spread."""
    cfg, synth = run.cfg, BrainSynth.load(run.cfg.from_, run.cfg.device, run.cfg.extensions)
    _describe(run, "Lesions filled with healthy tissue")

    def one(request: Request, number: int) -> dict[str, Any]:
        stored = Stored.read(request.path)
        scan = stored.volume
        assert request.lesion is not None
        lesion, brain = on_grid(request.lesion, scan), request.brain_mask(scan)
        done = fill(synth, scan, lesion.data, brain, _seeds(cfg), request.age, request.sex, cfg.restore)
        facts = {"Sources": [request.path.name, request.lesion.name], "Weights": cfg.from_ or WEIGHTS}
        text = "T1w scan with the tissue inside the lesion mask replaced; all other voxels have their bits"
        for desc, data, seed in _named("filled", done, cfg):
            path = _path(run, request, desc)
            write(stored.replaced(data, done.mask, f"diffx {__version__} lesion filled"), path)
            _sidecar(path, {"Description": text, **facts, **seed})
        _spread(run, request, "filledsd", Volume(done.spread, scan.affine), stored.code, facts)
        if number < _SHOWN:
            _show_filling(run, request, scan, lesion, done)
        millilitres = float(done.mask.sum() * np.prod(scan.spacing)) / 1000
        return {"filled (ml)": round(millilitres, 2), **_relative(done.spread[done.mask], scan.data[done.brain], cfg)}

    rows = _all(run, requests(cfg, True, run.fail), "filling", one)
    _finish(run, rows, "Filled", "Spread: mean standard deviation in the mask, in 99th percentiles of the brain.")


def thin(run: Run) -> None:
    """Thick slices of ``data.file`` or of a BIDS folder to ``data.voxel`` mm: ``n`` samples, mean and spread."""
    cfg, synth = run.cfg, BrainSynth.load(run.cfg.from_, run.cfg.device, run.cfg.extensions)
    _describe(run, "Thick slices divided into thin ones")

    def one(request: Request, number: int) -> dict[str, Any]:
        stored = Stored.read(request.path)
        scan = stored.volume
        brain = request.brain_mask(scan)
        done = superres(synth, scan, brain, cfg.data.voxel, _seeds(cfg), request.age, request.sex, cfg.restore)
        facts = {"Sources": [request.path.name], "Weights": cfg.from_ or WEIGHTS, "PartsOfAVoxel": done.factors}
        text = "T1w scan at finer slices; inside the brain their detail is a sample of a model, not a measurement"
        for desc, data, seed in _named("superres", done, cfg):
            path = _path(run, request, desc)
            save(path, Volume(data, done.affine), f"diffx {__version__} superres", code=stored.code)
            _sidecar(path, {"Description": text, **facts, **seed})
        _spread(run, request, "superressd", Volume(done.spread, done.affine), stored.code, facts)
        if number < _SHOWN:
            _show_thin(run, request, scan, done)
        return {
            "measured (mm)": " x ".join(f"{s:.2g}" for s in scan.spacing),
            "made (mm)": " x ".join(f"{s:.2g}" for s in scan.spacing / done.factors),
            "largest departure from the measurement": done.error,
            **_relative(done.spread[done.brain], done.cubic[done.brain], cfg),
        }

    rows = _all(run, requests(cfg, False, run.fail), "dividing slices", one)
    _finish(run, rows, "Divided", "Departure: of the means over measured voxels, as a share of the scan's range.")


def _all(
    run: Run, asked: list[Request], label: str, one: Callable[[Request, int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each request that went well. In a BIDS folder the others are listed, and the rest goes on."""
    rows: list[dict[str, Any]] = []
    for request in run.progress(asked, label, unit="scan"):
        began = time.perf_counter()
        try:
            row = one(request, len(rows))
        except DataError as error:
            if run.cfg.data.file:
                named = ".nii" in str(error).split(":")[0]  # the readers say which file
                raise error if named else DataError(f"{request.path}: {error}") from None
            run.fail(request.path.name, error)
        else:
            rows.append({"scan": request.path.name, **row, "seconds": round(time.perf_counter() - began, 1)})
    return rows


def _seeds(cfg: SynthConfig) -> list[int]:
    return [cfg.seed + i for i in range(cfg.n)]


def _named(desc: str, done: Filling | Thin, cfg: SynthConfig) -> list[tuple[str, np.ndarray, dict[str, int]]]:
    """(BIDS description, volume, its seed) of what is written: one sample, or each and their mean."""
    if cfg.n == 1:
        return [(desc, done.data[0], {"Seed": cfg.seed})]
    each = [
        (f"{desc}{i + 1}", one, {"Seed": seed})
        for i, (one, seed) in enumerate(zip(done.data, _seeds(cfg), strict=True))
    ]
    return [*each, (f"{desc}mean", done.mean, {})]


def _describe(run: Run, name: str) -> None:
    generated = [{"Name": "diffx", "Version": __version__, "Description": name}]
    facts = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative", "GeneratedBy": generated}
    write_json(run.samples / "dataset_description.json", facts)


def _path(run: Run, request: Request, desc: str) -> Path:
    return run.samples / request.folder / f"{request.stem}_desc-{desc}_T1w.nii.gz"


def _sidecar(path: Path, facts: dict[str, Any]) -> None:
    write_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), facts)


def _spread(run: Run, request: Request, desc: str, volume: Volume, code: int, facts: dict[str, Any]) -> None:
    if run.cfg.n > 1:
        path = _path(run, request, desc)
        save(path, volume, f"diffx {__version__} spread", code=code)
        _sidecar(path, {"Description": "Standard deviation over the samples, in the scan's units", **facts})


def _relative(spread: np.ndarray, brain: np.ndarray, cfg: SynthConfig) -> dict[str, float]:
    return {"spread over samples": round(float(spread.mean() / np.percentile(brain, 99)), 4)} if cfg.n > 1 else {}


def _finish(run: Run, rows: list[dict[str, Any]], title: str, caption: str) -> None:
    if not rows:
        raise DataError("none of the scans could be used")
    run.metric("scans", len(rows))
    run.metric("seconds_per_scan", float(np.mean([row["seconds"] for row in rows])))
    run.report.table(title, rows, caption)
    run.log(f"{len(rows)} scans in {run.samples}")


def _show_filling(run: Run, request: Request, scan: Volume, lesion: Volume, done: Filling) -> None:
    columns = {"scan": scan, "filled": Volume(done.data[0], scan.affine)}
    if len(done.data) > 1:
        columns |= {"mean": Volume(done.mean, scan.affine), "spread": Volume(done.spread, scan.affine)}
    through = lesion.world(np.argwhere(done.mask).mean(0))
    note = "What is inside the line is a model's guess at healthy tissue; the rest is the scan. Not for diagnosis."
    run.report.picture(request.path.name, montage(columns, through, lesion, "spread"), note)


def _show_thin(run: Run, request: Request, scan: Volume, done: Thin) -> None:
    columns = {"measured": scan, "cubic": Volume(done.cubic, done.affine), "sample": Volume(done.data[0], done.affine)}
    if len(done.data) > 1:
        columns |= {"mean": Volume(done.mean, done.affine), "spread": Volume(done.spread, done.affine)}
    through = columns["cubic"].world(np.argwhere(done.brain).mean(0))
    note = "Averaged over each measured voxel, cubic, sample and mean all give the measurement; they differ within it."
    run.report.picture(request.path.name, montage(columns, through, heat="spread"), note)


TASKS: dict[str, Callable[[Run], None]] = {"inpaint": inpaint, "superres": thin}
