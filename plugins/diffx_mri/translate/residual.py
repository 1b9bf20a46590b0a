"""What a regression leaves unexplained: the state of the diffusion.

A regression first, a diffusion of its residual after (Mardani et al. 2023, "Residual corrective diffusion modeling",
sec. 3): the mean needs no samples, and the diffusion spends its capacity on what is uncertain. With the state in units
of the residual, an untrained network already draws residuals of the right size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.errors import DataError, UsageError
from diffx.io.checkpoint import load, read_meta, save, under
from diffx.plugins.weights import resolve_weights

from ..slices import head_mask
from .config import TranslateConfig
from .data import Pairs
from .intensity import to_state
from .mean_model import PLUGIN, MeanModel, Stack
from .pack import Slices

Direction = tuple[str, str]
Expected = Mapping[Direction, torch.Tensor]  # given, wanted -> states [N, size, size] float16, as Slices.images


class Residuals(Pairs):
    """:class:`Pairs` whose ``x`` is (state - expected) / spread, with ``expected`` [1, size, size] among the fields."""

    def __init__(self, slices: Slices, split: str, expected: Expected, spread: float):
        super().__init__(slices, split)
        self.expected, self.spread = expected, spread

    def __getitem__(self, index: int) -> dict[str, Any]:
        row, k, given, wanted, mirrored = self.items[index]
        expected = self.expected[given, wanted][row["first"] + k][None].float()
        if mirrored:
            expected = expected.flip(-2)
        item = super().__getitem__(index)
        return {**item, "x": (item["x"] - expected) / self.spread, "expected": expected}


def regression_of(cfg: TranslateConfig) -> tuple[MeanModel, bool]:
    """The regression that ``from=`` names, or the one inside the diffusion that it names (then True).

    Raises:
        UsageError: no ``from=``.
        DataError: weights of other contrasts or another grid.
    """
    if not cfg.from_:
        raise UsageError("from= names the regression whose residual to learn: train one first, with regression=true")
    path = resolve_weights(cfg.from_, PLUGIN)
    inside = "regression" in read_meta(path)
    found = inside_of(path, cfg.device) if inside else MeanModel.load(path, cfg.device)
    for name in ("contrasts", "size", "spacing", "gap"):
        ours, theirs = getattr(cfg.data, name), getattr(found.config.data, name)
        if ours != theirs:
            raise DataError(f"{path} was trained with data.{name}={theirs}; give the same")
    return found, inside


def inside_of(path: Path, device: str) -> MeanModel:
    """The regression inside the weights of a diffusion."""
    tensors, meta = load(path)
    return MeanModel.from_tensors(under(tensors, "extra.regression"), meta["regression"], path, device)


def expectations(
    slices: Slices, regressor: MeanModel, file: Path, progress: Callable[[Any, str], Any]
) -> tuple[Expected, float]:
    """What the regression makes of each slice in each direction, and the root mean square of what it leaves of "train".

    Kept in ``file``, and read from there where that is of the same regression.
    """
    mark = {"kind": "expected", "of": regressor.meta.get("sha256"), "slices": sum(row["count"] for row in slices.rows)}
    directions = [(a, b) for a in slices.contrasts for b in slices.contrasts if a != b]
    if file.is_file() and {key: read_meta(file).get(key) for key in mark} == mark:
        tensors, meta = load(file)
        return {pair: tensors["/".join(pair)] for pair in directions}, meta["spread"]
    count, size = mark["slices"], slices.grid.size
    found = {pair: torch.zeros(count, size, size, dtype=torch.float16) for pair in directions}
    squares: list[float] = []
    training = {row["first"] for row in slices.select("train")}
    for row in progress(slices.rows, "regression"):
        part = slice(row["first"], row["first"] + row["count"])
        for given, wanted in directions:
            if not {given, wanted} <= set(row["has"]):
                continue
            source = slices.scan(row, given)
            stack = Stack(source, head_mask(source), row["thickness"])
            answer = regressor(stack, slices.grid, given, wanted)
            found[given, wanted][part] = torch.from_numpy(answer).half()
            if row["first"] in training:
                left = to_state(slices.scan(row, wanted)) - answer
                squares += [float(np.square(left[k]).mean()) for k in range(row["low"], row["high"] + 1)]
    spread = float(np.sqrt(np.mean(squares)))
    save(file, {"/".join(pair): states for pair, states in found.items()}, {**mark, "spread": spread})
    return found, spread
