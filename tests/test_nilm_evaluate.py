"""`task=evaluate` where every figure is known: pieces with errors and intervals that were put there by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd
import torch

from diffx.metrics import crps
from diffx.run import Run, execute
from diffx_nilm import pictures
from diffx_nilm.appliances import DEFAULT, KETTLE, MICROWAVE
from diffx_nilm.baselines import AlwaysOff, GradientBoosting, Seq2Point, save_all
from diffx_nilm.baselines.gbm import Trees
from diffx_nilm.baselines.seq2point import Net
from diffx_nilm.calibration import Calibration
from diffx_nilm.config import PowerConfig
from diffx_nilm.evaluate import charts as compare_charts
from diffx_nilm.evaluate.days import Days, misplaced
from diffx_nilm.evaluate.trials import RAW, Trial
from diffx_nilm.face import Opened
from diffx_nilm.household import Household
from diffx_nilm.result import Piece
from diffx_nilm.tasks import evaluate as task

DAY = 2880
ON, OFF = 288, 32  # kettle periods a day that are on, and that are off though the upper end says that it may be on


@dataclass
class Fake:
    """Knows the truth, and errs in a known way.

    The kettle's members are 100 and 50 W around it, but for a fifth too high on every fourth day. Its 90 % interval
    misses one in ten periods on and 32 periods off a day, its 50 % interval every second period on and those off.
    """

    appliances: tuple = DEFAULT
    period: float = 30.0
    meta: Any = None
    days: float = 1.5  # of a piece

    def __post_init__(self) -> None:
        self.calibration, self.meta = Calibration.none(len(self.appliances)), self.meta or {}

    def open(
        self, source: Household, reading: Any = None, usage: Any = None, seed: int = 0, say: Any = print
    ) -> Opened:
        length = round(self.days * DAY)
        return Opened({}, lambda: iter([source.cut(i, i + length) for i in range(0, len(source), length)]), source.days)

    def pieces(self, opened: Opened, n: int, seed: int, options: Any) -> Any:
        at = 0
        for house in opened.households():
            number = at + np.arange(len(house))
            at += len(house)
            members = np.zeros((n, len(self.appliances), len(house)), np.float32)
            for a, appliance in enumerate(self.appliances):
                members[:, a] = np.nan_to_num(house.parts.get(appliance.key, np.zeros(len(house))))
            on = members[0, 0] > 0
            members[:, 0] += on * np.linspace(-100, 100, n, dtype=np.float32)[:, None]
            members[:, 0] = np.where(on & (number // DAY % 4 == 3), 3000, members[:, 0])
            count, false = number // 10, (number % DAY < 32 * 90) & (number % 90 == 1)
            median = np.median(members, axis=0)
            ends = {level: (median.copy(), median.copy()) for level in (0.5, 0.9)}
            for level, missed in ((0.9, on & (count % 10 == 9)), (0.5, on & (count % 2 == 1))):
                low, high = ends[level]
                low[0], high[0] = np.where(on, 2000, 0), np.where(on, 3500, 0)
                high[0][missed], low[0][false], high[0][false] = 2400, 10, 2100
            gap = np.isnan(house.mains)
            members[:, :, gap] = np.nan
            for low, high in ends.values():
                low[:, gap] = high[:, gap] = np.nan
            yield Piece(house, self.appliances, members, ends)


def csv(path: Path, days: int, columns: tuple[str, ...] = ("Kettle", "Microwave"), gap: slice | None = None) -> None:
    """A house of 100 W whose kettle runs in every tenth period, and whose microwave runs half way between."""
    number = np.arange(days * DAY)
    parts = {"Kettle": 2500.0 * (number % 10 == 0), "Microwave": 800.0 * (number % 10 == 5)}
    mains = 100 + sum(parts.values())
    if gap:
        mains[gap] = np.nan
    times = pd.date_range("2024-01-01", periods=len(number), freq="30s")
    frame = pd.DataFrame({"Time": times, "Aggregate": mains, **{name: parts[name] for name in columns}})
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never on; trees that say 2400 W for the kettle where the mains are above 1000 W, else 0 W; 46.875 W always."""

    def stump(watts: float) -> Trees:
        split = ([20, 0, 0], [1000.0, 0, 0], [True] * 3, [1, 1, 2], [2, 1, 2], [0, 0, watts], [0])
        return Trees(*map(np.array, split), start=0.0, depth=1)

    net = Net(4)
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    net.head[2].bias.data[0] = 2**-6  # of 3000 W
    path = tmp_path_factory.mktemp("baselines") / "b.safetensors"
    made = {
        "always_off": AlwaysOff(DEFAULT, 30.0),
        "gbm": GradientBoosting(DEFAULT, 30.0, [stump(watts) for watts in (2400.0, 0, 0, 0)]),
        "seq2point": Seq2Point(DEFAULT, 30.0, net, 100.0, 500.0),
    }
    save_all(path, made, ["here"])
    return path


