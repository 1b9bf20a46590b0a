"""What task=inpaint and task=superres do: read, ask the prior, write beside the name of the scan, show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from diffx.errors import DataError
from diffx.run import Run

from ... import pictures
from ...bids import Derivatives
from ...volume import Volume
from ..config import WEIGHTS, SynthConfig
from ..face import BrainSynth
from ..inpaint import Filling
from ..inverse import Reconstruction
from ..requests import Request, requests
from ..superres import Thin

_SHOWN = 4  # scans whose pictures the report holds


def inpaint(run: Run) -> None:
    """Fill the lesions of ``data.file`` (mask ``data.mask``) or of a BIDS folder: ``n`` fillings, mean and spread."""
    cfg, synth = run.cfg, BrainSynth.load(run.cfg.from_, run.cfg.device, run.cfg.extensions)
    Derivatives(run.samples, "Lesions filled with healthy tissue")

    def one(request: Request, number: int) -> dict[str, Any]:
        assert request.lesion is not None
        about = (cfg.n, cfg.seed, request.age, request.sex, request.brain)
        made = synth.fill(request.path, request.lesion, *about, say=run.flag, **asdict(cfg.restore))
        done = made.done
        assert isinstance(done, Filling)
        _save(run, request, made, request.path.name, request.lesion.name)
        if number < _SHOWN:
            _show_filling(run, request, made, done)
        millilitres = float(done.mask.sum() * np.prod(made.scan.spacing)) / 1000
        return {
            "filled (ml)": round(millilitres, 2),
            **_relative(done.spread[done.mask], made.scan.data[done.brain], cfg),
        }

    rows = _all(run, requests(cfg, True, run.fail, run.log), "filling", one)
    _finish(run, rows, "Filled", "Spread: mean standard deviation in the mask, in 99th percentiles of the brain.")


def thin(run: Run) -> None:
    """Thick slices of ``data.file`` or of a BIDS folder to ``data.voxel`` mm: ``n`` samples, mean and spread."""
    cfg, synth = run.cfg, BrainSynth.load(run.cfg.from_, run.cfg.device, run.cfg.extensions)
    Derivatives(run.samples, "Thick slices divided into thin ones")

    def one(request: Request, number: int) -> dict[str, Any]:
        about = (cfg.n, cfg.seed, request.age, request.sex, request.brain)
        made = synth.superres(request.path, cfg.data.voxel, *about, say=run.flag, **asdict(cfg.restore))
        done = made.done
        assert isinstance(done, Thin)
        _save(run, request, made, request.path.name, PartsOfAVoxel=done.factors)
        if number < _SHOWN:
            _show_thin(run, request, made, done)
        spacing = made.scan.spacing
        return {
            "measured (mm)": " x ".join(f"{s:.2g}" for s in spacing),
            "made (mm)": " x ".join(f"{s:.2g}" for s in spacing / done.factors),
            "largest departure from the measurement": done.error,
            **_relative(done.spread[done.brain], done.cubic[done.brain], cfg),
        }

    rows = _all(run, requests(cfg, False, run.fail, run.log), "dividing slices", one)
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
                raise
            run.fail(request.path.name, error)
        else:
            rows.append({"scan": request.path.name, **row, "seconds": round(time.perf_counter() - began, 1)})
    return rows


def _save(run: Run, request: Request, made: Reconstruction, *sources: str, **facts: Any) -> None:
    weights = run.cfg.from_ or WEIGHTS
    made.save(run.samples / request.folder, request.stem, Sources=list(sources), Weights=weights, **facts)


def _relative(spread: np.ndarray, brain: np.ndarray, cfg: SynthConfig) -> dict[str, float]:
    return {"spread over samples": round(float(spread.mean() / np.percentile(brain, 99)), 4)} if cfg.n > 1 else {}


def _finish(run: Run, rows: list[dict[str, Any]], title: str, caption: str) -> None:
    if not rows:
        raise DataError("none of the scans could be used")
    run.metric("scans", len(rows))
    run.metric("seconds_per_scan", float(np.mean([row["seconds"] for row in rows])))
    run.report.table(title, rows, caption)
    run.log(f"{len(rows)} scans in {run.samples}")


def _show_filling(run: Run, request: Request, made: Reconstruction, done: Filling) -> None:
    affine = made.scan.affine
    lesion = Volume(done.mask.astype(np.float32), affine)
    columns = {"scan": made.scan, "filled": Volume(done.data[0], affine)}
    if len(done.data) > 1:
        columns |= {"mean": Volume(done.mean, affine), "spread": Volume(done.spread, affine)}
    through = lesion.world(np.argwhere(done.mask).mean(0))
    note = "What is inside the line is a model's guess at healthy tissue; the rest is the scan. Not for diagnosis."
    run.report.picture(request.path.name, pictures.montage(columns, through, lesion), note)


def _show_thin(run: Run, request: Request, made: Reconstruction, done: Thin) -> None:
    affine = done.affine
    columns = {"measured": made.scan, "cubic": Volume(done.cubic, affine), "sample": Volume(done.data[0], affine)}
    if len(done.data) > 1:
        columns |= {"mean": Volume(done.mean, affine), "spread": Volume(done.spread, affine)}
    through = columns["cubic"].world(np.argwhere(done.brain).mean(0))
    note = "Averaged over each measured voxel, cubic, sample and mean all give the measurement; they differ within it."
    run.report.picture(request.path.name, pictures.montage(columns, through), note)
