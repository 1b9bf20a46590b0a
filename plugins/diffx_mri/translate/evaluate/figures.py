"""Figures of a translation against the truth, beside a copy, a single sample and a regression."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffx.evaluation import Baseline, Figure, estimate
from diffx.metrics import ause, rank_correlation, spread_skill

from ...pictures import Row
from ...slices import head_mask
from ..config import SliceSampling
from ..face import Translator
from ..intensity import matched
from ..mean_model import Stack
from ..pack import Slices
from ..uncertainty import estimated, spread_of
from .scores import mae, peak, psnr, ssim

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray, float], float]
VALUE = "synthetic"  # what is written, whichever estimate that is
IMAGE_SCORES: dict[str, Measure] = {"psnr": psnr, "ssim": ssim, "mae": mae}
COPY = "copy"  # the trivial baseline: the source with the intensities of the contrast wanted


@dataclass(frozen=True)
class Case:
    """A held-out subject in one direction: ``scores`` of each method, what the ``uncertainty`` is worth, a picture."""

    subject: str
    scores: Mapping[str, Mapping[str, float]]
    uncertainty: Mapping[str, float]
    row: Row


def cases(
    translator: Translator,
    slices: Slices,
    given: str,
    wanted: str,
    n: int,
    seed: int,
    estimate: str,
    options: SliceSampling,
) -> Iterator[Case]:
    """Each held-out scan that has both contrasts."""
    for row in slices.select("val"):
        if given in row["has"] and wanted in row["has"]:
            yield _case(translator, slices, row, given, wanted, n, seed, estimate, options)


def _case(
    translator: Translator, slices: Slices, row: Mapping[str, Any], given: str, wanted: str, n: int, seed: int,
    estimate: str, options: SliceSampling,
) -> Case:  # fmt: skip
    source, truth = slices.scan(row, given), slices.scan(row, wanted)
    # what is shown to the model is the source alone; the truth's own head only says where to score
    stack, scored = Stack(source, head_mask(source), row["thickness"]), head_mask(truth)
    drawn, expected = translator.draw(stack, given, wanted, n, seed, options)
    middle, spread = estimated(drawn, expected, estimate), spread_of(drawn)
    methods = {
        VALUE: middle,
        "regression": expected,
        "mean of samples": drawn.mean(0),
        "one sample": drawn[0],
        COPY: matched(source, translator.quantiles[given], translator.quantiles[wanted]),
    }
    top = peak(truth, scored)
    scores = {
        method: {name: of(image, truth, scored, top) for name, of in IMAGE_SCORES.items()}
        for method, image in methods.items()
    }
    error = np.abs(middle - truth)
    shown = row["lesion"] if row["lesion"] is not None else (row["low"] + row["high"]) // 2
    columns = {
        "source": source,
        "synthetic": middle,
        "synthetic, one sample": drawn[0],
        "truth": truth,
        "error": error,
    }
    known: dict[str, float] = {}
    if spread is not None:
        known = {
            "rank_correlation": rank_correlation(spread[scored], error[scored]),
            "rank_correlation_of_brightness": rank_correlation(middle[scored], error[scored]),
            "ause": ause(spread[scored], error[scored]),
            "ause_of_brightness": ause(middle[scored], error[scored]),
            "spread_skill": spread_skill(spread[scored], (drawn.mean(0) - truth)[scored], n),
        }
        columns["uncertainty"] = spread
    note = f"{row['subject']}, slice {shown + 1} of {row['count']}: {scores[VALUE]['psnr']:.1f} dB"
    return Case(row["subject"], scores, known, Row(note, {name: image[shown] for name, image in columns.items()}))


def figures(found: list[Case]) -> dict[str, Figure]:
    """Means over the cases, with 95 % intervals by resampling subjects: psnr, ssim and mae beside a copy and the other
    estimates; and what the uncertainty is worth, beside the brightness of the image as a trivial guess at it."""
    out: dict[str, Figure] = {}
    for name in IMAGE_SCORES:
        methods = [COPY, *(method for method in found[0].scores if method not in (COPY, VALUE))]
        others = [Baseline(m, float(np.mean([case.scores[m][name] for case in found]))) for m in methods]
        better = "lower" if name == "mae" else "higher"
        unit = "dB" if name == "psnr" else ""
        out[name] = _mean(found, [c.scores[VALUE][name] for c in found], baselines=others, better=better, unit=unit)
    known = {name: [case.uncertainty[name] for case in found] for name in found[0].uncertainty}
    for name, better in (("rank_correlation", "higher"), ("ause", "lower")):
        if name in known:
            trivial = [Baseline("brightness", float(np.mean(known[f"{name}_of_brightness"])))]
            out[f"uncertainty_{name}"] = _mean(found, known[name], baselines=trivial, better=better)
    if "spread_skill" in known:  # 1 is what members drawn as the truth is would get
        out["uncertainty_spread_skill"] = _mean(found, known["spread_skill"], real_vs_real=1.0)
    return out


def _mean(found: list[Case], values: list[float], **facts: Any) -> Figure:
    subjects = [case.subject for case in found]
    return estimate(lambda sample: float(sample.mean()), np.array(values), groups=subjects, **facts)