@pytest.fixture
def start(tmp_path: Path, baselines: Path, monkeypatch: pytest.MonkeyPatch):
    """options of ``data`` -> (exit code, run, metrics.json)."""

    def run(
        face: Fake | None = None, baselines: Path = baselines, drawn: bool = False, **data: Any
    ) -> tuple[int, Run, dict]:
        if not drawn:  # pictures take most of the time
            for module, name in ((compare_charts, "methods"), (compare_charts, "calibration"), (pictures, "closeup")):
                monkeypatch.setattr(module, name, lambda *args: np.zeros((1, 1), np.uint8))
        monkeypatch.setattr(task.Disaggregator, "load", lambda *args: face or Fake())
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        cfg = PowerConfig(plugin="nilm", task="evaluate", n=5, baselines=str(baselines), out=str(out))
        cfg = replace(cfg, data=replace(cfg.data, **{"root": str(tmp_path / "homes"), **data}))
        seen: list[Run] = []
        code = execute(cfg, lambda run: (seen.append(run), task.evaluate(run)))
        text = (out / "metrics.json").read_text() if (out / "metrics.json").exists() else "{}"
        return code, seen[0], json.loads(text)

    (tmp_path / "homes").mkdir()
    return run


def test_every_figure_of_a_house_is_the_one_that_was_put_there(start, tmp_path):
    csv(tmp_path / "homes" / "here.csv", 4, gap=slice(DAY + 11, DAY + 20))
    code, run, metrics = start(drawn=True)
    assert code == 0
    assert metrics["appliances"].keys() == {"kettle", "microwave"}
    n, on, energy = 4 * DAY - 9, 4 * ON, 2500.0 * 4 * ON
    kettle = metrics["appliances"]["kettle"]
    assert kettle.keys() == {"diffx", "always_off", "gbm", "seq2point"}
    missed = sum(k % 10 == 9 for k in range(on))  # of four days in a row, counted from the first
    members = np.repeat([[-100.0, -50, 0, 50, 100]], 3 * ON, axis=0).T
    expected = {
        "mae": 500 * ON / n, "sae": 500 * ON / energy, "sae_of_median": 500 * ON / energy,
        "f1": 1, "precision": 1, "recall": 1, "teca": 1 - 500 * ON / (2 * energy),
        "nde": ON * 500**2 / (on * 2500**2), "match_rate": energy / (energy + 500 * ON),
        "crps": (500 * ON + crps(members, np.zeros(3 * ON)) * 3 * ON) / n,
        "coverage50": on / 2 / (on + 4 * OFF), "coverage90": (on - missed) / (on + 4 * OFF),
        "energy_coverage90": 0.75, "n_samples": n, "n_days": 4, "average_precision": 1,
    }  # fmt: skip
    got = {name: value for name, value in kettle["diffx"].items() if not name.endswith("_interval")}
    assert got == pytest.approx(expected, rel=1e-6)
    assert kettle["diffx"]["f1_interval"] == [1, 1]
    low, high = kettle["diffx"]["mae_interval"]  # four days, one of which is wrong by 50 W: none of them or more
    assert low == 0 and kettle["diffx"]["mae"] < high < 50 * 4
    off, gbm, net = (kettle[name] for name in ("always_off", "gbm", "seq2point"))
    assert off["mae"] == pytest.approx(energy / n) and off["f1"] == 0 and off["sae"] == 1
    assert off["average_precision"] == pytest.approx(on / n) and gbm["average_precision"] == 1
    assert gbm["mae"] == pytest.approx(100 * on / n) and gbm["f1"] == 1 and gbm["sae"] == pytest.approx(0.04)
    assert net["mae"] == pytest.approx(((2500 - 46.875) * on + 46.875 * (n - on)) / n, rel=1e-5)
    for of in (off, gbm, net):
        assert of["coverage50"] is of["coverage90"] is of["energy_coverage90"] is None
        assert of["n_samples"] == n and of["crps"] == of["mae"]
    assert metrics["appliances"]["microwave"]["diffx"]["mae"] == 0
    alone = metrics["houses"]["here"]["appliances"]["kettle"]["diffx"]
    assert alone == got
    # the same in the form of every evaluation, with baselines and goals; of four days nothing is said to be met
    mae = metrics["scores"]["kettle"]["mae"]
    assert mae["value"] == kettle["diffx"]["mae"] and mae["interval"] == kettle["diffx"]["mae_interval"]
    assert mae["baselines"] == {"always off": off["mae"], "gradient boosting": gbm["mae"], "seq2point": net["mae"]}
    assert mae["baseline"] == off["mae"] and mae["n"] == 4 and mae["unit"] == "W" and mae["better"] == "lower"
    assert mae["goal"]["high"] == 0.9 * min(mae["baselines"].values()) and mae["goal"]["verdict"] == "too few to tell"
    assert metrics["scores"]["kettle"]["f1"]["goal"]["low"] == 0.95
    assert metrics["scores"]["kettle"]["coverage90"]["goal"]["wanted"] == "0.85 to 0.95"
    # the page: the worst day is the one that is a fifth too high; what was fitted here is said
    titles = [section.title for section in run.report.sections]
    assert titles[0] == "Beside the baselines" and titles.index("Kettle") < titles.index("The worst days")
    (worst,) = (section for section in run.report.sections if section.title == "The worst days")
    assert len(worst.rows) == 1 and worst.rows[0][:2] == ["2024-01-04", "1.2"]
    assert titles[-1] == "here, Thursday 4 January 2024"
    assert run.report.headline["smallest MAE of all methods"] == "1 of 2 appliances"  # the trees' kettle is better
    assert run.report.headline["largest F1 of all methods"] == "2 of 2 appliances"
    assert [flag.split(":")[0] for flag in run.flags] == [
        "the baselines were fitted on here", "these weights have not been calibrated",
    ]  # fmt: skip


