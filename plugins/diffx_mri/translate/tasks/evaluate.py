"""task=evaluate: figures of held-out subjects against the truth, beside a copy and the regression."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from diffx.errors import DataError
from diffx.evaluation import Figure, typical, worst
from diffx.run import Run

from ...pictures import Row
from ...pictures import slices as picture_of
from ..data import prepare
from ..evaluate.figures import IMAGE_SCORES, VALUE, Case, cases, figures
from ..face import Translator
from ..inputs import check_inputs
from ..uncertainty import ESTIMATES_SAID

_SHOWN = 6  # rows of a picture


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
            f"where its mask is known. Synthetic: {ESTIMATES_SAID[cfg.estimate]}; one sample: of {cfg.n}. Error: "
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
