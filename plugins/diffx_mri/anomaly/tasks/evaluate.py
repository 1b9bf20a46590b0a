"""task=evaluate: anomaly maps against known lesions, beside brightness and other methods."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from diffx.errors import DataError, UsageError
from diffx.evaluation import Figure, typical, worst
from diffx.run import Run

from ..components import marked, voxels_of
from ..evaluate.cases import Known, chosen, known
from ..evaluate.curves import precision_recall, sweep, written
from ..evaluate.figures import SECONDS, figures, pools
from ..evaluate.others import Others
from ..evaluate.scores import OWN, Counted, count, of_odds
from ..face import AnomalyDetector, Maps
from ..inputs import check_inputs, contrast_of
from ..pictures import CAPTION, Shown, picture, shown
from ..score import Settings
from .detect import check_thresholds, drawing, load

_SHOWN = 6  # rows of a picture


@dataclass(frozen=True)
class Case:
    """A scan that was evaluated: whose, what was counted, a slice to show, the threshold, whether it is a brain without
    skull, seconds it took."""

    subject: str
    counted: Counted
    row: Shown
    threshold: float
    stripped: bool
    seconds: float


def evaluate(run: Run) -> None:
    """Held-out scans of ``data.root`` with lesion masks, or with lesions put in: the figures of ``metrics.json``."""
    cfg = run.cfg
    check_inputs(cfg)
    contrast = contrast_of(cfg)
    detector = load(run, contrast)
    detector.check_rate(cfg.fpr, cfg.false_lesions)
    check_thresholds(run, detector)
    settings = Settings(**asdict(cfg.score))
    others = Others.load(cfg.evaluate.others, cfg.device, settings, run.log)
    some = chosen(cfg, contrast, run.log)
    found: list[Case] = []
    with run.progress(len(some), "evaluating", unit="scan") as bar:
        for one in known(cfg, contrast, some, run.fail, run.flag):
            try:
                found.append(_case(run, detector, others, one))
            except DataError as error:
                run.fail(one.request.path.name, error)
            bar.advance()
    if not found:
        raise DataError(f"{cfg.data.root}: none of {len(some)} {contrast} scans could be evaluated")
    if not any(case.counted.true for case in found):
        raise DataError(f"{cfg.data.root}: no lesion mask marks anything")
    _report(run, detector, found)


def _case(run: Run, detector: AnomalyDetector, others: Others, one: Known) -> Case:
    cfg = run.cfg
    maps = detector.maps(one.scan, one.brain, **drawing(cfg))
    assert detector.calibration is not None
    if lacking := detector.calibration.lacks(maps.stripped):
        run.flag(lacking)
    threshold = detector.threshold(cfg.fpr, cfg.false_lesions, maps.stripped)
    least = voxels_of(cfg.smallest, one.scan.spacing)
    mask = marked(maps.anomaly, threshold, least)
    others_maps = others.maps(one.scan, one.brain)
    counted = count(maps, mask, one.truth, least, others_maps, detector.contrast, _strict(run, detector, maps.stripped))
    subject = one.request.subject or one.request.path.name
    return Case(
        subject, counted, _row(subject, one, maps, mask, threshold, counted), threshold, maps.stripped, maps.seconds
    )


def _strict(run: Run, detector: AnomalyDetector, stripped: bool) -> float | None:
    """The threshold at which a healthy scan shows ``evaluate.false_lesions``; None where too few scans were counted."""
    try:
        return detector.threshold(false_lesions=run.cfg.evaluate.false_lesions, stripped=stripped)
    except UsageError as error:
        run.flag(f"lesion_f1_strict is left out: {error}")
        return None


def _row(subject: str, one: Known, maps: Maps, mask: np.ndarray, threshold: float, counted: Counted) -> Shown:
    """The slice with the largest part of the lesions; without any, that with the most of the mask."""
    area = (one.truth if one.truth.any() else mask if mask.any() else maps.region).sum((0, 1))
    z = int(np.argmax(area))
    volume = counted.true * float(np.prod(one.scan.spacing)) / 1000
    note = f"{subject}, slice {z + 1} of {maps.scan.data.shape[2]}: Dice {counted.dice:.2f}, lesions {volume:.1f} ml"
    return shown(maps, mask, threshold, z, note, one.truth)


def _report(run: Run, detector: AnomalyDetector, found: list[Case]) -> None:
    cfg = run.cfg
    found = worst(found, lambda case: -case.counted.dice)
    counted, subjects = [case.counted for case in found], [case.subject for case in found]
    assert detector.calibration is not None
    stripped = sum(case.stripped for case in found) > len(found) / 2
    own, threshold = detector.calibration.of(stripped), detector.threshold(cfg.fpr, cfg.false_lesions, stripped)
    fpr, false = own.rates(threshold)
    every = pools(counted)
    options = cfg.evaluate
    large = bool(options.simulate) and min(options.volumes) >= 5
    made = figures(counted, subjects, every, fpr, (options.small, options.large), cfg.seed, large)
    for name, figure in made.items():
        run.metric(name, figure)
    run.metric("fpr_requested", fpr)
    run.metric("threshold", threshold)
    run.metric("n_patients", len(set(subjects)))
    run.metric("n_scans", len(found))
    seconds = Figure(float(np.mean([case.seconds for case in found])), unit="s", better="lower", n=len(found),
                     goal=SECONDS, title="time a volume")  # fmt: skip
    run.metric("seconds_per_volume", seconds)
    run.report.facts({"patients": len(set(subjects)), "contrast": detector.contrast})
    shown_rows = [case.row for case in found[:_SHOWN]]
    if len(found) > _SHOWN:
        middle = typical(found, lambda case: -case.counted.dice).row
        shown_rows[-1] = replace(middle, note=f"typical: {middle.note}")
    caption = f"{CAPTION}; truth as marked by hand or put in. The lowest Dice first, a typical scan last."
    run.report.picture("Worst first", picture(shown_rows), caption)
    areas = {name: made["auprc" if name == OWN else f"auprc_{name}"].value or 0.0 for name in every}
    prevalence = made["prevalence"].value or 0.0
    run.report.picture(
        "Precision and recall",
        precision_recall(every, areas, prevalence, written(counted)),
        "Over all voxels of head or brain of all patients, with the area under each curve (average precision). "
        "Guessing gives the prevalence.",
    )
    lines = {"calibrated": threshold, "best of these (oracle)": of_odds(every[OWN].threshold(every[OWN].best()))}
    run.report.picture(
        "Threshold",
        sweep(every[OWN], own, lines),
        f"Above: Dice of these patients at each threshold. Below: what it marks in the {own.scans:g} "
        f"healthy scans of the calibration; there the calibrated threshold shows {false:.1f} false lesions a scan.",
    )
    run.report.table(
        "Patients",
        [
            {"scan": case.subject, "Dice": case.counted.dice, "ill voxels": case.counted.true,
             "marked": case.counted.marked, "lesions": len(case.counted.lesions),
             "found": sum(one.dice > 0 for one in case.counted.lesions), "false": case.counted.false_lesions}
            for case in found
        ],
        "Worst first, at the calibrated threshold. A lesion is found where a marked region touches it.",
    )  # fmt: skip
