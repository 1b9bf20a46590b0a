"""The figures of task=evaluate, each beside its floor (real against real) and its baseline (the mean brain)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.metrics import Audit, audit, bootstrap, frechet_distance, median_distance, mmd2, prdc, rbf
from diffx.metrics.resample import permutation

from .measures import Measured
from .similarity import histogram_distance, spectrum_distance

SUBSETS = 40  # of the training scans, for a floor
Distance = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class Brains:
    """A set of N brains as figures see it: `ages` in years and `men` 1 or 0 [N], NaN where unknown; what the measures
    say; `histograms`, `spectra`, `pixels` and `scores` (principal components of `pixels`), a row each."""

    ages: Tensor
    men: Tensor
    measured: Measured
    histograms: Tensor
    spectra: Tensor
    pixels: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.ages)


Views = Mapping[str, tuple[Callable[[Brains], Tensor], Distance]]


def views(train: Brains, held_out: Brains, k: int) -> Views:
    """What sets are compared by: name -> (rows of a set, distance from real to other rows)."""
    width = median_distance(train.measured.features, held_out.measured.features) or 1.0  # 0 where all are alike

    def neighbours(name: str) -> Distance:
        return lambda real, fake: float(getattr(prdc(real, fake, k), name))

    def features(brains: Brains) -> Tensor:
        return brains.measured.features

    return {
        "frechet": (features, frechet_distance),
        "frechet_pixel": (lambda b: b.scores, frechet_distance),
        "mmd": (features, lambda real, fake: mmd2(real, fake, rbf(width)).value),
        **{name: (features, neighbours(name)) for name in ("precision", "recall", "density", "coverage")},
        "hist_distance": (lambda b: b.histograms, histogram_distance),
        "spectrum_distance": (lambda b: b.spectra, spectrum_distance),
    }


def distances(
    synthetic: Brains, held_out: Brains, train: Brains, others: Mapping[str, Brains], seed: int
) -> dict[str, dict[str, Any]]:
    """Distances between sets: of the held-out scans to the synthetic brains, to as many training scans (the floor: mean
    and central 95 % over 40 random subsets), and to each of the other sets ("baseline", "codec")."""
    n = min(len(synthetic), len(train))
    k = 3 if min(n, len(held_out)) < 50 else 5
    found: dict[str, dict[str, Any]] = {}
    subsets = [permutation(len(train), seed, i)[:n] for i in range(SUBSETS)]
    for name, (rows, distance) in views(train, held_out, k).items():
        real, known = rows(held_out), rows(train)
        floors = np.array([distance(real, known[subset]) for subset in subsets])
        found[name] = {
            "value": distance(real, rows(synthetic)),
            "floor": float(floors.mean()),
            **{other: distance(real, rows(brains)) for other, brains in others.items()},
            "floor_interval": np.quantile(floors, [0.025, 0.975]).tolist(),
            "n": len(synthetic),
        }
    return found


def ages(brains: Brains, seed: int) -> dict[str, dict[str, Any]]:
    """How well age shows: the error and correlation of the age read back, and the correlation of ventricle volume with
    age and its slope; with bootstrap intervals over people. Empty with fewer than 4 known ages."""
    known = brains.ages.isfinite()
    if int(known.sum()) < 4:
        return {}
    asked, read, ventricles = brains.ages[known], brains.measured.years[known], brains.measured.ventricles[known]
    statistics: dict[str, tuple[Callable[..., float], Sequence[Tensor]]] = {
        "age_mae": (lambda error: float(error.abs().mean()), (read - asked,)),
        "age_r": (correlation, (read, asked)),
        "ventricle_age_r": (correlation, (ventricles, asked)),
        "ventricle_age_slope": (slope, (ventricles, asked)),
    }
    return {name: _figure(statistic, data, seed) for name, (statistic, data) in statistics.items()}


def sex_difference(brains: Brains, seed: int) -> dict[str, Any] | None:
    """Brain volume of men less that of women, litres; None with fewer than 2 of either."""
    known = brains.men.isfinite()
    volume, men = brains.measured.brain[known], brains.men[known]
    if min(int((men == 1).sum()), int((men == 0).sum())) < 2:
        return None

    def difference(volume: Tensor, men: Tensor) -> float:
        m, f = volume[men == 1], volume[men == 0]
        return float(m.mean() - f.mean()) if len(m) and len(f) else 0.0

    return _figure(difference, (volume, men), seed)


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's r; 0 where one of the two does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 1e-12 else 0.0


def slope(y: Tensor, x: Tensor) -> float:
    """Of the least-squares line of y over x; 0 where x does not vary."""
    x = x - x.mean()
    return float(x @ y) / float(x @ x) if float(x @ x) > 1e-12 else 0.0


def _figure(statistic: Callable[..., float], data: Sequence[Tensor], seed: int) -> dict[str, Any]:
    interval = bootstrap(statistic, *data, seed=seed)
    return {"value": interval.value, "interval": [interval.low, interval.high], "n": len(data[0])}


def memorisation(
    synthetic: Brains, train: Brains, held_out: Brains, baseline: Brains, mirrored: Tensor
) -> dict[str, tuple[Audit, dict[str, Any]]]:
    """The audit in the encoder's features and, of low-resolution pixels, against the training scans and their mirror
    images `mirrored` (the generator was trained on both): name -> (audit, figures).

    `distance_ratio` and `share` also tell of brains nearer to the middle than real ones are, as the mean brain, their
    baseline, is; `neighbour_ratio` (nearest over second nearest, 5th percentile) and `copies` tell of copies alone.
    """
    both = torch.cat([train.pixels, mirrored])
    views: dict[str, tuple[Callable[[Brains], Tensor], Tensor]] = {
        "memorisation": (lambda b: b.measured.features, train.measured.features),
        "memorisation_pixel": (lambda b: b.pixels, both),
    }
    found: dict[str, tuple[Audit, dict[str, Any]]] = {}
    for name, (rows, known) in views.items():
        one, mean = (audit(rows(brains), known, rows(held_out)) for brains in (synthetic, baseline))
        near = {"value": one.distance_ratio, "floor": 1.0, "baseline": mean.distance_ratio}
        share = {"value": one.share, "floor": one.expected, "baseline": mean.share, "p": one.p_value}
        found[name] = (
            one,
            {
                f"{name}_distance_ratio": near,
                f"{name}_share": share,
                f"{name}_neighbour_ratio": {"value": one.ratio, "floor": one.ratio_held_out, "baseline": mean.ratio},
                f"{name}_copies": {"value": len(one.copies), "floor": 0, "n": one.synthetic},
            },
        )
    return found
