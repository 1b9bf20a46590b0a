"""Gradient boosting on the mains of ten minutes before and after, an own ensemble of trees for each appliance.

Fitted by scikit-learn (histogram gradient boosting, Ke et al. 2017); kept and evaluated as plain arrays, so that
neither pickle nor scikit-learn is needed to predict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from diffx.errors import DataError, ExtraError

from ..appliances import Appliance
from ..household import Household
from .base import Baseline, forget, generator, one_period, places

_AROUND = 600.0  # seconds
_FIELDS = ("feature", "threshold", "missing_left", "left", "right", "value", "root")


@dataclass(frozen=True)
class Trees:
    """Decision trees whose leaves add up to ``start``.

    Nodes of all trees in a row: of node i ``feature``, ``threshold`` (x <= threshold goes ``left``), ``missing_left``
    (where NaN goes), ``left``, ``right`` (a leaf points to itself) and ``value`` (of a leaf). ``root`` [trees].
    Features are float32, so thresholds rounded down to float32 part them as the fitted ones do.
    """

    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    root: np.ndarray
    start: float
    depth: int

    @classmethod
    def of(cls, fitted: Any) -> Trees:
        """The trees of a fitted HistGradientBoostingRegressor without categories."""
        nodes = [predictor.nodes for (predictor,) in fitted._predictors]
        root = np.cumsum([0, *(len(n) for n in nodes)])[:-1]
        own = np.repeat(root, [len(n) for n in nodes])
        flat = np.concatenate(nodes)
        leaf, itself = flat["is_leaf"].astype(bool), np.arange(len(flat))
        return cls(
            feature=np.where(leaf, 0, flat["feature_idx"]).astype(np.int16),
            threshold=_rounded_down(flat["num_threshold"]),
            missing_left=flat["missing_go_to_left"].astype(bool),
            left=_smallest(np.where(leaf, itself, flat["left"] + own)),
            right=_smallest(np.where(leaf, itself, flat["right"] + own)),
            value=flat["value"].astype(np.float32),
            root=_smallest(root),
            start=float(np.ravel(fitted._baseline_prediction)[0]),
            depth=int(flat["depth"].max()),
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions [n] for features [F, n], float32."""
        out = np.full(x.shape[1], self.start)
        column = np.arange(x.shape[1])
        gaps = bool(np.isnan(x).any())
        for root in self.root:
            node = np.full(x.shape[1], root)
            for _ in range(self.depth):
                seen = x[self.feature[node], column]
                left = seen <= self.threshold[node]
                if gaps:
                    left |= np.isnan(seen) & self.missing_left[node]
                node = np.where(left, self.left[node], self.right[node])
            out += self.value[node]
        return out


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The greatest float32 that is not more."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _smallest(index: np.ndarray) -> np.ndarray:
    """Indices in 16 bits where they fit."""
    return index.astype(np.int16 if index.max() < 2**15 else np.int32)


def around(mains: np.ndarray, at: np.ndarray, half: int) -> np.ndarray:
    """Features [4 half + 1, n] at positions [n]: the mains of ``half`` periods on each side, and their changes, W.

    NaN outside and where not known.
    """
    padded = np.pad(np.asarray(mains, np.float32), half, constant_values=np.nan)
    window = padded[np.asarray(at)[None, :] + np.arange(2 * half + 1)[:, None]]
    return np.concatenate([window, np.diff(window, axis=0)])


class GradientBoosting(Baseline):
    """Mean power given the mains around; one :class:`Trees` for each appliance."""

    kind = "gbm"

    def __init__(self, appliances: Sequence[Appliance], period: float, trees: Sequence[Trees]):
        super().__init__(appliances, period)
        self.trees = tuple(trees)

    @classmethod
    def fit(
        cls,
        houses: Sequence[Household],
        appliances: Sequence[Appliance],
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
        rows: int = 120_000,
        trees: int = 100,
    ) -> Self:
        """On ``rows`` positions of all houses: less than three minutes on one core for four appliances."""
        try:
            from sklearn.ensemble import HistGradientBoostingRegressor
        except ImportError:
            raise ExtraError("gradient boosting is fitted by scikit-learn: pip install 'diffx-suite[nilm]'") from None
        period = one_period(houses)
        half = round(_AROUND / period)
        chosen = list(places(houses, appliances, rows, generator(seed, "gbm")))
        x = np.concatenate([around(house.mains, at, half).T for house, at, _ in chosen])
        weight = np.concatenate([weight for _, _, weight in chosen])
        fitted = []
        for appliance in appliances:
            y = np.concatenate([house.as_far_as_metered([appliance.key])[0, at] for house, at, _ in chosen])
            told = np.isfinite(y)
            if not told.any():
                raise DataError(f"{', '.join(house.name for house in houses)}: no meter of {appliance.key}")
            model = HistGradientBoostingRegressor(max_iter=trees, max_depth=7, early_stopping=False, random_state=seed)
            fitted.append(Trees.of(model.fit(x[told], y[told], sample_weight=weight[told])))
            say(f"gbm: {appliance.key}: {trees} trees on {told.sum():,} rows")
        return cls(appliances, period, fitted)

    def predict(self, mains: np.ndarray) -> np.ndarray:
        half = round(_AROUND / self.period)
        out = np.zeros((len(self.appliances), len(mains)))
        known = np.flatnonzero(np.isfinite(mains))
        for first in range(0, len(known), 4096):  # what stays in the processor's cache is several times faster
            at = known[first : first + 4096]
            x = around(mains, at, half)
            for a, trees in enumerate(self.trees):
                out[a, at] = trees(x)
        return forget(out, mains)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            f"{i}.{name}": torch.from_numpy(getattr(trees, name))
            for i, trees in enumerate(self.trees)
            for name in _FIELDS
        }
        return tensors, {"start": [t.start for t in self.trees], "depth": [t.depth for t in self.trees]}

    @classmethod
    def restored(
        cls, appliances: tuple[Appliance, ...], period: float, tensors: dict[str, Tensor], facts: dict[str, Any]
    ) -> Self:
        trees = [
            Trees(**{name: tensors[f"{i}.{name}"].numpy() for name in _FIELDS}, start=start, depth=depth)
            for i, (start, depth) in enumerate(zip(facts["start"], facts["depth"], strict=True))
        ]
        return cls(appliances, period, trees)
