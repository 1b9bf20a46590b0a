"""Trained weights that draw rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import diffx
from diffx.guide import keep
from diffx.pipeline import Batch, Pipeline
from diffx.predict import Predict
from diffx.run import Run
from diffx.tasks import flag_broken
from diffx_tabular.config import TabularConfig
from diffx_tabular.data import field
from diffx_tabular.reader import Columns
from diffx_tabular.table import Category, Table, known


@dataclass(frozen=True)
class Generator:
    """A trained model and the table it was trained on."""

    pipeline: Pipeline
    table: Table

    @classmethod
    def of(cls, cfg: TabularConfig) -> Generator:
        """That of ``from=``. UsageError, DataError: none is named, or what is named holds none."""
        if not cfg.from_:
            raise diffx.UsageError("from= says which weights to draw from: a file or a run folder")
        pipeline = Pipeline.load(cfg.from_, cfg.device, plugin=cfg.plugin, extensions=cfg.extensions)
        return cls(pipeline, Table.from_json(pipeline.meta["table"], pipeline.extra))

    @property
    def trained(self) -> TabularConfig:
        """The configuration of training."""
        return self.pipeline.config

    def draw(self, run: Run, n: int, given: Mapping[str, str]) -> Columns:
        """Rows with seeds ``cfg.seed``, ``cfg.seed + 1``, ...; the columns of ``given`` are as given."""
        cfg = run.cfg
        mask, fixed, record = self._fixed(given)
        mask, fixed = ({k: v.to(self.pipeline.device) for k, v in part.items()} for part in (mask, fixed))

        def guide(predict: Predict, batch: Batch) -> Predict:
            # what is known of a category is seen by the network from the start, which makes the conditional exact;
            # what is known of a number it is told, and keeping it makes the column follow
            return keep(predict, mask, fixed, reveal=["categories"])

        rows: list[Mapping[str, torch.Tensor]] = []
        with run.progress(n, "drawing", unit="row") as bar:
            for row in self.pipeline.draw(record, range(cfg.seed, cfg.seed + n), cfg.sample, guide):
                rows.append(row)
                bar.advance()
        state = {name: torch.stack([row[name] for row in rows]) for name in self._shape}
        flag_broken(run, state)
        broken = any(not leaf.isfinite().all() for leaf in state.values())
        if broken or ("categories" in state and (state["categories"] >= torch.tensor(self.trained.levels)).any()):
            raise diffx.DataError(f"from={cfg.from_}: the network of these weights predicts nothing finite")
        return {**self.table.decode(state), **{name: [value] * n for name, value in given.items()}}

    @property
    def _shape(self) -> Any:
        return self.pipeline.spec.shape

    def _fixed(self, given: Mapping[str, str]) -> tuple[dict, dict, dict[str, float]]:
        """Mask and values of the leaves, and what the network is told."""
        told = set(self.trained.condition)
        mask = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in self._shape.items()}
        values = {
            name: torch.zeros(shape, dtype=torch.float32 if name == "numbers" else torch.int64)
            for name, shape in self._shape.items()
        }
        record: dict[str, float] = {}

        def fix(leaf: str, place: int, value: float) -> None:
            mask[leaf][place], values[leaf][place] = True, value

        numbers, places = list(self.table.numbers), {c.name: i for i, c in enumerate(self.table.categories)}
        by_name = {c.name: c for c in self.table.columns}
        for name, text in given.items():
            known(by_name, name, "given")
            column = by_name[name]
            if isinstance(column, Category):
                if text not in column.levels:
                    known_levels = ", ".join(map(repr, column.levels))
                    raise diffx.UsageError(f"given: {name} is one of {known_levels}, not {text!r}")
                fix("categories", places[name], column.levels.index(text))
                continue
            if column.gaps:
                fix("categories", places[f"{name} missing"], int(not text))
            if not text:
                if not column.gaps:
                    raise diffx.UsageError(f"given: {name} is never missing")
                continue
            if name not in told:
                able = f"condition=[{','.join([*self.trained.condition, name])}]"
                raise diffx.UsageError(f"given: these weights cannot be told {name}, a number; train with {able}")
            i = numbers.index(column)
            score = float(column.scores.encode(np.array([_within(name, text, column.scores.knots)]))[0])
            fix("numbers", i, score)
            record[field(i)] = score
        used = [leaf for leaf in mask if mask[leaf].any()]
        return {leaf: mask[leaf] for leaf in used}, {leaf: values[leaf] for leaf in used}, record


def _within(name: str, text: str, knots: np.ndarray) -> float:
    low, high = float(knots[0]), float(knots[-1])
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise diffx.UsageError(f"given: {name} is a number from {low:g} to {high:g}, not {text!r}")
    return value
