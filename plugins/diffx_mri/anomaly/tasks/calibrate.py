"""task=calibrate: what each threshold costs on healthy scans, as a file for calibration= and weights that know it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.io.files import write_json
from diffx.plugins.weights import resolve_weights
from diffx.run import Run

from ...overlay import Say, on_grid
from ...volume import Volume
from ...volume import load as read
from ..calibrate import Calibration, Counts, Thresholds, clear_of, left_out
from ..components import voxels_of
from ..config import PLUGIN
from ..evaluate.figures import marked_share
from ..inputs import Request, check_inputs, contrast_of, requests, weights_for
from ..stack import Stack
from ..strip import compact, depth_of, rough_brain
from .detect import drawing, load, of_the_map

_FEWEST = 3  # scans, to tell how well rates hold in others
_SHARES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4)  # of healthy voxels, in the report


def calibrate(run: Run) -> None:
    """Count what is marked in the healthy scans of ``data.root``, as heads with their skull and as brains without.

    Of a scan with a lesion mask the slices count that are 5 mm or more from any lesion.
    """
    cfg = run.cfg
    check_inputs(cfg)
    contrast = contrast_of(cfg)
    detector = load(run, contrast)
    counts: dict[str, dict[str, Counts]] = {"head": {}, "brain": {}}  # of each scan, by its file
    used = 0
    for request in run.progress(requests(cfg, contrast, run.log), "counting in healthy scans", unit="scan"):
        try:
            scan = read(request.path)
            ill = np.zeros(scan.data.shape, bool)
            if request.lesion:
                ill = on_grid(request.lesion, scan, run.flag, empty=True).data > 0
            for brain, told in _looks(scan, request, contrast, run.flag):
                maps = detector.maps(scan, brain, **drawing(cfg))
                healthy = maps.region & clear_of(ill, float(scan.spacing[2])) & told
                share = float(healthy.sum() / max(maps.region.sum(), 1))
                kept = voxels_of(cfg.smallest, scan.spacing)
                of_scan = counts["brain" if maps.stripped else "head"].setdefault(str(request.path), Counts())
                of_scan.add(maps.anomaly, healthy, share, kept)
        except DataError as error:
            run.fail(request.path.name, error)
            continue
        used += 1
    if not used:
        raise DataError(f"{cfg.data.root}: none of the {contrast} scans could be used")
    about = cfg.smallest, detector.model.meta.get("sha256", ""), of_the_map(cfg)
    known = {name: [one for one in some.values() if one.voxels] for name, some in counts.items()}
    found = Thresholds(**{name: Calibration.of(Counts.sum(some), *about) for name, some in known.items() if some})
    path = run.samples / "calibration.json"
    write_json(path, found.to_json())
    run.metric("scans", used)
    run.report.facts({"healthy scans": used, "contrast": contrast})
    for name, own in (("head", found.head), ("brain", found.brain)):
        if own is not None:
            title = "Heads with their skull" if name == "head" else "Brains without skull"
            said = f"In {own.scans:g} healthy scans, {own.voxels:,} voxels; regions below {cfg.smallest:g} ml dropped."
            run.report.table(title, _table(own), said)
            _check(run, name, known[name], title)
    run.log(f"thresholds: {path}; calibration= takes it")
    if cfg.from_:
        _keep_in_weights(run, found, resolve_weights(weights_for(contrast, cfg.from_), PLUGIN))


def _check(run: Run, name: str, scans: list[Counts], title: str) -> None:
    """How well the rate that is asked for holds in a scan that was not counted."""
    fpr = run.cfg.fpr
    pairs = left_out(scans, fpr)
    if len(pairs) < _FEWEST:
        run.flag(f"{title}: {len(scans)} healthy scans are too few to tell how well the rates hold in others")
        return
    about = f"healthy voxels marked in a scan by the threshold of the others, {title.lower()}"
    run.metric(f"fpr_left_out_{name}", marked_share(pairs, fpr, about, seed=run.cfg.seed))
    each = pairs[:, 0] / pairs[:, 1]
    quantiles = dict(zip(("least", "a quarter below", "median", "a quarter above", "most"),
                         np.quantile(each, (0, 0.25, 0.5, 0.75, 1)), strict=True))  # fmt: skip
    run.report.table(f"{title}: single scans", [{k: float(v) for k, v in quantiles.items()}],
                     f"Share of healthy voxels marked in each of {len(each)} scans at the threshold that all the "
                     f"others have for {fpr:g}.")  # fmt: skip


def _looks(scan: Volume, request: Request, contrast: str, say: Say) -> Iterator[tuple[Volume | None, np.ndarray]]:
    """The scan as it is, and its brain alone where it shows more: a mask, None for all of it, and bool [Z], the slices
    in which that mask is a brain's. Without a mask among the derivatives it is told by intensity and shape."""
    everywhere = np.ones(scan.data.shape[2], bool)
    yield None, everywhere
    if request.brain:
        yield on_grid(request.brain, scan, say), everywhere
        return
    stack = Stack.of(scan, None, contrast)
    if stack.stripped:
        return
    rough = rough_brain(stack.slices, depth_of(stack.region))
    good = rough * np.array([compact(one) for one in rough])[:, None, None]
    mask = stack.restore(good, 0) > 0.5
    if mask.any():
        yield Volume(mask.astype(np.float32), scan.affine), np.asarray(mask.any((0, 1)))


def _table(own: Calibration) -> list[dict[str, float]]:
    known = [share for share in own.fpr if share > 0]
    shares = [share for share in _SHARES if known and known[-1] <= share <= known[0]]
    return [
        {
            "healthy voxels marked": share,
            "threshold": own.at(share),
            "false lesions a scan": own.rates(own.at(share))[1],
        }
        for share in shares
    ]


def _keep_in_weights(run: Run, found: Thresholds, source: Path) -> None:
    """The weights of from= once more, with these thresholds inside."""
    tensors, meta = checkpoint.load(source)
    path = run.checkpoints / "weights.safetensors"
    checkpoint.save(path, tensors, {**meta, "calibration": found.to_json()})
    run.log(f"weights with these thresholds: {path}")
