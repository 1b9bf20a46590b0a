"""task=detect: maps, masks and tables of lesions, of one scan or of a BIDS folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from diffx.errors import DataError
from diffx.metrics import dice
from diffx.run import Run

from ...bids import Name
from ...volume import Source
from ..config import AnomalyConfig
from ..example import SAID, example
from ..face import AnomalyDetector, Detection
from ..inputs import Request, check_inputs, contrast_of, requests, weights_for
from ..pictures import CAPTION, Shown, levels, picture, shown
from ..score import Settings
from ..write import DetectionWriter

_SHOWN = 6  # scans whose slices the report shows
_MANY = 0.25  # share of the region from which a mask is no list of lesions any more


def detect(run: Run) -> None:
    """What is not healthy in ``image``, or in each scan of ``data.root``; in an example where neither is given."""
    cfg = run.cfg
    check_inputs(cfg)
    contrast = contrast_of(cfg)
    detector = load(run, contrast)
    detector.check_rate(cfg.fpr, cfg.false_lesions)
    check_thresholds(run, detector)
    out = DetectionWriter(run.samples, contrast, detector.licence)
    facts = {"Weights": cfg.from_ or weights_for(contrast), "Samples": cfg.n, "Seed": cfg.seed,
             "SmallestRegion": cfg.smallest, "Sampling": asdict(cfg.sample)}  # fmt: skip
    if detector.licence:
        facts["WeightsLicence"] = detector.licence
    rows: list[dict[str, Any]] = []
    rates: list[tuple[float, float, float]] = []  # threshold, share of healthy voxels, false lesions
    for request, scan, truth in _scans(run, contrast):
        try:
            found = detector.detect(
                scan, request.mask, cfg.fpr, cfg.false_lesions, cfg.smallest, say=run.flag, **drawing(cfg)
            )
        except DataError as error:
            if not cfg.data.root:
                raise
            run.fail(request.path.name, error)
            continue
        files = out.write(request, found, facts)
        run.log_only(f"{', '.join(file.name for file in files)}: {found.maps.seconds:.1f} s")
        _flag(run, request.path.name, found)
        rows.append(_row(request, found))
        rates.append((found.threshold, found.fpr, found.false_lesions))
        if len(rows) <= _SHOWN:
            _show(run, request, found, truth)
    if not rows:
        raise DataError(f"{cfg.data.root}: none of the {contrast} scans could be looked at")
    _finish(run, rows, np.mean(rates, axis=0), contrast)


def load(run: Run, contrast: str) -> AnomalyDetector:
    """The detector that the options name; ``n=0`` becomes the number that goes with its thresholds."""
    cfg: AnomalyConfig = run.cfg
    found = AnomalyDetector.load(weights_for(contrast, cfg.from_), cfg.device, cfg.extensions, cfg.calibration, run.log)
    cfg.n = cfg.n or found.samples
    return found


def drawing(cfg: AnomalyConfig) -> dict[str, Any]:
    """The arguments of the detector that say how maps are made."""
    return {"n": cfg.n, "seed": cfg.seed, "settings": Settings(**asdict(cfg.score)), **asdict(cfg.sample)}


def of_the_map(cfg: AnomalyConfig) -> dict[str, Any]:
    """The options on which thresholds depend."""
    chosen = {f"sample.{name}": getattr(cfg.sample, name) for name in ("sampler", "steps", "stop", "grid", "eta")}
    return {"n": cfg.n, "smallest": cfg.smallest, **chosen, **{f"score.{k}": v for k, v in asdict(cfg.score).items()}}


def check_thresholds(run: Run, detector: AnomalyDetector) -> None:
    """Flag it where the thresholds were counted with other options."""
    known = detector.calibration.known if detector.calibration else []
    for other in filter(None, (one.unlike(of_the_map(run.cfg)) for one in known)):
        run.flag(f"the thresholds were counted with other options, and rates of false positives may be off: {other}")


def _scans(run: Run, contrast: str) -> Iterator[tuple[Request, Source, np.ndarray | None]]:
    """Each scan to look at, and the true lesion where it was put in."""
    cfg: AnomalyConfig = run.cfg
    if not cfg.image and not cfg.data.root:
        run.flag(SAID)
        image, made = example(cfg.seed)
        name = Name.of(["example"], contrast, ".nii.gz")
        yield Request(Path(str(name)), name, Path()), image, made.truth
        return
    asked = requests(cfg, contrast, run.log)
    for request in run.progress(asked, "looking for anomalies", unit="scan"):
        yield request, request.path, None


def _flag(run: Run, name: str, found: Detection) -> None:
    share = float(found.marked.sum() / max(found.maps.region.sum(), 1))
    if not np.isfinite(found.maps.healthy).all():
        run.flag(f"{name}: the pseudo-healthy image is not finite")
    elif float(found.maps.healthy.std()) == 0:
        run.flag(f"{name}: the pseudo-healthy image is constant")
    if share > _MANY:
        run.flag(
            f"{name}: {share:.0%} of the head is marked; the scan is unlike those that the weights and thresholds were "
            "made from"
        )


def _row(request: Request, found: Detection) -> dict[str, Any]:
    largest = found.lesions[0] if found.lesions else None
    return {
        "scan": request.path.name,
        "lesions": len(found.lesions),
        "volume, ml": round(sum(one.volume_ml for one in found.lesions), 2),
        "largest, ml": round(largest.volume_ml, 2) if largest else None,
        "certainty of the largest": round(largest.certainty, 2) if largest else None,
        "skull": "off" if found.maps.stripped else "on",
        "seconds": round(found.maps.seconds, 1),
    }


def _show(run: Run, request: Request, found: Detection, truth: np.ndarray | None) -> None:
    maps = found.maps
    chosen = levels(found.marked) or levels(maps.region, 1)
    rows: list[Shown] = []
    for z in chosen:
        height = maps.scan.world(np.array([0, 0, z]))[2]
        note = f"slice {z + 1} of {maps.scan.data.shape[2]}, z = {height:.0f} mm"
        rows.append(shown(maps, found.marked, found.threshold, z, note, truth))
    caption = f"{CAPTION}, at a false-positive rate of {found.fpr:.2g} in healthy scans. Not for diagnosis."
    if truth is not None:
        caption += f" Dice of mask and inserted lesion: {dice(found.marked, truth):.2f}."
    run.report.picture(request.path.name, picture(rows), caption)
    table = [
        {"lesion": one.lesion, "volume, ml": round(one.volume_ml, 2), "x, mm": round(one.x_mm, 1),
         "y, mm": round(one.y_mm, 1), "z, mm": round(one.z_mm, 1), "peak": round(one.peak, 3),
         "mean": round(one.mean, 3), "certainty": round(one.certainty, 2)}
        for one in found.lesions[:20]
    ]  # fmt: skip
    if table:
        more = f" The {len(found.lesions) - 20} smaller ones are in the TSV file." if len(found.lesions) > 20 else ""
        run.report.table(
            f"Lesions of {request.path.name}", table,
            "Centroids in mm to the right, front and top (RAS+). Certainty: share of the drawn healthy images that "
            f"find something, over the lesion's voxels.{more}",
        )  # fmt: skip


def _finish(run: Run, rows: list[dict[str, Any]], rates: np.ndarray, contrast: str) -> None:
    cfg: AnomalyConfig = run.cfg
    threshold, fpr, false = rates.tolist()
    run.metric("scans", len(rows))
    run.metric("threshold", threshold)
    run.metric("fpr", fpr)
    run.metric("false_lesions_per_healthy_scan", false)
    run.metric("seconds_per_volume", float(np.mean([row["seconds"] for row in rows])))
    run.report.facts(
        {"scans": len(rows), "contrast": contrast, "healthy voxels marked": f"{fpr:.2%}",
         "false lesions a healthy scan": round(false, 1)}
    )  # fmt: skip
    if cfg.data.root:
        run.report.table("Scans", rows, f"Regions above the threshold of at least {cfg.smallest:g} ml.")
    elif rows[0]["lesions"]:
        run.log(f"{rows[0]['lesions']} regions, {rows[0]['volume, ml']:.1f} ml in all, in {run.samples}")
    else:
        run.log(f"nothing is marked at a false-positive rate of {fpr:.2g}; the maps are in {run.samples}")
