"""The figures of task=evaluate, each beside real against real and its baselines (the mean brain first)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffx.evaluation import Baseline, Figure, Goal, compare, estimate
from diffx.metrics import Audit, audit, frechet_distance, median_distance, mmd2, prdc, rbf

from .measures import Readings
from .similarity import histogram_distance, spectrum_distance

MEAN = "mean brain"  # the trivial baseline: the mean brain of the same age and sex
Distance = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class Brains:
    """A set of N brains as figures see it: `ages` in years and `men` 1 or 0 [N], NaN where unknown; the `readings` of
    the measures; `histograms`, `spectra`, `pixels` and `scores` (principal components of `pixels`), a row each."""

    ages: Tensor
    men: Tensor
    readings: Readings
    histograms: Tensor
    spectra: Tensor
    pixels: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.ages)


Views = Mapping[str, tuple[Callable[[Brains], Tensor], Distance]]


def views(train: Brains, held_out: Brains, k: int) -> Views:
    """What sets are compared by: name -> (rows of a set, distance from real to other rows)."""
    width = median_distance(train.readings.features, held_out.readings.features) or 1.0  # 0 where all are alike

    def neighbours(name: str) -> Distance:
        return lambda real, fake: float(getattr(prdc(real, fake, k), name))

    def features(brains: Brains) -> Tensor:
        return brains.readings.features

    return {
        "frechet": (features, frechet_distance),
        "frechet_pixel": (lambda b: b.scores, frechet_distance),
        "mmd": (features, lambda real, fake: mmd2(real, fake, rbf(width)).value),
        **{name: (features, neighbours(name)) for name in ("precision", "recall", "density", "coverage")},
        "hist_distance": (lambda b: b.histograms, histogram_distance),
        "spectrum_distance": (lambda b: b.spectra, spectrum_distance),
    }


BETTER = {"precision": "higher", "recall": "higher", "density": "", "coverage": "higher"}


def distances(
    synthetic: Brains, held_out: Brains, train: Brains, others: Mapping[str, Brains], seed: int
) -> dict[str, Figure]:
    """Distances between sets: of the held-out scans to the synthetic brains, to as many training scans (real against
    real: mean and central 95 % over 40 random subsets), and to each of the baselines."""
    n = min(len(synthetic), len(train))
    k = 3 if min(n, len(held_out)) < 50 else 5
    found: dict[str, Figure] = {}
    for name, (rows, distance) in views(train, held_out, k).items():
        sets = {other: rows(brains) for other, brains in others.items()}
        better = BETTER.get(name, "lower")
        found[name] = compare(distance, rows(held_out), rows(synthetic), rows(train), sets, seed=seed, better=better)
    if found["frechet"].real_vs_real:
        most = 1.5 * found["frechet"].real_vs_real
        goal = Goal(high=most, wanted="at most 1.5 × real against real")
        found["frechet"] = replace(found["frechet"], goal=goal, title="Fréchet distance")
    return found


def ages(brains: Brains, seed: int) -> dict[str, Figure]:
    """How well age shows: the error and correlation of the age read back, and the correlation of ventricle volume with
    age and its slope; with bootstrap intervals over people. Empty with fewer than 4 known ages."""
    known = brains.ages.isfinite()
    if int(known.sum()) < 4:
        return {}
    asked, read, ventricles = brains.ages[known], brains.readings.years[known], brains.readings.ventricles[known]
    return {
        "age_mae": estimate(mean_size, read - asked, seed=seed, unit="years", better="lower"),
        "age_r": estimate(correlation, read, asked, seed=seed, better="higher"),
        "ventricle_age_r": estimate(correlation, ventricles, asked, seed=seed),
        "ventricle_age_slope": estimate(slope, ventricles, asked, seed=seed, unit="ml/year"),
    }


def age_goals(synthetic: Mapping[str, Figure], real: Mapping[str, Figure]) -> dict[str, Goal]:
    """What is wanted of the synthetic brains' figures of :func:`ages`, by the real ones'."""
    error, spread = real["age_mae"].value, real["ventricle_age_r"].interval
    goals = {"age_mae": Goal(high=1.25 * (error or 0.0), wanted="at most 1.25 × real against real")}
    if spread is not None:
        words = f"{spread[0]:.2f} to {spread[1]:.2f}, the 95 % interval of real scans"
        goals["ventricle_age_r"] = Goal(spread[0], spread[1], words)
    return {name: goal for name, goal in goals.items() if name in synthetic}


def sex_difference(brains: Brains, seed: int) -> Figure | None:
    """Brain volume of men less that of women, litres; None with fewer than 2 of either."""
    known = brains.men.isfinite()
    volume, men = brains.readings.brain[known], brains.men[known]
    if min(int((men == 1).sum()), int((men == 0).sum())) < 2:
        return None

    def difference(volume: Tensor, men: Tensor) -> float:
        m, f = volume[men == 1], volume[men == 0]
        return float(m.mean() - f.mean()) if len(m) and len(f) else 0.0

    return estimate(difference, volume, men, seed=seed, unit="l")


def misread(brains: Brains) -> Tensor:
    """|age read - age| of each brain, years [N]; -1 where the age is not known."""
    return (brains.readings.years - brains.ages).abs().nan_to_num(-1.0)


def mean_size(x: Tensor) -> float:
    """Mean of |x|."""
    return float(x.abs().mean())


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's r; 0 where one of the two does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 1e-12 else 0.0


def slope(y: Tensor, x: Tensor) -> float:
    """Of the least-squares line of y over x; 0 where x does not vary."""
    x = x - x.mean()
    return float(x @ y) / float(x @ x) if float(x @ x) > 1e-12 else 0.0


def memorisation(
    synthetic: Brains, train: Brains, held_out: Brains, baseline: Brains, mirrored: Tensor
) -> dict[str, tuple[Audit, dict[str, Figure]]]:
    """The audit in the encoder's features and, of low-resolution pixels, against the training scans and their mirror
    images `mirrored` (the generator was trained on both): name -> (audit, figures).

    `distance_ratio` and `share` also tell of brains nearer to the middle than real ones are, as the mean brain, their
    baseline, is; `neighbour_ratio` (nearest over second nearest, 5th percentile) and `copies` tell of copies alone.
    """
    both = torch.cat([train.pixels, mirrored])
    views: dict[str, tuple[Callable[[Brains], Tensor], Tensor]] = {
        "memorisation": (lambda b: b.readings.features, train.readings.features),
        "memorisation_pixel": (lambda b: b.pixels, both),
    }
    seen = {"memorisation": "features", "memorisation_pixel": "pixels"}
    held = len(held_out)
    found: dict[str, tuple[Audit, dict[str, Figure]]] = {}
    for name, (rows, known) in views.items():
        one, mean = (audit(rows(brains), known, rows(held_out)) for brains in (synthetic, baseline))

        def beside(value: float, real: float, trivial: float | None = None, n: int = one.synthetic) -> Figure:
            baselines = () if trivial is None else (Baseline(MEAN, trivial),)
            return Figure(value, real_vs_real=real, baselines=baselines, n=n, n_real=held)

        copies = replace(beside(len(one.copies), 0), better="lower", goal=Goal(high=0, wanted="none"))
        found[name] = (
            one,
            {
                f"{name}_distance_ratio": beside(one.distance_ratio, 1.0, mean.distance_ratio),
                f"{name}_share": replace(beside(one.share, one.expected, mean.share), facts={"p": one.p_value}),
                f"{name}_neighbour_ratio": beside(one.ratio, one.ratio_held_out, mean.ratio),
                f"{name}_copies": replace(copies, title=f"copies of training scans, by {seen[name]}"),
            },
        )
    return found
