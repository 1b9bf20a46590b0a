"""What `diffx run plugin=mri_translate` does."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import permutations

import numpy as np

from diffx import tasks as core
from diffx.errors import DataError
from diffx.evaluation import Figure, typical, worst
from diffx.run import Run

from ..pictures import Row
from ..pictures import slices as picture_of
from .contrast import Contrast, find_contrast
from .data import grid_of, prepare
from .evaluate import IMAGE_SCORES, VALUE, Case, cases, figures
from .face import WEIGHTS, Translation, Translator
from .inputs import check_inputs
from .intensity import head_mask
from .pack import pack as write_slices
from .training import training_data
from .write import TranslationWriter

_SHOWN = 6  # rows of a picture
_ESTIMATES = {
    "regression": "what the regression expects",
    "mean": "the mean of the samples",
    "median": "the median of the samples",
}


def train(run: Run) -> None:
    """A regression (``regression=true``), or a diffusion of what the regression ``from=`` leaves unexplained."""
    asked = run.cfg
    data = training_data(asked, run.log, run.fail, lambda items, label: run.progress(items, label, unit="scan"))
    slices = data.sets["train"].slices
    run.report.facts({"training scans": len(slices.select("train")), "held out": len(slices.select("val"))})
    try:
        if not data.start:  # the regression is no start for a network of another kind
            run.cfg = replace(asked, from_=None)
        core.train(run, data.tensors, data.facts, data.sets)
    finally:
        run.cfg = asked


def pack(run: Run) -> None:
    """Write the slices of ``data.root`` as one file in the run folder, for ``data.root=`` of another machine."""
    cfg = run.cfg
    check_inputs(cfg)
    file = run.samples / "slices.safetensors"
    write_slices(cfg.data.root, file, cfg.data.contrasts, grid_of(cfg), run.log, run.fail)
    run.log(f"{file}: data.root= takes it")


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


def evaluate(run: Run) -> None:
    """Held-out subjects of ``data.root`` in each direction: the figures of ``metrics.json`` under ``translate``."""
    cfg = run.cfg
    check_inputs(cfg)
    translator = Translator.load(cfg.from_, cfg.device, cfg.extensions, run.log)
    cfg.data.contrasts, cfg.data.size = translator.config.data.contrasts, translator.config.data.size
    cfg.data.spacing, cfg.data.gap = translator.config.data.spacing, translator.config.data.gap
    slices = prepare(cfg, run.log, run.fail)
    if cfg.source and cfg.target:
        directions = [translator.check(cfg.source, cfg.target)]
    else:
        directions = list(permutations(translator.contrasts, 2))
    metrics: dict[str, dict[str, Figure]] = {}
    for given, wanted in directions:
        scans = [r for r in slices.select("val") if given in r["has"] and wanted in r["has"]]
        if not scans:
            run.flag(f"no held-out subject has both {given} and {wanted}")
            continue
        found = []
        todo = cases(translator, slices, given, wanted, cfg.n, cfg.seed, cfg.estimate, cfg.sample)
        with run.progress(len(scans), f"{given} to {wanted}", unit="scan") as bar:
            for case in todo:
                found.append(case)
                bar.advance()
        found = worst(found, lambda case: -case.scores[VALUE]["psnr"])
        metrics[f"{given}_to_{wanted}"] = figures(found)
        run.metric("translate", metrics)
        run.report.picture(
            f"{given} to {wanted}, worst first",
            picture_of(_shown(found), slices.grid.spacing),
            "Held-out subjects, the lowest PSNR first and a typical one last; the slice with the largest lesion "
            f"where its mask is known. Synthetic: {_ESTIMATES[cfg.estimate]}; one sample: of {cfg.n}. Error: "
            "|synthetic - truth|; uncertainty: standard deviation over the samples; both on one scale in each row.",
        )
        table = [
            {"subject": c.subject, **{f"{m} {s}": c.scores[m][s] for s in IMAGE_SCORES for m in c.scores}}
            for c in found
        ]
        run.report.table(
            f"{given} to {wanted}", table, "Worst first. psnr in dB; mae as a share of the truth's 99.5th percentile."
        )
    if not metrics:
        raise DataError(f"{cfg.data.root}: no held-out subject has two of {', '.join(translator.contrasts)}")


def _shown(found: list[Case]) -> list[Row]:
    """The pictures of the worst cases and of a typical one, of cases sorted so."""
    if len(found) <= _SHOWN:
        return [case.row for case in found]
    middle = typical(found, lambda case: -case.scores[VALUE]["psnr"])
    return [*(case.row for case in found[: _SHOWN - 1]), replace(middle.row, note=f"typical: {middle.row.note}")]
