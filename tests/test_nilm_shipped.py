"""nilm on its shipped weights, as its user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.cli import main
from diffx_nilm import Disaggregator
from diffx_nilm.evaluate.scores import score
from diffx_nilm.simulate import simulate


@pytest.fixture(scope="module")
def face() -> Disaggregator:
    return Disaggregator.load(device="cpu")


def test_kettles_of_homes_that_nobody_has_are_found_and_bands_hold_them(face):
    house = simulate(2, seed=11)
    result = face.disaggregate(house, n=8)
    power, truth = result.power, house.parts["kettle"]
    figures = score(truth, power["kettle"].to_numpy(), 2000)
    assert figures["f1"] > 0.7 and figures["mae"] < 0.6 * truth.mean()
    on = truth > 2000
    held = (power["kettle_low"] <= truth) & (truth <= power["kettle_high"])
    assert held[on].mean() > 0.75
    assert power.loc[on, "kettle_on"].mean() > 0.7 > 0.05 > power.loc[~on, "kettle_on"].mean()
    # the parts of the median history are not more than the household drew
    parts = power[[a.key for a in face.appliances]].sum(axis=1)
    assert (parts > 1.1 * house.mains + 50).mean() < 0.005
    for key, metered in house.parts.items():
        days = result.energy[result.energy.appliance == key]
        kwh = metered.reshape(2, -1).sum(1) / 120_000
        assert ((days.kWh_low <= kwh + 1e-9) & (kwh <= days.kWh_high)).sum() >= 1, key


def test_nothing_runs_where_the_mains_are_flat(face):
    flat = pd.DataFrame(
        {"Time": pd.date_range("2024-01-01", periods=1440, freq="30s"), "W": np.full(1440, 90.0) + np.arange(1440) % 3}
    )
    power = face.disaggregate(flat, n=8).power
    for appliance, decision in zip(face.appliances, face.calibration.decisions, strict=True):
        said = power[f"{appliance.key}_on"] > decision.likely
        assert said.mean() < 0.01 and power[appliance.key].mean() < appliance.threshold / 2, appliance.key


def test_the_default_run_writes_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "plugin=nilm", "simulate.days=1", "n=4", "device=cpu", "out=run"]) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert set(metrics["energy_kwh"]) == {"kettle", "dishwasher", "washing_machine", "microwave", "fridge"}
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert any("simulated" in flag for flag in status["flags"])
    power = pd.read_csv(tmp_path / "run/samples/power.csv")
    assert len(power) == 2880 and power["kettle"].max() > 1500