def test_houses_are_pooled_and_a_bad_one_does_not_stop_the_others(start, tmp_path):
    homes = tmp_path / "homes"
    csv(homes / "a.csv", 4)
    csv(homes / "b.csv", 2, columns=("Kettle",))
    csv(homes / "bare.csv", 1, columns=())
    (homes / "broken.csv").write_bytes(b"\x00\x01\x02")
    code, run, metrics = start()
    assert code == 1 and [failure["item"] for failure in run.failures] == ["bare", "broken"]
    assert "no meter of dishwasher, kettle, microwave, washing_machine" in run.failures[0]["reason"]
    assert metrics["houses"].keys() == {"a", "b"}
    assert metrics["houses"]["b"]["appliances"].keys() == {"kettle"}
    kettle, microwave = (metrics["appliances"][key]["diffx"] for key in ("kettle", "microwave"))
    assert kettle["n_samples"] == 6 * DAY and kettle["n_days"] == 6
    assert kettle["mae"] == pytest.approx(50 * 1 / 6, rel=1e-6) and kettle["energy_coverage90"] == pytest.approx(5 / 6)
    assert microwave["n_samples"] == 4 * DAY
    (table,) = (section for section in run.report.sections if section.title == "House by house")
    assert [row[:3] for row in table.rows] == [["a", "kettle", "4"], ["a", "microwave", "4"], ["b", "kettle", "2"]]
    (worst,) = (section for section in run.report.sections if section.title == "The worst days")
    assert [row[:3] for row in worst.rows] == [["a", "2024-01-04", "1.2"]]
    # a choice of houses, and of their last days
    code, run, metrics = start(houses=["a"], days=2)
    assert code == 0 and metrics["appliances"]["kettle"]["diffx"]["n_samples"] == 2 * DAY
    assert metrics["appliances"]["kettle"]["diffx"]["mae"] == 0  # the third of these would have been wrong


def test_what_cannot_be_compared_is_said_in_a_line(start, tmp_path, capsys):
    homes = tmp_path / "homes"
    csv(homes / "bare.csv", 1, columns=())
    for code, words, options in (
        (5, "no house in it that figures could be had from", {}),
        (2, "has no nobody; it has bare", {"houses": ["nobody"]}),
        (2, "data.root= says which folder", {"root": None}),
        (2, "always_off works on 30 s, and the weights on 60 s", {"face": Fake(period=60.0)}),
        (5, "no such id, file or run folder", {"baselines": tmp_path / "none.safetensors"}),
    ):
        assert start(**options)[0] == code
        assert words in capsys.readouterr().err


def test_baselines_are_fitted_on_the_houses_of_a_folder(start, tmp_path, baselines, monkeypatch):
    """Once: the file that the run leaves does for the next one."""
    csv(tmp_path / "homes" / "test.csv", 1)
    csv(tmp_path / "train.csv", 1)
    fitted = []

    def fit(houses: Any, appliances: Any, seed: int, say: Any) -> Any:
        fitted.extend((house.name, appliances) for house in houses)
        return {"always_off": AlwaysOff.fit(houses, appliances)}

    monkeypatch.setattr(task, "fit_all", fit)
    code, run, metrics = start(baselines=tmp_path, face=Fake(appliances=(KETTLE, MICROWAVE)))
    assert code == 0 and fitted == [("train", (KETTLE, MICROWAVE))]
    assert metrics["appliances"]["kettle"].keys() == {"diffx", "always_off"}
    code, _, again = start(
        baselines=run.checkpoints / "baselines.safetensors", face=Fake(appliances=(KETTLE, MICROWAVE))
    )
    assert code == 0 and again["appliances"] == metrics["appliances"] and len(fitted) == 1


