"""task=calibrate: what each threshold costs on healthy scans, as a file for calibration= and weights that know it."""

from __future__ import annotations

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.io.files import write_json
from diffx.plugins.weights import resolve_weights
from diffx.run import Run

from ...overlay import on_grid
from ...volume import load as read
from ..calibrate import Calibration, Counts, clear_of
from ..components import voxels_of
from ..config import PLUGIN
from ..inputs import check_inputs, contrast_of, requests, weights_for
from .detect import drawing, load, of_the_map


def calibrate(run: Run) -> None:
    """Count what is marked in the healthy scans of ``data.root``.

    Of a scan with a lesion mask the slices count that are 5 mm or more from any lesion.
    """
    cfg = run.cfg
    check_inputs(cfg)
    contrast = contrast_of(cfg)
    detector = load(run, contrast)
    counts, used = Counts(), 0
    for request in run.progress(requests(cfg, contrast, run.log), "counting in healthy scans", unit="scan"):
        try:
            scan = read(request.path)
            brain = on_grid(request.mask, scan, run.flag) if request.mask else None
            maps = detector.maps(scan, brain, **drawing(cfg))
            healthy = maps.region
            if request.lesion:
                ill = on_grid(request.lesion, scan, run.flag, empty=True).data > 0
                healthy = maps.region & clear_of(ill, float(scan.spacing[2]))
        except DataError as error:
            run.fail(request.path.name, error)
            continue
        share = float(healthy.sum() / max(maps.region.sum(), 1))
        counts.add(maps.anomaly, healthy, share, voxels_of(cfg.smallest, scan.spacing))
        used += 1
    if not used:
        raise DataError(f"{cfg.data.root}: none of the {contrast} scans could be used")
    found = Calibration.of(counts, cfg.smallest, detector.model.meta.get("sha256", ""), of_the_map(cfg))
    path = run.samples / "calibration.json"
    write_json(path, found.to_json())
    run.metric("scans", used)
    run.metric("healthy_voxels", found.voxels)
    run.report.facts({"healthy scans": used, "contrast": contrast, "healthy voxels": found.voxels})
    run.report.table(
        "Thresholds",
        [
            {"healthy voxels marked": share, "threshold": at, "false lesions a scan": found.rates(at)[1]}
            for share in (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4)
            if min(f for f in found.fpr if f > 0) <= share <= found.fpr[0]
            for at in [found.at(share)]
        ],
        f"Counted as masks are written: regions below {cfg.smallest:g} ml dropped. calibration={path} uses them.",
    )
    run.log(f"thresholds: {path}")
    if cfg.from_:
        _keep_in_weights(run, found, resolve_weights(weights_for(contrast, cfg.from_), PLUGIN))


def _keep_in_weights(run: Run, found: Calibration, source: object) -> None:
    """The weights of from= once more, with these thresholds inside."""
    tensors, meta = checkpoint.load(source)  # type: ignore[arg-type]
    meta = {key: value for key, value in meta.items() if key != "sha256"}
    path = run.checkpoints / "weights.safetensors"
    checkpoint.save(path, tensors, {**meta, "calibration": found.to_json()})
    run.log(f"weights with these thresholds: {path}")
