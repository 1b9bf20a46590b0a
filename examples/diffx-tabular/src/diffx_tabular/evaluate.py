"""The figures of `task=evaluate`: fidelity, use, privacy, each beside its floor and its trivial baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffx.metrics import Audit, audit
from diffx_tabular import fidelity
from diffx_tabular.data import Data
from diffx_tabular.reader import Columns
from diffx_tabular.table import Category, Table
from diffx_tabular.utility import utility


@dataclass(frozen=True)
class Evaluation:
    """``metrics`` for metrics.json, ``columns`` for the report's table, and the memorisation audit."""

    metrics: dict[str, Any]
    columns: list[dict[str, Any]]
    audit: Audit

    @classmethod
    def of(cls, data: Data, rows: Columns, target: str, seed: int = 0) -> Evaluation:
        """Of new rows, all against the rows held out.

        The floor is what the training rows get in their place: as many real rows. The baseline is what these get with
        each column shuffled by itself: perfect columns, and nothing between them.
        """
        table, real = data.table, data.held_out
        compared = {"value": rows, "floor": data.train, "baseline": shuffled(data.train, seed)}
        columns = {what: fidelity.by_column(table, real, t) for what, t in compared.items()}
        metrics: dict[str, Any] = {
            "column_fidelity": {what: float(np.mean(list(c.values()))) for what, c in columns.items()},
        }
        if len(table.numbers) > 1:
            error = {what: fidelity.correlation_error(table, real, t) for what, t in compared.items()}
            metrics["correlation_error"] = error
        if len(table.columns) > 1:
            metrics["pair_fidelity"] = {what: fidelity.by_pair(table, real, t) for what, t in compared.items()}
            score = "balanced accuracy" if isinstance(_column(table, target), Category) else "R2"
            predicted = {what: utility(table, t, real, target) for what, t in compared.items()}
            metrics["utility"] = {**predicted, "score": score, "target": target}
        points, unseen = features(table, data.train), features(table, real)
        found = audit(features(table, rows), points, unseen)
        trivial = audit(features(table, compared["baseline"]), points, unseen)
        if found.distance_held_out > 0:  # 0 where most rows held out are rows of training too, as few categories are
            ratio = {"value": found.distance_ratio, "floor": 1.0, "baseline": trivial.distance_ratio}
            metrics["closest_distance_ratio"] = ratio
        metrics["near_share"] = {"value": found.share, "floor": found.expected, "baseline": trivial.share}
        metrics["copies"] = {"value": len(found.copies), "floor": 0, "p_value": found.p_value}
        each = [
            {"column": name, "new rows": value, "real rows": columns["floor"][name]}
            for name, value in columns["value"].items()
        ]
        return cls(metrics, each, found)


def shuffled(columns: Columns, seed: int) -> Columns:
    """The same columns, made independent."""
    rng = np.random.default_rng(seed)
    return {name: [values[i] for i in rng.permutation(len(values))] for name, values in columns.items()}


def features(table: Table, columns: Columns) -> np.ndarray:
    """Rows as points: numbers as normal scores, missing ones at 0; unlike categories sqrt(2) apart."""
    values, codes = table.values(columns), table.codes(columns)
    parts = [np.where(np.isnan(v), 0.0, c.scores.encode(np.nan_to_num(v))) for c, v in zip(table.numbers, values.T)]
    parts += [one for c, code in zip(table.categories, codes.T) for one in np.eye(len(c.levels))[code].T]
    return np.stack(parts, 1)


def _column(table: Table, name: str) -> Any:
    return next(c for c in table.columns if c.name == name)
