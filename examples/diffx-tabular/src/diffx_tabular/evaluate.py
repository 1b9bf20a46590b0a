"""The figures of `task=evaluate`: fidelity, use, privacy, each beside real against real and its trivial baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diffx.evaluation import Baseline, Figure, Goal, worst
from diffx.metrics import Audit, audit
from diffx_tabular import fidelity
from diffx_tabular.data import Data
from diffx_tabular.reader import Columns, length
from diffx_tabular.table import Category, Table
from diffx_tabular.utility import utility

BASELINE = "independent columns"


@dataclass(frozen=True)
class Evaluation:
    """``figures`` for metrics.json, ``columns`` for the report's table, and the memorisation audit."""

    figures: dict[str, Figure]
    columns: list[dict[str, Any]]
    audit: Audit

    @classmethod
    def of(cls, data: Data, rows: Columns, target: str, seed: int = 0) -> Evaluation:
        """Of new rows, all against the rows held out.

        Real against real is what the training rows get in their place: as many real rows. The baseline is what these
        get with each column shuffled by itself: perfect columns, and nothing between them.
        """
        table, real, independent = data.table, data.held_out, shuffled(data.train, seed)
        n = {"n": length(rows), "n_real": length(real)}

        def beside(score: Callable[[Columns], float], **facts: Any) -> Figure:
            trivial = Baseline(BASELINE, score(independent))
            return Figure(score(rows), real_vs_real=score(data.train), baselines=[trivial], **n, **facts)

        def column_fidelity(other: Columns) -> float:
            return float(np.mean(list(fidelity.by_column(table, real, other).values())))

        figures = {"column_fidelity": beside(column_fidelity, better="higher")}
        if len(table.numbers) > 1:
            figures["correlation_error"] = beside(
                lambda other: fidelity.correlation_error(table, real, other), better="lower"
            )
        if len(table.columns) > 1:
            figures["pair_fidelity"] = beside(lambda other: fidelity.by_pair(table, real, other), better="higher")
            score = "balanced accuracy" if isinstance(_column(table, target), Category) else "R2"
            facts = {"score": score, "target": target}
            figures["utility"] = beside(lambda other: utility(table, other, real, target), better="higher", facts=facts)
        points, unseen = features(table, data.train), features(table, real)
        found, trivial = (audit(features(table, of), points, unseen) for of in (rows, independent))
        if found.distance_held_out > 0:  # 0 where most rows held out are rows of training too, as few categories are
            figures["closest_distance_ratio"] = _audited(found.distance_ratio, 1.0, trivial.distance_ratio, n)
        near = _audited(found.share, found.expected, trivial.share, n)
        goal = Goal(high=found.chance_share, wanted=f"at most {found.chance_share:.1%}, what chance can give")
        figures["near_share"] = replace(near, goal=goal, title="rows near to a training row")
        copies = _audited(len(found.copies), 0, None, n)
        goal = Goal(high=0, wanted="none")
        figures["copies"] = replace(
            copies, goal=goal, title="copies of training rows", facts={"p_value": found.p_value}
        )
        own, true = (fidelity.by_column(table, real, of) for of in (rows, data.train))
        each = [{"column": name, "new rows": own[name], "real rows": true[name]} for name in own]
        return cls(figures, worst(each, lambda row: 1 - row["new rows"]), found)


def _audited(value: float, real: float, trivial: float | None, n: dict[str, int]) -> Figure:
    baselines = () if trivial is None else (Baseline(BASELINE, trivial),)
    return Figure(value, real_vs_real=real, baselines=baselines, **n)


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
