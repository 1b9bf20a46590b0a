"""A folder of homes in one command, and what a householder is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd
from nilm_fake import Fake

from diffx.cli import main
from diffx.metrics import average_precision
from diffx_nilm.appliances import FRIDGE, KETTLE, WASHING_MACHINE
from diffx_nilm.evaluate.trials import OURS, Trial
from diffx_nilm.household import Household
from diffx_nilm.householder import _kwh, page, sentences
from diffx_nilm.result import Piece
from diffx_nilm.simulate import simulate


def survey(out: Path, *words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffx_nilm.tasks.survey.Disaggregator", Fake)
        return main(["run", "plugin=nilm", "task=survey", "device=cpu", "n=4", f"out={out}", *words])


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    for name, seed in (("alder", 1), ("birch", 2)):
        simulate(2, seed).frame()[["Time", "Aggregate", "kettle"]].to_csv(folder / f"{name}.csv", index=False)
    (folder / "broken.csv").write_text("Time,Aggregate\n2024-01-01,x\n2024-01-02,y\n")
    return folder


def test_a_folder_is_done_home_by_home_and_one_that_is_broken_is_listed(homes, tmp_path, monkeypatch):
    monkeypatch.setattr("nilm_fake.piece", pieces_of_mains)
    out = tmp_path / "run"
    assert survey(out, f"data.root={homes}", "price=0.3") == 1  # one of them failed
    table = pd.read_csv(out / "samples/summary.csv")
    assert table["home"].unique().tolist() == ["alder", "birch"] and len(table) == 8
    for name, seed in (("alder", 1), ("birch", 2)):
        own = table[table["home"] == name].set_index("appliance")
        mains = simulate(2, seed).mains.sum(dtype=np.float64) / 120_000
        np.testing.assert_allclose(own["mains_kWh"], mains, atol=2e-3)
        np.testing.assert_allclose(own["kWh"], mains * np.array([0.1, 0.2, 0.3, 0.05]), atol=2e-3)
        np.testing.assert_allclose(own["share"], [0.1, 0.2, 0.3, 0.05], atol=1e-3)
        energy = pd.read_csv(out / "samples" / name / "energy.csv")
        assert energy.groupby("appliance")["kWh"].sum()["kettle"] == pytest.approx(own.loc["kettle", "kWh"], abs=3e-3)
        told = (out / "samples" / name / "householder.html").read_text()
        assert "The whole household used" in told and "washing machine" in told
    status = json.loads((out / "status.json").read_text())
    assert "broken" in json.dumps(status) and not (out / "samples/broken").exists()


def test_a_survey_that_was_stopped_goes_on_with_the_next_home(homes, tmp_path, monkeypatch):
    monkeypatch.setattr("nilm_fake.piece", pieces_of_mains)
    out = tmp_path / "run"
    assert survey(out, f"data.root={homes}", "data.houses=[alder]") == 0
    first = out / "samples/alder/power.csv"
    before = first.stat().st_mtime_ns
    assert survey(out, f"data.root={homes}", "data.houses=[alder,birch]", "resume=true") == 0
    assert first.stat().st_mtime_ns == before  # it was not done again
    assert pd.read_csv(out / "samples/summary.csv")["home"].unique().tolist() == ["alder", "birch"]


def pieces_of_mains(house, n, seed, calibration):
    """Members that are shares of the mains: what energies add up to is known."""
    from diffx_nilm.appliances import DEFAULT

    members = np.repeat((np.array([[0.1], [0.2], [0.3], [0.05]]) * house.mains)[None], n, axis=0).astype(np.float32)
    return Piece(house, DEFAULT, members, calibration.bounds(members))


def totals(**rows: tuple[float, float, float, float]) -> pd.DataFrame:
    columns = ["kWh", "kWh_low", "kWh_high", "runs_a_day"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).assign(mains_kWh=100.0)


def test_a_householder_is_told_what_it_cost():
    total = totals(kettle=(6.0, 5.0, 7.0, 2.0), washing_machine=(12.0, 9.0, 15.0, 0.3), fridge=(9.0, 8.0, 10.0, 30.0))
    said = sentences(total, (KETTLE, WASHING_MACHINE, FRIDGE), 30.0, 0.25, "€")
    assert said["kettle"] == (
        "In these 30 days the kettle used about 6 kWh, which cost €1.50 (most likely between €1.25 and €1.75). It was "
        "used about 2 times a day; each time took about 0.1 kWh, or €0.03."
    )
    assert "about 2 times a week" in said["washing_machine"] and "It runs by itself" in said["fridge"]
    assert said["rest"].startswith("The whole household used 100 kWh, for €25.00. Everything else together took 73 kWh")
    plain = sentences(total, (KETTLE,), 30.0)
    assert "cost" not in " ".join(plain.values()) and "(most likely between 5 kWh and 7 kWh)" in plain["kettle"]
    assert sentences(total, (KETTLE,), 30.0, 0.3, "USD")["kettle"].count("1.80 USD") == 1
    assert [_kwh(v) for v in (0.00072, 0.017, 0.1, 6, 6.04, 6.25, 10, 73.4)] == [
        "0 kWh", "0.02 kWh", "0.1 kWh", "6 kWh", "6 kWh", "6.2 kWh", "10 kWh", "73 kWh",
    ]  # fmt: skip
    seldom = sentences(totals(kettle=(0.1, 0, 0.2, 0.01)), (KETTLE,), 30.0)
    assert "hardly used, or there is none" in seldom["kettle"]
    html = page(said, "What <this> home used")
    assert "&lt;this&gt;" in html and "Not for billing" in html and "<script" not in html


def test_average_precision_is_that_of_the_ranking():
    """Beside the core's, on members whose share is the score, and for a baseline on its power; houses pooled."""
    rng = np.random.default_rng(0)
    trials, scores, powers, truths = [], [], [], []
    for _ in range(2):
        truth = np.where(rng.random(3000) < 0.1, 2500.0, 0.0)
        share = np.clip(0.5 * (truth > 0) + rng.normal(0.3, 0.2, 3000), 0, 1)
        members = np.where(rng.random((20, 3000)) < share, 2600.0, 0.0).astype(np.float32)
        power = np.clip(0.4 * truth + rng.normal(300, 400, 3000), 0, 2999).round(-1)
        parts = {"kettle": truth.astype(np.float32)}
        house = Household("h", pd.Timestamp("2024-01-15"), 30.0, np.full(3000, 3000, np.float32), parts)
        trial = Trial(KETTLE, 30.0)
        ends = {level: (members.min(0)[None], members.max(0)[None]) for level in (0.5, 0.9)}
        trial.add(Piece(house, (KETTLE,), members[:, None], ends), 0, {"gbm": power})
        trials.append(trial)
        scores.append((members > 2000).mean(0))
        powers.append(power)
        truths.append(truth > 0)
    pooled = Trial.pooled(trials)
    on = np.concatenate(truths)
    assert pooled.average_precision(OURS) == pytest.approx(average_precision(np.concatenate(scores), on), abs=1e-9)
    assert pooled.average_precision("gbm") == pytest.approx(average_precision(np.concatenate(powers), on), abs=1e-9)
    assert 0.2 < pooled.average_precision(OURS) < pooled.average_precision("gbm") < 1
