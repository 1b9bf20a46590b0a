"""task=translate: one contrast of another, for the subjects of a BIDS folder."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from diffx.errors import DataError
from diffx.run import Run

from ...contrast import Contrast, find_contrast
from ...pictures import Row
from ...pictures import slices as picture_of
from ...slices import head_mask
from ..face import WEIGHTS, Translation, Translator
from ..inputs import check_inputs
from ..write import TranslationWriter

_SHOWN = 6  # rows of a picture


def translate(run: Run) -> None:
    """``target`` for each subject of ``data.root`` that has ``source``, as a BIDS-derivatives folder."""
    cfg = run.cfg
    check_inputs(cfg)
    translator = Translator.load(cfg.from_, cfg.device, cfg.extensions, run.log)
    given, wanted = translator.check(cfg.source, cfg.target)
    scans = find_contrast(cfg.data.root, Contrast.of(given), run.log)
    out = TranslationWriter(run.samples, given, wanted, translator.licence)
    made = {"Weights": cfg.from_ or WEIGHTS, "Samples": cfg.n, "Seed": cfg.seed, "Estimate": cfg.estimate}
    if translator.licence:
        made["WeightsLicence"] = translator.licence
    options = asdict(cfg.sample)
    rows: list[Row] = []
    seconds: list[float] = []
    for session, scan in run.progress(scans.items(), "translating", unit="scan"):
        name = "_".join(filter(None, session))
        try:
            result = translator.translate(scan, given, wanted, cfg.n, cfg.seed, cfg.estimate, **options)
        except DataError as error:
            run.fail(name, str(error))
            continue
        _check(run, name, result)
        files = out.write(session, scan, result, {**made, "Sampling": options})
        run.log_only(f"{', '.join(file.name for file in files)}: {result.seconds:.1f} s")
        seconds.append(result.seconds)
        if len(rows) < _SHOWN:
            rows.append(_middle_slice(name, result))
    if not seconds:
        raise DataError(f"{cfg.data.root}: none of {len(scans)} {given} scans could be translated")
    run.metric("seconds_per_volume", sum(seconds) / len(seconds))
    run.report.facts({"volumes": len(seconds), "source": given, "target": wanted, "samples of each": cfg.n})
    run.report.picture(
        f"{wanted} made of {given}",
        picture_of(rows, translator.config.data.spacing),
        "Middle slices. The synthetic image is not a measurement. What the source does not show, such as the uptake of "
        "a contrast agent, is guessed from other heads: a lesion may be missing without the uncertainty being large. "
        "Not for diagnosis.",
    )


def _check(run: Run, name: str, result: Translation) -> None:
    if not np.isfinite(result.samples).all():
        run.flag(f"{name}: the synthetic image is not finite")
    elif result.samples[0].std() == 0:
        run.flag(f"{name}: the synthetic image is constant")


def _middle_slice(name: str, result: Translation) -> Row:
    filled = np.flatnonzero(head_mask(result.source).any((1, 2)))
    k = int(filled[len(filled) // 2])
    columns = {"source": result.source[k], "synthetic": result.estimate[k]}
    if result.spread is not None:
        columns |= {"synthetic, one sample": result.samples[0, k], "uncertainty": result.spread[k]}
    return Row(name, columns)
