"""Baselines fitted together, in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from diffx.errors import DataError
from diffx.io import checkpoint

from ..appliances import Appliance
from ..household import Household
from .base import Baseline
from .gbm import GradientBoosting
from .off import AlwaysOff
from .seq2point import Seq2Point

KIND = "nilm baselines"
BASELINES: dict[str, type[Baseline]] = {each.kind: each for each in (AlwaysOff, GradientBoosting, Seq2Point)}


def fit_all(
    houses: Sequence[Household],
    appliances: Sequence[Appliance],
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Baseline]:
    """Every baseline, by name, fitted on the same houses: some five minutes on one core."""
    return {name: kind.fit(houses, appliances, seed, say) for name, kind in BASELINES.items()}


def save_all(path: str | Path, baselines: Mapping[str, Baseline], houses: Sequence[str] = ()) -> None:
    """Write one safetensors file; ``houses``: what they were fitted on."""
    tensors: dict[str, Any] = {}
    about = {}
    for name, baseline in baselines.items():
        own, facts = baseline.state()
        tensors |= {f"{name}.{key}": tensor for key, tensor in own.items()}
        appliances = [asdict(appliance) for appliance in baseline.appliances]
        about[name] = {"appliances": appliances, "period": baseline.period, "facts": facts}
    checkpoint.save(path, tensors, {"kind": KIND, "houses": list(houses), "baselines": about})


def load_all(path: str | Path) -> dict[str, Baseline]:
    """What :func:`save_all` wrote, by name. DataError for a file that is missing, damaged or something else."""
    tensors, meta = checkpoint.load(path)
    if meta.get("kind") != KIND:
        raise DataError(f"{path}: holds no baselines")
    if unknown := set(meta["baselines"]) - set(BASELINES):
        raise DataError(f"{path}: baselines that this diffx does not know: {', '.join(sorted(unknown))}")
    found = {}
    for name, about in meta["baselines"].items():
        appliances = tuple(map(Appliance.of_json, about["appliances"]))
        own = checkpoint.under(tensors, name)
        found[name] = BASELINES[name].restored(appliances, float(about["period"]), own, about["facts"])
    return found
