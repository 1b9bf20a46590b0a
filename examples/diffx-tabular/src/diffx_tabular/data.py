"""The rows to train on and those held out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import diffx
from diffx_tabular.config import TableData
from diffx_tabular.reader import Columns, diabetes, length, read
from diffx_tabular.table import Table, known


@dataclass(frozen=True)
class Rows:
    """A data set: the state of each row, and the scores of the numbers that the network is to be told."""

    state: Mapping[str, np.ndarray]
    told: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.state["numbers"])

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        x = {name: torch.from_numpy(leaf[index]) for name, leaf in self.state.items() if leaf.shape[1]}
        return {"x": x, **{name: float(scores[index]) for name, scores in self.told.items()}}


@dataclass(frozen=True)
class Data:
    """A table, and its rows, split by a lot that depends on their number alone."""

    table: Table
    train: Columns
    held_out: Columns

    @classmethod
    def load(cls, options: TableData) -> Data:
        """The table that the options describe. DataError, UsageError: of :func:`read` and :class:`Table`."""
        columns = read(options.root, options.missing) if options.root else diabetes()
        for name in options.omit:
            known(columns, name, "data.omit")
        columns = {name: values for name, values in columns.items() if name not in options.omit}
        total = length(columns)
        hidden = round(total * options.held_out)
        if min(hidden, total - hidden) < 3:
            raise diffx.DataError(f"{total} rows do not split into some to train on and some to hold out")
        order = np.random.default_rng(0).permutation(total)
        seen, unseen = sorted(order[hidden:].tolist()), sorted(order[:hidden].tolist())
        table = Table.of(columns, seen, options.numbers, options.categories)
        return cls(table, take(columns, seen), take(columns, unseen))

    def rows(self, split: str, condition: Collection[str]) -> Rows:
        """ "train", or what is held out; with the numbers among ``condition`` as fields."""
        for name in condition:
            known([c.name for c in self.table.columns], name, "condition")
        columns = self.train if split == "train" else self.held_out
        state = self.table.encode(columns, seed=split != "train")
        gone = np.isnan(self.table.values(columns))
        told = {
            field(i): np.where(gone[:, i], np.nan, state["numbers"][:, i])
            for i, column in enumerate(self.table.numbers)
            if column.name in condition
        }
        return Rows(state, told)


def field(number: int) -> str:
    """The name of the condition on a number, which unlike a column's may be that of a module."""
    return f"number{number}"


def take(columns: Columns, rows: Sequence[int]) -> Columns:
    """Some rows of a table."""
    return {name: [values[i] for i in rows] for name, values in columns.items()}
