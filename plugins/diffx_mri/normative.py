"""What age, sex and the size of the ventricles explain of a brain: a regression that is shrunk where it is noise.

A hundred brains are few for a network and plenty for a regression. So the mean brain of an age, a sex and a size of the
ventricles is had in closed form, and the diffusion learns how people differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

FEWEST = 40  # scans of known age and sex below which no trend is fitted: its slopes would mostly be noise
KNEE = (
    57.0  # years; ventricles widen faster after it (of straight, quadratic and broken lines the best cross-validated)
)
_QUANTILES = 21
_REACH = 5  # nodes over which signal and noise are compared, each way of the cube


def population(ages: Sequence[float], sexes: Sequence[str]) -> dict[str, Any]:
    """JSON-able facts of a population: means of the `features`, `ages` at 21 even quantiles, share of `men`."""
    spread = np.quantile(np.asarray(ages, dtype=float), np.linspace(0, 1, _QUANTILES)).round(2).tolist()
    facts = {"means": [0.0, 0.0, 0.0], "ages": spread, "men": float(np.mean([sex == "M" for sex in sexes]))}
    return {**facts, "means": features(ages, sexes, facts).mean(0).tolist()}


def features(
    ages: Sequence[float | None],
    sexes: Sequence[str | None],
    facts: dict[str, Any],
    ventricles: Sequence[float | None] | None = None,
    ageing: float = 1.0,
) -> torch.Tensor:
    """[N, 3] of sex (F -1/2, M +1/2), decades of age, decades past the knee; each less its mean in the population.

    Where the facts hold norms of the `ventricles`, [N, 4] with their standard scores. What is not known is 0, that is
    the mean. Ages are held within those of the population: outside a line only guesses. `ageing` multiplies what is
    told of age, for slopes that are known to be shrunk.
    """
    table = torch.zeros(len(ages), 4 if "ventricles" in facts else 3)
    if "ventricles" in facts and ventricles is not None:
        table[:, 3] = torch.tensor([score or 0.0 for score in ventricles])
    sex_mean, age_mean, past_mean = facts["means"]
    for row, age, sex in zip(table, ages, sexes, strict=True):
        if sex is not None:
            row[0] = {"F": -0.5, "M": 0.5}[sex] - sex_mean
        if age is not None:
            held = min(max(age, facts["ages"][0]), facts["ages"][-1])
            row[1], row[2] = ageing * (held / 10 - age_mean), ageing * (max(held - KNEE, 0) / 10 - past_mean)
    return table


def somebody(facts: dict[str, Any], u: Sequence[float]) -> tuple[float, str]:
    """Age (to a tenth of a year) and sex of somebody of the population, from two uniform variates."""
    age = float(np.interp(u[0], np.linspace(0, 1, len(facts["ages"])), facts["ages"]))
    return round(age, 1), "M" if u[1] < facts["men"] else "F"


def fit_slopes(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Slopes [P, C, X, Y, Z] of latents z [N, C, X, Y, Z] on features x [N, P], shrunk where they are mostly noise.

    Least squares on orthogonalised features q, x = q R with q'q = N: the coefficient of an element with residual
    variance s^2 then has noise variance s^2 / N. Each is multiplied by the positive part of 1 - noise / square
    (James-Stein; Efron and Morris 1973), both averaged over the nodes around, and R^-1 brings them back to x.
    A feature that does not vary has slope 0.
    """
    n, p = x.shape
    q, r = _orthogonal(x.double())
    flat = (z - z.mean(0)).flatten(1)
    slopes = q.float().T @ flat / n
    noise = (flat.square().sum(0) / n - slopes.square().sum(0)).clamp_min(0) / (n - 1 - p)
    keep = kept(slopes.square().reshape(p, *z.shape[1:]), noise.reshape(1, *z.shape[1:]))
    return torch.einsum("pq,q...->p...", torch.linalg.inv(r).float(), slopes.reshape(keep.shape) * keep)


def _orthogonal(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centred x [N, P] as q r, columns of q of mean square 1 and orthogonal, in order; a constant column is 0 in q."""
    q, r = x - x.mean(0), torch.eye(x.shape[1], dtype=x.dtype)
    for j in range(x.shape[1]):
        for i in range(j):
            r[i, j] = (q[:, i] * q[:, j]).mean()
            q[:, j] -= r[i, j] * q[:, i]
        size = q[:, j].square().mean().sqrt()
        if size < 1e-3:
            q[:, j] = 0
        else:
            r[j, j] = size
            q[:, j] /= size
    return q, r


def kept(square: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What is left of estimates of this square and this noise variance, [P, C, X, Y, Z]: the positive part of
    1 - noise / square, both averaged over the nodes around each."""
    return (1 - around(noise) / around(square).clamp_min(1e-12)).clamp_min(0)


def around(maps: torch.Tensor) -> torch.Tensor:
    """Mean over the nodes around each, [P, C, X, Y, Z]."""
    pad = (_REACH // 2,) * 6
    total, count = (
        torch.nn.functional.avg_pool3d(torch.nn.functional.pad(m, pad), _REACH, 1)
        for m in (maps, torch.ones_like(maps[:1, :1]))
    )
    return total / count
