"""Figures, goals, cases and packed data: what is written comes back, and what is said of it is right."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diffx.data import assign, cache_key, hold_out, is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError
from diffx.evaluation import LEAST, Baseline, Figure, Goal, Ranking, compare, estimate, judged, to_json, typical, worst
from diffx.noise import Noise


def test_a_figure_goes_through_metrics_json_and_back():
    own = Figure(
        1.5, [1.0, 2.0], 1.2, [1.1, 1.3], [Baseline("mean", 3.0), Baseline("copy", None)], 20, 30, "W", "lower",
        Goal(high=1.8, wanted="at most 1.5 x real against real"), "error", {"pairs": 24},
    )  # fmt: skip
    written = json.loads(json.dumps(own.to_json()))
    assert Figure.from_json(written) == own
    assert written["baseline"] == 3.0 and written["baselines"] == {"mean": 3.0, "copy": None}
    assert written["floor"] == 1.2 and written["floor_interval"] == [1.1, 1.3] and written["pairs"] == 24
    assert written["goal"] == {"high": 1.8, "wanted": "at most 1.5 x real against real", "verdict": "met"}
    assert Figure(None).to_json() == {"value": None}
    by_hand = Figure.from_json({"value": 2, "baseline": 3, "floor": 1, "split": "val"})
    assert by_hand.baselines == [Baseline("", 3)] and by_hand.real_vs_real == 1 and by_hand.facts == {"split": "val"}
    assert to_json({"a": {"b": own}, "c": 1}) == {"a": {"b": own.to_json()}, "c": 1}


@pytest.mark.parametrize(
    ("value", "goal", "verdict", "words"),
    [
        (20.0, Goal(high=20), "met", "at most 20"),
        (20.1, Goal(high=20), "missed", "at most 20"),
        (0.94, Goal(low=0.95), "missed", "at least 0.95"),
        (0.9, Goal(0.85, 0.95), "met", "0.85 to 0.95"),
        (0.0, Goal(0, 0), "met", "0"),
        (None, Goal(high=20), None, "at most 20"),
    ],
)
def test_verdicts(value, goal, verdict, words):
    assert Figure(value, goal=goal).verdict == verdict and goal.words == words
    assert Figure(value).verdict is None


def test_few_cases_get_no_verdict_on_either_side():
    goal = Goal(high=1)
    assert Figure(2.0, n=LEAST, n_real=LEAST, goal=goal).verdict == "missed"
    assert Figure(2.0, n=LEAST, n_real=LEAST - 1, goal=goal).verdict == "too few to tell"
    assert Figure(2.0, n=LEAST - 1, goal=goal).verdict == "too few to tell"
    found = dict(judged(to_json({"a": {"b": Figure(2.0, goal=goal), "plain": 3}, "c": Figure(1.0)})))
    assert list(found) == ["a.b"] and found["a.b"].verdict == "missed"


def test_an_estimate_rests_on_groups():
    house = np.repeat(np.arange(20), 30)
    watts = Noise([1]).normal(20)[0].double().repeat_interleave(30)
    found = estimate(lambda v: float(v.mean()), watts, groups=house.tolist(), unit="W", better="lower")
    assert found.n == 20 and found.unit == "W" and found.value == pytest.approx(float(watts.mean()))
    half = 1.96 * float(watts[::30].std()) / 20**0.5
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * half, rel=0.15)
    assert estimate(lambda v: float(v.mean()), watts[:60], groups=house[:60].tolist()).interval is None


def test_comparing_sets_says_what_real_ones_get():
    """Means of 25 of 800 values: their distance from a fixed mean is a folded normal, known in closed form."""
    x = Noise([3]).normal(825, 1)[0].double()
    real, known, fake = x[:25], x[25:825], x[:25] + 4

    def gap(a: torch.Tensor, b: torch.Tensor) -> float:
        return abs(float(a.mean() - b.mean()))

    found = compare(gap, real, fake, known, {"same": real, "zero": 0 * real}, subsets=200)
    assert found.value == pytest.approx(4) and found.n == found.n_real == 25
    mu, sd = gap(real, known), float(known.std()) / 5 * (1 - 25 / 800) ** 0.5
    folded = sd * (2 / np.pi) ** 0.5 * np.exp(-((mu / sd) ** 2) / 2) + mu * math.erf(mu / sd / 2**0.5)
    assert found.real_vs_real == pytest.approx(folded, rel=0.15)  # 200 subsets: an error of 0.75 / sqrt(200)
    assert found.real_vs_real_interval[0] < found.real_vs_real < found.real_vs_real_interval[1] < 1
    assert compare(gap, real, fake, known[:20], {}).real_vs_real_interval is None  # one choice has no spread
    assert [b.name for b in found.baselines] == ["same", "zero"] and found.baselines[0].value == 0


def test_the_worst_come_first_and_the_typical_one_is_in_the_middle():
    cases = [3, 9, 1, 9, 5]
    assert worst(cases, lambda c: c, 3) == [9, 9, 5] and typical(cases, lambda c: c) == 5
    assert typical([4, 2], lambda c: c) == 2
    kept = Ranking(lambda c: c % 7, most=2)
    for case in [7, 1, 13, 5, 6]:
        kept.add(case)
    assert list(kept) == [13, 6] and len(kept) == 2  # 7 has nothing wrong with it
    with pytest.raises(ValueError):
        typical([], lambda c: c)


def test_figures_are_light_to_import():
    code = "import sys, diffx.evaluation, diffx.data; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"


# --- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["val", "Validation", "TEST", "dev", "holdout", "hold-out", "held out", "eval", "fold3"]
)
def test_what_is_not_called_training_is_held_out(word):
    assert is_held_out(word)


@pytest.mark.parametrize("word", [None, "", "train", "Training", "TRN"])
def test_what_is_called_training_or_nothing_is_trained_on(word):
    assert not is_held_out(word)


def test_whole_groups_are_held_out_and_the_order_does_not_matter():
    rows = [{"subject": f"s{i // 3}", "split": None} for i in range(60)]
    assign(rows, 0.25, seed=4)
    again = [{"subject": f"s{i // 3}", "split": None} for i in reversed(range(60))]
    assign(again, 0.25, seed=4)
    by = {row["subject"]: row["split"] for row in rows}
    assert all(row["split"] == by[row["subject"]] for row in [*rows, *again])
    assert sorted(by.values()).count("val") == 5 == len(hold_out(by, 0.25, 4))
    assert hold_out(by, 0.25, 4) != hold_out(by, 0.25, 5)
    told = [{"subject": "a", "split": "test"}, {"subject": "b", "split": None}]
    assign(told, 0.5, seed=0)
    assert [row["split"] for row in told] == ["test", None]


def test_a_cache_key_changes_with_options_and_files(tmp_path):
    file = tmp_path / "scan"
    file.write_text("a")
    key = cache_key("v1", {"size": 2}, files=[file, None])
    assert key == cache_key("v1", {"size": 2}, files=[file]) and len(key) == 16
    assert key != cache_key("v2", {"size": 2}, files=[file]) != cache_key("v1", {"size": 3}, files=[file])
    file.write_text("ab")
    assert key != cache_key("v1", {"size": 2}, files=[file])
    with pytest.raises(FileNotFoundError):
        cache_key(files=[tmp_path / "no"])


def test_packed_arrays_come_back_mapped_and_checked(tmp_path):
    path = tmp_path / "p.safetensors"
    arrays = {"z": torch.randn(4, 3).half(), "power": np.arange(5, dtype=np.uint16)}
    pack_arrays(path, "toy 1", arrays, {"rows": [{"subject": "a"}]})
    found = read_arrays(path, "toy 1")
    assert torch.equal(found.arrays["z"], arrays["z"]) and found.index == {"rows": [{"subject": "a"}]}
    np.testing.assert_array_equal(found.arrays["power"].numpy(), arrays["power"])
    if sys.platform == "linux":
        assert str(path) in Path("/proc/self/maps").read_text()
    with pytest.raises(DataError, match=r"holds toy 1, not toy 2"):
        read_arrays(path, "toy 2")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_arrays(path, "toy 1")
    path.write_bytes(content[:-3])
    with pytest.raises(DataError, match=r"p\.safetensors"):
        read_arrays(path, "toy 1")
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "none", "toy 1")
