"""What a training reads, and what its weights have to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffx.io.cache import cache_path
from diffx.io.checkpoint import load, under
from diffx.plugins.weights import resolve_weights

from .config import TranslateConfig
from .data import Pairs, prepare
from .mean_model import PLUGIN
from .residual import Residuals, expectations, regression_of


@dataclass(frozen=True)
class TrainingData:
    """``sets`` "train" and "val"; ``tensors`` and ``facts`` that go into the file of weights; ``start``: whether
    ``from=`` names weights to go on from, and not the regression alone."""

    sets: Mapping[str, Pairs]
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    start: bool


def training_data(
    cfg: TranslateConfig,
    log: Callable[[str], None] = lambda text: None,
    fail: Callable[[str, str], None] = lambda item, reason: None,
    progress: Callable[[Any, str], Any] = lambda items, label: items,
) -> TrainingData:
    """Slices for a regression, or residuals for a diffusion, of ``data.root``. Raises DataError, UsageError."""
    found = None if cfg.regression else regression_of(cfg)  # before the reading, which takes a minute
    slices = prepare(cfg, log, fail)
    tensors = {f"quantiles.{name}": torch.from_numpy(values).float() for name, values in slices.quantiles.items()}
    facts: dict[str, Any] = {"licence": slices.licence, "contrasts": slices.contrasts}
    if found is None:
        return TrainingData({name: Pairs(slices, name) for name in ("train", "val")}, tensors, facts, bool(cfg.from_))
    regressor, inside = found
    file = cache_path(cfg.data.cache, f"expected-{regressor.meta['sha256'][:16]}.safetensors", plugin=PLUGIN)
    expected, spread = expectations(slices, regressor, file, progress)
    if inside:  # going on, in the unit that the weights are used to
        spread = float(under(load(resolve_weights(cfg.from_ or "", PLUGIN))[0], "extra")["spread"])
    log(f"the regression leaves {spread:.3f} of the slices' standard deviation")
    parameters, about = regressor.to_tensors()
    tensors |= {f"regression.{name}": value for name, value in parameters.items()}
    tensors["spread"] = torch.tensor(spread)
    sets = {name: Residuals(slices, name, expected, spread) for name in ("train", "val")}
    return TrainingData(sets, tensors, {**facts, "regression": about}, inside)
