"""How large ventricles are for an age and a sex: standard scores of the logarithm of their volume.

Ventricles of one age differ by a factor of four, which no network learns from a hundred brains. So each training brain
is measured, its score is one more feature of the trend, and a sample is told its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .normative import features

Ages = Sequence[float | None]
Sexes = Sequence[str | None]


def norms(ages: Ages, sexes: Sexes, volumes: Sequence[float], facts: dict[str, Any]) -> dict[str, Any]:
    """What is usual in a population of these `facts`, JSON-able, of volumes in ml.

    `usual`: intercept and slopes of log volume on the features of age and sex, by least squares; logarithms, since
    what widens ventricles multiplies them. `spread`: the standard deviation about it. `largest`: of these, ml.
    """
    design = _design(ages, sexes, facts)
    usual, left = _fit(design, volumes)
    freedom = max(len(left) - design.shape[1], 1)
    return {"usual": usual, "spread": float((left.square().sum() / freedom).sqrt()), "largest": max(volumes)}


def scores(ages: Ages, sexes: Sexes, volumes: Sequence[float | None], facts: dict[str, Any]) -> list[float | None]:
    """Standard scores of volumes in ml, None where there is none; `facts` hold the `ventricles`' norms."""
    known = facts["ventricles"]
    return [
        None if volume is None else (math.log(volume) - usual) / known["spread"]
        for volume, usual in zip(volumes, _line(ages, sexes, facts, known["usual"]), strict=True)
    ]


def millilitres(ages: Ages, sexes: Sexes, scores: Sequence[float], facts: dict[str, Any]) -> list[float]:
    """The volumes that have these scores."""
    known = facts["ventricles"]
    usual = _line(ages, sexes, facts, known["usual"])
    return [math.exp(middle + known["spread"] * score) for middle, score in zip(usual, scores, strict=True)]


def largest_score(age: float | None, sex: str | None, facts: dict[str, Any]) -> float:
    """The score of the largest ventricles of the population, at this age and sex; inf where they are not known."""
    largest = facts["ventricles"].get("largest")
    return math.inf if largest is None else scores([age], [sex], [largest], facts)[0] or 0.0


def response(
    ages: Ages, sexes: Sexes, told: Sequence[float], volumes: Sequence[float], facts: dict[str, Any]
) -> list[float]:
    """How the volumes of mean brains follow the sizes they were `told`: intercept and slopes of log volume.

    On the features of age and sex and on the size, by least squares. A mean brain shrinks what is uncertain, so its
    ventricles answer by less than they are told.
    """
    sizes = torch.tensor(list(told), dtype=torch.float64)[:, None]
    return _fit(torch.cat([_design(ages, sexes, facts), sizes], 1), volumes)[0]


def to_tell(ages: Ages, sexes: Sexes, scores: Sequence[float], facts: dict[str, Any]) -> list[float]:
    """What to tell the trend so that mean brains have ventricles of these scores, by the `response` in the facts."""
    *usual, slope = facts["ventricles"]["response"]
    answered = _line(ages, sexes, facts, usual)
    wanted = [math.log(volume) for volume in millilitres(ages, sexes, scores, facts)]
    return [(log - middle) / slope for log, middle in zip(wanted, answered, strict=True)]


def _fit(design: Tensor, volumes: Sequence[float]) -> tuple[list[float], Tensor]:
    """Coefficients of log volume on the columns of a design [N, P], and what they leave [N]."""
    logs = torch.tensor([math.log(volume) for volume in volumes], dtype=torch.float64)
    found = torch.linalg.lstsq(design, logs[:, None], driver="gelsd").solution[:, 0]  # a feature may not vary
    return found.tolist(), logs - design @ found


def _line(ages: Ages, sexes: Sexes, facts: dict[str, Any], coefficients: Sequence[float]) -> list[float]:
    return (_design(ages, sexes, facts) @ torch.tensor(list(coefficients), dtype=torch.float64)).tolist()


def _design(ages: Ages, sexes: Sexes, facts: dict[str, Any]) -> Tensor:
    told = features(ages, sexes, facts)[:, :3].double()
    return torch.cat([torch.ones(len(told), 1, dtype=torch.float64), told], 1)