def test_probabilities_are_counted_beside_what_happened():
    """On-probabilities k / M with a known chance each, and members whose own intervals hold what they should."""
    rng = np.random.default_rng(0)
    count = rng.integers(0, 5, 20_000)
    members = np.where(np.arange(4)[:, None] < count, 3000.0, 0)
    on = rng.random(20_000) < count / 4
    made = Trial(KETTLE, 30.0)
    house = Household("h", pd.Timestamp("2024-01-01"), 30.0, np.ones(20_000), {"kettle": np.where(on, 2500.0, 0)})
    ends = {level: (members.min(0)[None], members.max(0)[None]) for level in (0.5, 0.9)}
    made.add(Piece(house, (KETTLE,), members[:, None], ends), 0, {})
    found = made.reliability(bins=4)
    said, was, many = found.predicted, found.observed, found.count
    assert said == pytest.approx([0, 0.25, 0.5, 0.875], abs=0.01) and was == pytest.approx(said, abs=0.02)
    assert sum(many) == 20_000
    members = rng.normal(2500, 100, (19, 5000))
    truth = np.concatenate([rng.normal(2500, 100, 5000), np.zeros(9000)])
    wide = np.concatenate([members, np.zeros((19, 9000))], axis=1)
    house = Household("h", pd.Timestamp("2024-01-01"), 30.0, np.ones(14_000), {"kettle": truth})
    made = Trial(KETTLE, 30.0)
    made.add(Piece(house, (KETTLE,), wide[:, None], dict.fromkeys((0.5, 0.9), (wide[:1], wide[:1]))), 0, {})
    assert made.coverage() == pytest.approx({level: level for level in RAW}, abs=0.025)


def test_all_methods_are_judged_by_the_same_periods_and_houses_are_pooled():
    """What a baseline does not know counts for nobody; k of M members on, and on indeed, add up over houses."""
    trials = []
    for on, known in ((100, 1500), (300, 2880)):
        truth = np.where(np.arange(DAY) < on, 2500.0, 0)
        house = Household("h", pd.Timestamp("2024-01-01"), 30.0, truth + 100, {"kettle": truth})
        members = np.stack([truth, truth * 0, truth])[:, None]  # two of three say that it is on, and it is
        ends = dict.fromkeys((0.5, 0.9), (members.min(0), members.max(0)))
        trials.append(Trial(KETTLE, 30.0))
        baseline = np.where(np.arange(DAY) < known, 7.0, np.nan)
        trials[-1].add(Piece(house, (KETTLE,), members, ends), 0, {"baseline": baseline})
        figures = trials[-1].figures(Calibration.none(1).energies[0])
        assert figures["baseline"]["n_samples"] == figures["diffx"]["n_samples"] == known
    pooled = Trial.pooled(trials)
    assert pooled.said.tolist() == [4380 - 400, 0, 400, 0] and pooled.was.tolist() == [0, 0, 400, 0]
    assert pooled.coverage() == dict.fromkeys(RAW, 1.0)
    found = pooled.reliability(3)
    assert found.predicted == pytest.approx([0, 2 / 3]) and found.observed == (0, 1) and found.count == (3980, 400)


def test_a_day_in_two_pieces_is_one_day_and_the_worst_come_first():
    times = pd.Timestamp("2024-01-01")
    truth = np.zeros(4 * DAY, np.float32)
    members = np.repeat(np.repeat([10.0, 40, 20, 30], DAY)[None, None], 3, axis=0).astype(np.float32)
    house = Household("h", times, 30.0, truth + 100, {"kettle": truth})
    whole = Piece(house, (KETTLE,), members, dict.fromkeys((0.5, 0.9), (members[0], members[0])))
    worst = Days(misplaced, 2)
    for first in range(0, 4 * DAY, 1000):
        worst.add(whole.cut(first, first + 1000))
    days = worst.ranked()
    assert [f"{day.household.start:%d}" for day in days] == ["02", "04"] and {len(d.household) for d in days} == {DAY}
    assert [misplaced(day) for day in days] == pytest.approx([40 * 24, 30 * 24])
    other = Days(misplaced, 3)  # the last hours of a house and the first of the next are not one day
    other.add(whole.cut(0, 1000))
    other.add(replace(whole.cut(0, 1000), household=replace(house.cut(0, 1000), name="g")))
    assert {day.household.name for day in other.ranked()} == {"h", "g"}
