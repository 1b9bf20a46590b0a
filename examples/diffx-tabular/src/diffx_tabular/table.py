"""What the columns of a table are, and rows as states: {"numbers": [n, N], "categories": [n, C]}."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import torch
from torch import Tensor

import diffx
from diffx_tabular.reader import Columns, length
from diffx_tabular.scores import NormalScores

FEW = 10  # whole numbers of so few different values are categories
MANY = 200  # text of more different values is no category
EXACT = 12  # decimals; beyond, numbers are written with all their digits

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Number:
    """A column of numbers. ``decimals`` it is written with, None for all; ``gaps``: whether values can be missing."""

    name: str
    scores: NormalScores
    decimals: int | None
    gaps: bool

    def text(self, value: float) -> str:
        return repr(float(value)) if self.decimals is None else f"{value:.{self.decimals}f}"


@dataclass(frozen=True)
class Category:
    """A column of one of several levels, of which "" is the missing one."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The columns of a table in their order.

    A number that can be missing has a category of its own beside it, known or missing. Where it is missing the number
    itself is noise, in training as in what is drawn, and decoding leaves it out.
    """

    columns: tuple[Number | Category, ...]

    @classmethod
    def of(
        cls, columns: Columns, rows: Sequence[int], numbers: Collection[str] = (), categories: Collection[str] = ()
    ) -> Table:
        """What the columns are by all their values, and how the numbers are distributed in ``rows`` of them.

        Raises:
            DataError: a column of unlike texts, or one said to be numbers that is not; UsageError: no such column.
        """
        for name in (*numbers, *categories):
            known(columns, name, "data.numbers and data.categories")
        found = [_column(n, values, rows, n in numbers, n in categories) for n, values in columns.items()]
        return cls(tuple(found))

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The columns of the leaf "numbers"."""
        return tuple(c for c in self.columns if isinstance(c, Number))

    @property
    def categories(self) -> tuple[Category, ...]:
        """Those of the leaf "categories": the columns, then whether each number with gaps is missing."""
        flags = (Category(f"{c.name} missing", ("no", "yes")) for c in self.numbers if c.gaps)
        return (*(c for c in self.columns if isinstance(c, Category)), *flags)

    def values(self, columns: Columns) -> np.ndarray:
        """Numbers [n, N], float64, NaN where missing."""
        parts = [[float(v) if v else np.nan for v in columns[c.name]] for c in self.numbers]
        return np.array(parts, dtype=np.float64).reshape(len(parts), length(columns)).T

    def codes(self, columns: Columns) -> np.ndarray:
        """The position of each category among the levels of its column, [n, C]."""
        parts = []
        for c in self.columns:
            if isinstance(c, Category):
                place = {level: number for number, level in enumerate(c.levels)}
                parts.append([place[v] for v in columns[c.name]])
        parts += [[int(not v) for v in columns[c.name]] for c in self.numbers if c.gaps]
        return np.array(parts, dtype=np.int64).reshape(len(parts), length(columns)).T

    def encode(self, columns: Columns, seed: int = 0) -> State:
        """Rows as states; ``seed`` places ties on their flat piece, and noise where a number is missing."""
        values, rng = self.values(columns), np.random.default_rng(seed)
        u, fill = rng.uniform(size=values.shape), rng.standard_normal(values.shape)
        scores = fill.astype(np.float32)
        for i, column in enumerate(self.numbers):
            here = ~np.isnan(values[:, i])
            scores[here, i] = column.scores.encode(values[here, i], u[here, i])
        return {"numbers": scores, "categories": self.codes(columns)}

    def decode(self, state: Mapping[str, Any]) -> Columns:
        """States as rows, in the form that the table had."""
        numbers, codes = np.asarray(state.get("numbers", ())), np.asarray(state.get("categories", ()))
        places = {column.name: i for i, column in enumerate(self.categories)}
        columns: Columns = {}
        i = 0
        for c in self.columns:
            if isinstance(c, Category):
                columns[c.name] = [c.levels[code] for code in codes[:, places[c.name]]]
                continue
            texts = [c.text(value) for value in c.scores.decode(numbers[:, i])]
            if c.gaps:
                gone = codes[:, places[f"{c.name} missing"]] == 1
                texts = ["" if missing else text for text, missing in zip(texts, gone)]
            columns[c.name], i = texts, i + 1
        return columns

    def to_json(self) -> dict[str, Any]:
        """All but the knots, which are :meth:`tensors`; :meth:`from_json` takes both."""
        said = [
            {"name": c.name, "levels": list(c.levels)}
            if isinstance(c, Category)
            else {"name": c.name, "decimals": c.decimals, "gaps": c.gaps}
            for c in self.columns
        ]
        return {"columns": said}

    def tensors(self) -> dict[str, Tensor]:
        """The knots of each number."""
        return {f"knots{i}": c.scores.tensor() for i, c in enumerate(self.numbers)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Table:
        """The table that :meth:`to_json` and :meth:`tensors` describe."""
        columns: list[Number | Category] = []
        i = 0
        for c in said["columns"]:
            if "levels" in c:
                columns.append(Category(c["name"], tuple(c["levels"])))
            else:
                columns.append(Number(c["name"], NormalScores(tensors[f"knots{i}"].numpy()), c["decimals"], c["gaps"]))
                i += 1
        return cls(tuple(columns))

    def same(self, other: Table) -> bool:
        """Whether both were fitted to the same rows."""
        mine, theirs = self.tensors(), other.tensors()
        same = self.to_json() == other.to_json() and mine.keys() == theirs.keys()
        return same and all(torch.equal(mine[k], theirs[k]) for k in mine)


def known(columns: Collection[str], name: str, where: str) -> None:
    """UsageError unless there is such a column."""
    if name not in columns:
        from diffx.errors import did_you_mean

        raise diffx.UsageError(f"{where}: there is no column {name!r}{did_you_mean(name, columns)}")


def _column(name: str, values: Sequence[str], rows: Sequence[int], number: bool, category: bool) -> Number | Category:
    exact = [_number(v) for v in values if v]
    wrong = next((v for v in values if v and _number(v) is None), None)
    if number and wrong is not None:
        raise diffx.DataError(f"column {name}: {wrong!r} is no finite number")
    parsed = [d for d in exact if d is not None]
    present = sorted({values[i] for i in rows if values[i]})
    few = len(set(parsed)) <= FEW and all(d == d.to_integral_value() for d in parsed)
    if category or wrong is not None or (few and not number) or len({float(v) for v in present}) < 2:
        levels = sorted(set(values), key=lambda v: (_number(v) or Decimal(0), v))
        if len(levels) > MANY:
            raise diffx.DataError(
                f"column {name}: {len(levels)} different texts are no category; data.omit=[{name}] leaves it out"
            )
        return Category(name, tuple(levels))
    decimals = max(-int(d.normalize().as_tuple().exponent) for d in parsed)
    known_values = np.array([float(values[i]) for i in rows if values[i]])
    gaps = any(not v for v in values)
    return Number(name, NormalScores(known_values), max(decimals, 0) if decimals <= EXACT else None, gaps)


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and np.isfinite(float(value)) else None
