"""Figures over patients, with 95 % intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from diffx.evaluation import Baseline, Figure, Goal, estimate

from .ranking import Pool
from .scores import INTENSITY, OWN, Counted

SECONDS = Goal(high=60, wanted="at most 60 s on 2 cores")
_FOUND = Goal(low=0.60, wanted="at least 0.60 of made lesions of 5 ml and more")
_TITLES = {
    "auprc": "average precision over voxels",
    "auprc_intensity": "the same, brightness alone",
    "auprc_autoencoder": "the same, denoising autoencoder",
    "auprc_regression": "the same, regression of the same size",
    "dice_calibrated": "Dice, threshold of healthy scans",
    "dice_val_threshold": "Dice, threshold of the other patients",
    "dice_oracle": "Dice, best threshold of these patients (oracle)",
    "healthy_fpr": "share of healthy voxels that are marked",
    "lesion_f1": "F1 over lesions",
    "lesion_f1_strict": "F1 over lesions, threshold of a rate of false lesions",
}


def pools(counted: Sequence[Counted]) -> dict[str, Pool]:
    """The voxels of all patients, of each method."""
    return {name: Pool([one.ranked[name] for one in counted]) for name in counted[0].ranked}


def figures(
    counted: Sequence[Counted],
    subjects: Sequence[str],
    found: Mapping[str, Pool],
    fpr: float,
    sizes: tuple[float, float],
    seed: int = 0,
    made: bool = False,
) -> dict[str, Figure]:
    """The figures of metrics.json.

    Args:
        counted: one a scan.
        subjects: whose it is.
        found: of each method, as :func:`pools` gives it.
        fpr: share of healthy voxels that the mask was to mark.
        sizes: volumes in ml below which a lesion is small, and above which it is large.
        seed: of the resampling.
        made: whether the lesions were put in, all of 5 ml and more.
    """
    about: dict[str, Any] = {"groups": list(subjects), "seed": seed}
    out = _areas(found, about)
    own, rows = found[OWN], np.arange(len(counted))

    def overlap(pairs: Sequence[tuple[int, int]], name: str, **facts: Any) -> Figure:
        array = np.array(pairs, float)
        each = [2 * both / total for both, total in pairs if total]
        more: dict[str, Any] = {"facts": {"mean_of_patients": float(np.mean(each))}} if each else {}
        return estimate(_ratio(2.0), array, better="higher", title=_TITLES[name], **about, **more, **facts)

    written = [(one.both, one.true + one.marked) for one in counted]
    out["dice_calibrated"] = overlap(written, "dice_calibrated")
    if len(counted) > 1:
        out["dice_val_threshold"] = overlap(own.left_out(), "dice_val_threshold")
    out["dice_oracle"] = estimate(
        lambda chosen: float(own.dice(_ints(chosen)).max()), rows, better="higher", title=_TITLES["dice_oracle"],
        baselines=[Baseline(INTENSITY, float(found[INTENSITY].dice().max()))], **about,
    )  # fmt: skip
    out |= _healthy(counted, fpr, about)
    out |= _lesions(counted, subjects, sizes, seed)
    if made:
        out |= {name: replace(one, goal=_FOUND) for name, one in out.items() if name.startswith("lesion_f1")}
    prevalence = np.array([(one.true, one.voxels) for one in counted], float)
    out["prevalence"] = estimate(_ratio(), prevalence, title="share of ill voxels", **about)
    return out


def _areas(found: Mapping[str, Pool], about: Mapping[str, Any]) -> dict[str, Figure]:
    """Average precision of each method; that of the plugin beside all others."""
    areas = {}
    for method, pool in found.items():
        name = "auprc" if method == OWN else f"auprc_{method}"
        areas[name] = estimate(
            lambda chosen, pool=pool: pool.average_precision(_ints(chosen)), np.arange(len(pool.ill)),
            better="higher", title=_TITLES.get(name, f"the same, {method}"), **about,
        )  # fmt: skip
    others = [Baseline(name.removeprefix("auprc_"), one.value) for name, one in areas.items() if name != "auprc"]
    goal = Goal(low=areas[f"auprc_{INTENSITY}"].value, wanted="at least that of brightness alone")
    return {**areas, "auprc": replace(areas["auprc"], baselines=others, goal=goal)}


def _healthy(counted: Sequence[Counted], fpr: float, about: Mapping[str, Any]) -> dict[str, Figure]:
    """What the mask marks in slices without a lesion, beside what it was asked to."""
    pairs = np.array([(one.healthy_marked, one.healthy) for one in counted], float)
    return {"healthy_fpr": marked_share(pairs, fpr, **about)} if pairs[:, 1].sum() else {}


def marked_share(pairs: np.ndarray, fpr: float, title: str = _TITLES["healthy_fpr"], **about: Any) -> Figure:
    """The share of healthy voxels that is marked, of scans [n, 2] (marked, all), beside the one asked for."""
    goal = Goal(0.8 * fpr, 1.2 * fpr, f"within 20 % of the {fpr:g} asked for")
    return estimate(_ratio(), pairs, real_vs_real=fpr, goal=goal, title=title, **about)


def _lesions(
    counted: Sequence[Counted], subjects: Sequence[str], sizes: tuple[float, float], seed: int
) -> dict[str, Figure]:
    """F1 over lesions, and Dice of the small, middling and large ones."""
    masks = {"lesion_f1": [(c.lesions, c.false_lesions) for c in counted]}
    strict = [c.strict for c in counted if c.strict is not None]
    if len(strict) == len(counted):
        masks["lesion_f1_strict"] = strict
    out = {}
    for name, each in masks.items():
        numbers = [(sum(f.dice > 0 for f in lesions), len(lesions), false) for lesions, false in each]
        facts = dict(zip(("found", "lesions", "false"), map(int, np.sum(numbers, 0)), strict=True))
        out[name] = estimate(
            _f1, np.array(numbers, float), groups=list(subjects), seed=seed, better="higher", title=_TITLES[name],
            facts=facts,
        )  # fmt: skip
    low, high = sizes
    kinds: dict[str, Callable[[float], bool]] = {
        "small": lambda v: v < low, "medium": lambda v: low <= v <= high, "large": lambda v: v > high,
    }  # fmt: skip
    words = {"small": f"below {low:g} ml", "medium": f"{low:g} to {high:g} ml", "large": f"above {high:g} ml"}
    for name, fits in kinds.items():
        some = [(f.dice, who) for c, who in zip(counted, subjects, strict=True) for f in c.lesions if fits(f.volume)]
        title = f"Dice a lesion, {words[name]}"
        if not some:
            out[f"dice_{name}"] = Figure(None, n=0, better="higher", title=title, facts={"lesions": 0})
            continue
        values, groups = np.array([dice for dice, _ in some]), [who for _, who in some]
        facts = {"lesions": len(some), "found": int((values > 0).sum())}
        out[f"dice_{name}"] = estimate(
            lambda v: float(v.mean()), values, groups=groups, seed=seed, better="higher", title=title, facts=facts
        )
    return out


def _ratio(factor: float = 1.0) -> Callable[[Any], float]:
    def of(pairs: Any) -> float:
        total = pairs.sum(0)
        return float(factor * total[0] / total[1]) if total[1] else 0.0

    return of


def _f1(numbers: Any) -> float:
    hit, lesions, false = (float(v) for v in numbers.sum(0))
    return 2 * hit / (hit + lesions + false) if lesions + false else 1.0


def _ints(chosen: Any) -> np.ndarray:
    return np.asarray(chosen).astype(int)
