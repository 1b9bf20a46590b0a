"""Columns there and back, and the figures of fidelity where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diffx_tabular import evaluate, fidelity, reader
from diffx_tabular.config import TableData
from diffx_tabular.data import Data
from diffx_tabular.scores import KNOTS, NormalScores
from diffx_tabular.table import Category, Table
from diffx_tabular.utility import utility

import diffx

RNG = np.random.default_rng


def mixed(n: int, seed: int = 0) -> reader.Columns:
    """A name, a whole number, an amount with gaps, a label with gaps, and a constant."""
    rng = RNG(seed)
    kind = rng.choice(["red", "green", ""], n, p=[0.5, 0.3, 0.2])
    count = rng.poisson(20, n)
    amount = [f"{v:.3f}" if here else "" for v, here in zip(rng.lognormal(size=n), rng.uniform(size=n) > 0.25)]
    return {"kind": kind.tolist(), "count": [str(c) for c in count], "amount": amount, "same": ["7"] * n}


def test_normal_scores_come_back_exactly_and_are_normal() -> None:
    rng = RNG(1)
    for values in (rng.normal(size=2000), rng.poisson(2, 2000).astype(float), np.exp(3 * rng.normal(size=KNOTS))):
        scores = NormalScores(values)
        for u in (rng.uniform(size=len(values)), 0.5, 1e-4, 1 - 1e-4):
            assert np.array_equal(scores.decode(scores.encode(values, u)), values)
        z = scores.encode(values, rng.uniform(size=len(values)))
        assert z.dtype == np.float32 and fidelity.kolmogorov_smirnov(z, _normal(len(z))) < 0.02
        drawn = scores.decode(_normal(20_000))  # as many of each tie as there were, and nothing beyond the ends
        assert fidelity.kolmogorov_smirnov(drawn, values) < 0.01
        assert drawn.min() >= values.min() and drawn.max() <= values.max()


def test_scores_of_unseen_values_lie_between_those_of_their_neighbours() -> None:
    scores = NormalScores(np.array([0.0, 1.0, 1.0, 1.0, 3.0]))
    z = scores.encode(np.array([0.0, 0.5, 1.0, 2.0, 3.0]))
    assert (np.diff(z) > 0).all()
    assert scores.decode(z) == pytest.approx([0, 0.5, 1, 2, 3], abs=1e-5)
    many = NormalScores(RNG(0).uniform(size=3 * KNOTS))
    assert len(many.knots) == KNOTS and np.abs(many.knots - np.linspace(0, 1, KNOTS)).max() < 0.02


def _normal(n: int) -> np.ndarray:
    """Standard normal quantiles at n even probabilities."""
    return NormalScores(np.arange(float(n))).encode(np.arange(float(n)))


def test_rows_come_back_as_they_were() -> None:
    columns = mixed(400)
    table = Table.of(columns, range(400))
    assert [type(c).__name__ for c in table.columns] == ["Category", "Number", "Number", "Category"]
    assert [c.name for c in table.categories] == ["kind", "same", "amount missing"]
    state = table.encode(columns, seed=3)
    assert np.isfinite(state["numbers"]).all() and abs(state["numbers"].std(0) - 1).max() < 0.1
    assert table.decode(state) == columns
    again = Table.from_json(table.to_json(), table.tensors())
    assert again.same(table) and again.decode(state) == columns
    assert not table.same(Table.of(columns, range(300)))


def test_a_table_without_numbers_or_without_categories() -> None:
    columns = mixed(50)
    for names in (["kind", "same"], ["count"]):
        part = {name: columns[name] for name in names}
        table = Table.of(part, range(50))
        assert table.decode(table.encode(part)) == part
        found = evaluate.Evaluation.of(Data(table, part, part), part, names[0]).figures
        assert found["column_fidelity"].value == 1 and "correlation_error" not in found
        assert found["copies"].value == 0  # of rows that recur there are no copies
        several = len(names) > 1
        assert ("utility" in found) == ("pair_fidelity" in found) == several
        assert "closest_distance_ratio" not in found


def test_what_a_column_is_can_be_said() -> None:
    columns = {"a": ["1", "2", "3"] * 5, "b": ["1.5", "2.5", "1e-3"] * 5, "c": ["00123", "4", "5"] * 5}
    table = Table.of(columns, range(15), numbers=["a"], categories=["c"])
    assert [isinstance(c, Category) for c in table.columns] == [False, False, True]
    assert table.decode(table.encode(columns))["b"][:3] == ["1.500", "2.500", "0.001"]
    assert table.decode(table.encode(columns))["c"] == columns["c"]
    with pytest.raises(diffx.DataError, match="column a: 'x' is no finite number"):
        Table.of({"a": ["x", "1"]}, range(2), numbers=["a"])
    with pytest.raises(diffx.UsageError, match="no column 'aa'; did you mean 'a'"):
        Table.of(columns, range(15), numbers=["aa"])
    with pytest.raises(diffx.DataError, match="column key: 300 different texts"):
        Table.of({"key": [f"k{i}" for i in range(300)]}, range(300))


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected a header and rows"),
        ("a,b\n", "expected a header and rows"),
        ("a,a\n1,2\n", "each column needs a name of its own"),
        ("a,b\n1,2\n3\n", "line 3: 1 values for 2 columns"),
        ('a,b\n1,"2\n', "not to be read as CSV"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(diffx.DataError, match=said) as error:
        reader.read(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_splits_share_no_row_and_stay_the_same(tmp_path: Path) -> None:
    columns = {"row": [str(i) for i in range(100)], "kind": ["x, y", ""] * 50}
    path = reader.write(tmp_path / "t.csv", columns)
    assert reader.read(path) == columns
    data, again = (Data.load(TableData(root=str(path), held_out=0.3)) for _ in range(2))
    assert data.train == again.train
    assert (
        len(data.held_out["row"]) == 30 and sorted(data.train["row"] + data.held_out["row"], key=int) == columns["row"]
    )
    item = data.rows("train", ["row"])[5]
    assert item["number0"] == item["x"]["numbers"][0] and set(item["x"]) == {"numbers", "categories"}


def test_distances_of_columns_are_those_of_the_textbook() -> None:
    assert fidelity.kolmogorov_smirnov(np.array([1.0, 2, 3, np.nan]), np.array([2.0, 3, 4, 5])) == pytest.approx(1 / 2)
    assert fidelity.total_variation(np.array([0, 0, 1, 1]), np.array([0, 2, 2, 2])) == pytest.approx(3 / 4)
    x = RNG(0).normal(size=(500, 2))
    x[:, 1] = np.exp(x[:, 0])
    assert fidelity.rank_correlation(x)[0, 1] == pytest.approx(1)
    x[::3, 1] = np.nan
    assert fidelity.rank_correlation(x)[0, 1] == pytest.approx(1)


def test_figures_tell_a_copy_from_independent_columns() -> None:
    rng = RNG(4)
    kind = rng.choice(["a", "b"], 900)
    size = np.where(kind == "a", 0, 3) + rng.normal(size=900)
    weight = size + 0.1 * rng.normal(size=900)
    columns = {"size": [f"{v:.4f}" for v in size], "weight": [f"{v:.4f}" for v in weight], "kind": kind.tolist()}
    parts = [{k: v[i : i + 300] for k, v in columns.items()} for i in (0, 300, 600)]
    table = Table.of(columns, range(300))
    data = Data(table, parts[0], parts[1])
    fair = evaluate.Evaluation.of(data, parts[2], "kind").figures
    copied = evaluate.Evaluation.of(data, parts[0], "kind")
    trivial = {name: figure.baselines[0].value for name, figure in fair.items() if figure.baselines}
    assert fair["pair_fidelity"].value > 0.9 > 0.75 > trivial["pair_fidelity"]
    assert fair["correlation_error"].value < 0.05 and trivial["correlation_error"] > 0.8
    assert fair["utility"].value > 0.85 and abs(trivial["utility"] - 0.5) < 0.15
    assert 0.8 < fair["closest_distance_ratio"].value < 1.25 and fair["copies"].verdict == "met"
    assert copied.figures["column_fidelity"].value == copied.figures["column_fidelity"].real_vs_real
    assert copied.audit.alarm and copied.figures["closest_distance_ratio"].value == 0
    assert fair["near_share"].verdict == "met" and copied.figures["near_share"].verdict == "missed"
    assert utility(table, parts[0], parts[1], "weight") > 0.9
