"""Appliances, activations, the simulator and the training set: what is laid into a window is what comes out of it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.errors import DataError, UsageError
from diffx_nilm.activations import activations, residual
from diffx_nilm.appliances import DEFAULT, DISHWASHER, KETTLE, MICROWAVE, WASHING_MACHINE, called, choose
from diffx_nilm.features import maps
from diffx_nilm.household import Household
from diffx_nilm.mix import Mixture, Recipe, Windows, lay, stretch
from diffx_nilm.pack import load_packed, pack_house, save_packed
from diffx_nilm.read import read
from diffx_nilm.simulate import simulate

DATA = Path(os.environ.get("DIFFX_DATA", Path(__file__).parents[1].parent / "shared" / "data")) / "nilm"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; DIFFX_DATA says where")

STILL = Recipe(real=0.0, others=0.0, chance=(1, 0, 0, 0), most=(1, 1, 1, 1), spread=(0, 0, 0, 0))


def test_appliances_go_by_the_names_that_people_give_them():
    for name, appliance in {
        "Kettle": KETTLE, "dish washer": DISHWASHER, "Dishwasher": DISHWASHER, "dishwaser": DISHWASHER,
        "WashingMachine": WASHING_MACHINE, "washing_machine_2": WASHING_MACHINE, "washer_dryer": WASHING_MACHINE,
        "MICROWAVE": MICROWAVE, "kettle 1": KETTLE, "tumble dryer": None, "fridge": None, "": None,
    }.items():  # fmt: skip
        assert called(name) is appliance, name
    assert [(a.name, a.key, a.threshold, a.scale) for a in DEFAULT] == [
        ("kettle", "kettle", 2000, 3000), ("dish washer", "dishwasher", 10, 2400),
        ("washing machine", "washing_machine", 20, 2400), ("microwave", "microwave", 200, 1500),
    ]  # fmt: skip
    assert choose(["microwave", "kettle"]) == (MICROWAVE, KETTLE)
    for names, word in ((["ketle"], "did you mean 'kettle'"), (["kettle", "Kettle"], "twice")):
        with pytest.raises(UsageError, match=word):
            choose(names)
    with pytest.raises(UsageError, match="threshold"):
        replace(KETTLE, threshold=-1)
    with pytest.raises(UsageError, match="min_on"):
        replace(KETTLE, min_on=100, max_on=50)


def test_the_three_maps_by_hand():
    m = np.array([0, 50, 3050, np.nan, 50, 50], np.float32)
    log, level, step = maps(m)
    np.testing.assert_allclose(log[:3], [-1, np.log(2) / 3 - 1, np.log(62) / 3 - 1], rtol=1e-6)
    np.testing.assert_allclose(level[:3], [-0.3, 50 / 3000 - 0.3, 3050 / 3000 - 0.3], rtol=1e-6)
    np.testing.assert_allclose(step[[0, 1, 2, 5]], [0, np.sqrt(50 / 3000), 1, 0], atol=1e-6)
    assert np.isnan(log).tolist() == np.isnan(level).tolist() == [False] * 3 + [True] + [False] * 2
    assert np.isnan(step).tolist() == [False] * 3 + [True, True, False]
    falling = maps(np.array([3050, 50], np.float32))
    assert falling[2].tolist() == [0, -1]
    batch = np.stack([m, m * 2])
    np.testing.assert_array_equal(maps(batch)[1], maps(m * 2))
    assert maps(batch).dtype == np.float32 and maps(batch).shape == (2, 3, 6)


def test_activations_by_hand():
    """Peaks, pauses, lengths and what is cut off by the unknown or by the end of the data."""
    p = np.zeros(200)
    p[10:13] = 2500  # a boiling
    p[20] = 2500  # half a minute is enough
    p[30:32] = 1500  # never reaches the peak
    p[40:42], p[44:46] = 2500, 2500  # a pause of a minute belongs to it
    p[50:52], p[55:57] = 2500, 2500  # one of a minute and a half does not
    p[60:63], p[63] = 2500, np.nan
    p[70], p[71:73] = np.nan, 2500
    p[198:] = 2500
    found = activations(p, KETTLE)
    assert found.tolist() == [[10, 13], [20, 21], [40, 46], [50, 52], [55, 57]]
    p[:5] = 2500
    assert activations(p, KETTLE).tolist() == found.tolist()
    assert activations(p, replace(KETTLE, min_on=60)).tolist() == [[10, 13], [40, 46], [50, 52], [55, 57]]
    assert activations(p, replace(KETTLE, max_on=90)).tolist() == [[10, 13], [20, 21], [50, 52], [55, 57]]
    assert len(activations(np.zeros(10), KETTLE)) == 0
    # at another period the same seconds are meant
    assert activations(np.repeat(p, 5), KETTLE, period=6).tolist() == [[5 * a, 5 * b] for a, b in found]


def test_what_is_left_is_never_negative_and_not_known_where_a_part_is_not():
    mains, parts = np.array([100.0, 50, 70, np.nan, 10]), {"a": np.array([20.0, 60, np.nan, 1, 5]), "b": np.ones(5)}
    np.testing.assert_array_equal(residual(mains, parts), [79, 0, np.nan, np.nan, 4])


# -- simulator -------------------------------------------------------------------------------------------------------


def test_the_simulated_day_is_the_same_however_many_are_asked_for():
    week, days = simulate(7, seed=3), simulate(2, seed=3)
    for key in week.parts:
        np.testing.assert_array_equal(week.parts[key][:5500], days.parts[key][:5500])
    rest = (week.mains - week.of(list(week.parts)).sum(0))[:5500]
    np.testing.assert_allclose(rest, (days.mains - days.of(list(days.parts)).sum(0))[:5500], atol=15)  # meter noise
    assert not np.array_equal(simulate(2, seed=4).mains, days.mains)


def test_simulated_parts_are_less_than_the_whole_and_behave_as_the_appliances_do():
    homes = [simulate(28, seed=seed) for seed in range(6)]
    for home in homes:
        total = home.of(list(home.parts)).sum(0)
        assert (home.mains - total).min() > 20 and 4 < home.mains.sum() / 120 / 1000 / 28 < 25  # kWh a day
    for appliance, minutes, kwh, a_day in (
        (KETTLE, (0.5, 4.5), (0.03, 0.2), (1.5, 9)),
        (DISHWASHER, (45, 160), (0.5, 1.9), (0.2, 1.3)),
        (WASHING_MACHINE, (40, 160), (0.2, 1.6), (0.15, 1.1)),
        (MICROWAVE, (0.5, 20), (0.005, 0.25), (0.5, 4)),
    ):
        count, times, energies = [], [], []
        for home in homes:
            part = home.parts[appliance.key]
            runs = activations(part, appliance)
            count.append(len(runs) / 28)
            times += [(end - begin) / 2 for begin, end in runs]
            energies += [part[begin:end].sum() / 120_000 for begin, end in runs]
        assert a_day[0] < np.mean(count) < a_day[1], appliance.key
        assert minutes[0] <= np.quantile(times, 0.05) and np.quantile(times, 0.95) <= minutes[1], appliance.key
        assert kwh[0] <= np.quantile(energies, 0.05) and np.quantile(energies, 0.95) <= kwh[1], appliance.key


def test_simulated_habits_follow_the_hour_and_the_season():
    home = simulate(60, seed=1)
    kettle = np.nan_to_num(home.parts["kettle"]) > 1000
    night = kettle[(home.index.hour >= 1) & (home.index.hour < 5)].mean()
    assert night < 0.2 * kettle[(home.index.hour >= 6) & (home.index.hour < 9)].mean()
    energy = {
        month: np.mean([simulate(20, seed, f"2024-{month}-05").mains.mean() for seed in range(6)]) for month in (1, 7)
    }
    assert energy[1] > 1.1 * energy[7]


def test_simulated_gaps_periods_and_zones():
    home = simulate(10, seed=2, missing=0.2, timezone="Europe/Berlin")
    assert 0.2 <= np.isnan(home.mains).mean() < 0.35 and str(home.start.tz) == "Europe/Berlin"
    assert np.isfinite(home.of(list(home.parts))).all()
    fine, coarse = simulate(1, seed=2, period=6), simulate(1, seed=2, period=60)
    np.testing.assert_allclose(fine.parts["kettle"].reshape(-1, 10).mean(1), coarse.parts["kettle"], atol=0.01)
    assert read(home.frame()).parts.keys() == home.parts.keys()
    np.testing.assert_array_equal(read(home.frame()).mains, home.mains)
    for wrong in ({"period": 7}, {"days": 0}, {"missing": 1}):
        with pytest.raises(UsageError):
            simulate(**wrong)


def test_days_of_a_household_are_local():
    begin = pd.Timestamp("2014-10-25 23:30", tz="Europe/London")
    home = Household("h", begin, 1800, np.zeros(60, np.float32))
    assert np.bincount(home.dates()).tolist() == [1, 50, 9]  # the clocks go back on the 26th
    first, last = home.last(0.5)
    assert len(first) == 36 and last.start == begin + pd.Timedelta(hours=18)
    with pytest.raises(DataError):
        home.last(2)
    with pytest.raises(DataError, match="no column for kettle"):
        home.of(["kettle"])


# -- the training set ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed():
    houses = [simulate(20, seed, missing=0.05) for seed in (0, 1)]
    return houses, tuple(pack_house(house, DEFAULT) for house in houses)


def test_packing_keeps_tenths_of_a_watt_and_what_is_not_known(packed, tmp_path):
    houses, made = packed
    save_packed(tmp_path / "p.safetensors", made, DEFAULT, 30.0)
    again, appliances, period = load_packed(tmp_path / "p.safetensors")
    assert appliances == DEFAULT and period == 30.0 and (tmp_path / "p.safetensors").stat().st_size < 11 * 40 * 2880
    for house, loaded in zip(houses, again, strict=True):
        known = house.known
        mains, parts = loaded.window(0, len(house))
        np.testing.assert_allclose(mains[known], np.minimum(house.mains[known], 6553.4), atol=0.06)
        np.testing.assert_allclose(parts[:, known], house.of([a.key for a in DEFAULT])[:, known], atol=0.06)
        np.testing.assert_array_equal(np.diff(loaded.unknown), ~known)
        for runs, appliance in zip(loaded.runs, DEFAULT, strict=True):
            part = np.where(known, house.parts[appliance.key], np.nan)
            np.testing.assert_array_equal(runs, activations(np.round(part, 1), appliance))
    (tmp_path / "p.safetensors").write_bytes(b"x")
    with pytest.raises(DataError):
        load_packed(tmp_path / "p.safetensors")
    with pytest.raises(DataError, match="kettle"):
        pack_house(replace(houses[0], parts={}), DEFAULT)


def test_an_item_is_a_function_of_seed_and_number(packed):
    one, other = (Mixture(packed[1], DEFAULT, width=256, seed=seed) for seed in (0, 1))
    again = Mixture(packed[1], DEFAULT, width=256)
    for i in (7, 3, 7):
        for a, b in zip(one.draw(i), again.draw(i), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.draw(3)[0], one.draw(4)[0]) and not np.array_equal(one.draw(3)[0], other.draw(3)[0])
    item, (mains, parts) = one[3], one.draw(3)
    np.testing.assert_array_equal(item["mains"].numpy(), maps(mains))
    np.testing.assert_allclose(item["x"].numpy() * [[3000], [2400], [2400], [1500]], parts, rtol=1e-5, atol=1e-3)


def test_mains_are_the_parts_and_the_rest(packed):
    mixture = Mixture(packed[1], DEFAULT, width=300)
    below = 0.0
    for i in range(200):
        mains, parts = mixture.draw(i)
        assert np.isfinite(mains).all() and np.isfinite(parts).all() and parts.min() >= 0
        assert mains.min() >= 0 and mains.max() <= 6000
        below += (np.minimum(parts.sum(0), 6000) * 0.97 > mains + 20).mean() / 200
    assert below == 0


def test_an_activation_is_laid_into_a_window_stretched_and_no_stronger(packed):
    """Of a kettle alone: stretching keeps the mean power, so that of a whole laid run is one that was measured."""
    mixture = Mixture(packed[1], DEFAULT, width=512, recipe=STILL)
    runs = [h.window(begin, end)[1][0] for h in packed[1] for begin, end in h.runs[0]]
    means, longest = np.array([run.mean() for run in runs]), max(map(len, runs))
    whole = same = 0
    for i in range(100):
        mains, parts = mixture.draw(i)
        laid = np.flatnonzero(parts[0])
        assert not parts[1:].any() and len(laid) and laid[-1] - laid[0] < round(longest * 1.25)
        assert mains[laid].sum() > 0.96 * parts[0].sum()
        if laid[0] > 0 and laid[-1] < 511:
            whole += 1
            same += bool((np.abs(parts[0, laid[0] : laid[-1] + 1].mean() / means - 1) < 1e-5).any())
    assert whole > 80 and same > 0.9 * whole


def test_what_sticks_out_of_the_window_is_cut_off():
    target = np.zeros(5)
    for at in (-2, 3, 1, -3, 5):
        lay(target, np.array([1.0, 2, 3]), at)
    assert target.tolist() == [3, 1, 2, 4, 2]
    lay(target, np.array([9.0, 1]), 0, np.maximum)
    assert target.tolist() == [9, 1, 2, 4, 2]


def test_a_mixed_window_keeps_nothing_of_its_house_but_the_rest():
    """A house of 100 W and kettles: without a laid kettle there is none, and the rest is changed as far as it says."""
    part = np.zeros(4000, np.float32)
    part[::10] = 2500
    house = Household("h", pd.Timestamp("2024-01-01"), 30.0, part + 100, {"kettle": part})
    recipe = Recipe(real=0, others=0, chance=(0,), most=(1,), spread=(0,))
    mixture = Mixture([pack_house(house, [KETTLE])], [KETTLE], width=64, recipe=recipe)
    means = [mixture.draw(i)[0].mean() for i in range(300)]
    assert max(mixture.draw(i)[0].max() for i in range(300)) < (160 + 250) * 1.05 + 20
    assert min(means) < 30 and max(means) > 300 and np.median(means) == pytest.approx(110, abs=15)


def test_real_windows_lie_where_appliances_run(packed):
    shares = {}
    for active in (0.0, 1.0):
        mixture = Mixture(packed[1], DEFAULT, recipe=Recipe(real=1.0, active=active, others=0))
        shares[active] = np.mean([mixture.draw(i)[1].max(1) > 150 for i in range(300)])
    assert shares[1.0] > 1.4 * shares[0.0]


def test_real_windows_are_stretches_of_a_house(packed):
    mixture = Mixture(packed[1], DEFAULT, width=200, recipe=Recipe(real=1.0))
    wholes = [house.window(0, len(house))[1] for house in packed[1]]
    for i in range(6):
        parts = mixture.draw(i)[1]
        a = int(parts.max(1).argmax())
        pattern = parts[a] / max(parts[a].max(), 1e-6)
        views = [np.lib.stride_tricks.sliding_window_view(whole[a], 200) for whole in wholes]
        best = min(np.abs(v / np.maximum(v.max(1, keepdims=True), 1e-6) - pattern).max(1).min() for v in views)
        assert best < 1e-5, i


def test_houses_that_cannot_be_learnt_from_are_refused(packed):
    _, made = packed
    with pytest.raises(DataError, match="never 60000 known periods"):
        Mixture(made, DEFAULT, width=60_000)
    with pytest.raises(DataError, match="no run of microwave"):
        Mixture([replace(h, runs=(*h.runs[:3], h.runs[3][:0])) for h in made], DEFAULT)
    with pytest.raises(ValueError, match="each of 3"):
        Mixture(made, DEFAULT[:3])


def test_windows_for_validation_tile_the_house(packed):
    _, made = packed
    windows = Windows(made[:1], DEFAULT, width=256, step=200)
    assert all((b - a) % 200 == 0 for (_, a), (_, b) in pairwise(windows.places)) and 200 < len(windows) < 288
    mains, parts = made[0].window(windows.places[5][1], windows.places[5][1] + 256)
    np.testing.assert_array_equal(windows[5]["mains"].numpy(), maps(mains))
    np.testing.assert_allclose(windows[5]["x"].numpy()[3], parts[3] / 1500, rtol=1e-6)
    assert all(bool(windows[i]["mains"].isfinite().all()) for i in range(len(windows)))


def test_stretching_keeps_the_mean_power():
    run = np.array([100, 2000, 2000, 50], np.float32)
    np.testing.assert_allclose(stretch(run, 2), [100, 100, 2000, 2000, 2000, 2000, 50, 50])
    np.testing.assert_allclose(stretch(run, 0.5), [1050, 1025])
    for factor in (0.8, 1.1, 1.25):
        out = stretch(np.tile(run, 5), factor)
        assert len(out) == round(20 * factor) and out.mean() == pytest.approx(run.mean(), rel=1e-6)
    assert stretch(run[:1], 0.1).tolist() == [100]


@real
def test_the_shared_house_in_figures():
    """House 20 of REFIT, measured when this was written; two milliseconds an item is what training needs."""
    house = read(DATA / "refit_house20_30s.csv.gz")
    made = pack_house(house, DEFAULT)
    assert [len(runs) for runs in made.runs] == [1783, 138, 184, 953]
    mixture = Mixture([made], DEFAULT)
    began = time.process_time()
    on = np.mean([(mixture.draw(i)[1] > [[a.threshold] for a in DEFAULT]).mean(1) for i in range(300)], axis=0)
    assert (time.process_time() - began) / 300 < 0.004  # loose: other work may share the processor
    assert (on > 0.004).all() and (on < 0.15).all()
