"""From mains to parts: guidance by the whole, windows and gaps, usage, calibration, the face and the adapter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("pandas")

import pandas as pd

from diffx.cli import main
from diffx.condition import Conditioning, Scalar, Spatial
from diffx.errors import DataError, UsageError
from diffx.nets.model import Model
from diffx.pipeline import Pipeline
from diffx.process import Gaussian
from diffx.schedule import EDM
from diffx_nilm import Disaggregator
from diffx_nilm.appliances import DEFAULT, DISHWASHER, FRIDGE, KETTLE, WASHING_MACHINE
from diffx_nilm.calibration import (
    Band,
    Calibration,
    Decision,
    Energy,
    around,
    fit_band,
    fit_decision,
    fit_energy,
    probability,
)
from diffx_nilm.config import PowerConfig, PowerSampling
from diffx_nilm.contrib import Diffx
from diffx_nilm.data import appliances_of, packed
from diffx_nilm.ensemble import Ensemble, spread, stretches
from diffx_nilm.evaluate.evidence import calibrated, gather
from diffx_nilm.evaluate.scores import Score
from diffx_nilm.face import neighbours, parts
from diffx_nilm.features import scales
from diffx_nilm.result import Piece
from diffx_nilm.simulate import simulate
from diffx_nilm.usage import adapted, begun, prior, updated
from diffx_nilm.whole import within

# -- the whole -------------------------------------------------------------------------------------------------------


def test_parts_are_not_negative_and_not_more_than_the_whole():
    scale = torch.tensor([3000.0, 1000.0])
    x = torch.tensor([[[0.5, -0.2, 1.0, 1.0], [0.5, 0.3, 1.0, 1.0]]])
    mains = torch.tensor([4000.0, 4000.0, 1990.0 / 1.03, torch.nan])
    parts = within(lambda x, t, condition=None: x, mains, scale)(x, 1.0)
    watts = (parts * scale[:, None])[0]
    torch.testing.assert_close(watts[:, 0], torch.tensor([1500.0, 500.0]))  # as it was
    torch.testing.assert_close(watts[:, 1], torch.tensor([0.0, 300.0]))
    torch.testing.assert_close(watts[:, 2], torch.tensor([1500.0, 500.0]))  # 4000 W in 2000 W: half of each
    torch.testing.assert_close(watts[:, 3], torch.tensor([3000.0, 1000.0]))  # nobody knows the whole


# -- a stretch -------------------------------------------------------------------------------------------------------


class Known(nn.Module):
    """The exact denoiser of parts ~ N(share of the mains, spread^2), independent at each period."""

    autocast = None

    def __init__(self, spread: float = 0.0):
        super().__init__()
        self.spread, self.anchor = spread, nn.Parameter(torch.zeros(1))

    def forward(self, x, t, condition):
        share = torch.tensor([0.1, 0.2, 0.3, 0.05])[:, None]
        watts = (condition.spatial[:, 1:2] + 0.3) * 3000 * share
        mean = torch.from_numpy(watts.numpy() / scales(DEFAULT)[:, None])
        ours, theirs = self.spread**2, torch.as_tensor(np.asarray(t, np.float32)).reshape(-1, 1, 1) ** 2
        return (ours * x + theirs * mean) / (ours + theirs)


class Told(Conditioning):
    """The conditioning of the plugin, which keeps what it was told of the kettle."""

    def __init__(self):
        super().__init__({"mains": Spatial(3, (64,)), **{a.usage_key: Scalar(0, 1, 4) for a in DEFAULT}})
        self.seen: list[torch.Tensor] = []

    def forward(self, values):
        self.seen.append(values["kettle_usage"])
        return super().forward(values)


def known(spread: float = 0.0, steps: int = 8, batch: int = 32, **options) -> Ensemble:
    schedule = EDM(sigma_max=20)
    pipeline = Pipeline(Model(Known(spread), Told()), Gaussian(schedule, 0.2), (4, 64), device="cpu", precision="fp32")
    asked = PowerSampling("dpmpp_2m", steps, stop=0, batch=batch)
    return Ensemble(pipeline, asked, DEFAULT, **{"window": 64, "period": 30.0, **options})


def test_every_period_gets_its_own_parts_whatever_the_windows():
    rng = np.random.default_rng(0)
    mains = rng.uniform(100, 3000, 700).astype(np.float32)
    mains[300:310] = np.nan  # five minutes: inside of a stretch
    mains[400:530] = np.nan  # more than an hour: two stretches
    mains[:3] = np.nan
    for options in ({}, {"batch": 3}, {"window": 200, "overlap": 60}):
        members = known(**{"overlap": 24, **options}).members(mains, [0.5] * 4, [1, 2])
        share = np.array([0.1, 0.2, 0.3, 0.05])[:, None]
        power, floor = (share * mains).astype(np.float32), 0.01 * scales(DEFAULT)[:, None]
        near = np.abs(power - floor) < 1
        truth = np.where(power < floor, 0, power)  # less is taken for noise
        for member in members:
            np.testing.assert_allclose(np.where(near, 0, member), np.where(near, 0, truth), rtol=2e-3, atol=1)
        assert (np.isnan(members) == np.isnan(mains)).all()
    assert list(stretches(mains, 120)) == [(3, 400), (530, 700)]
    assert list(stretches(np.full(5, np.nan), 1)) == []
    short = known(overlap=24).members(mains[10:30], [0.5] * 4, [1])
    np.testing.assert_allclose(short[0, 0], 0.1 * mains[10:30], rtol=2e-3, atol=floor[0, 0])


def test_members_are_draws_of_the_posterior_and_follow_their_seeds():
    mains = np.full(640, 2500, np.float32)
    ensemble = known(0.04, steps=24, overlap=24)
    members = ensemble.members(mains, [0.5] * 4, range(40))
    kettle = members[:, 0].ravel()
    assert abs(kettle.mean() - 250) < 4 and abs(kettle.std() / (0.04 * 3000) - 1) < 0.02
    again = known(0.04, steps=24, overlap=24, batch=5).members(mains, [0.5] * 4, [7, 3])
    np.testing.assert_allclose(again, members[[7, 3]], rtol=1e-4, atol=0.05)


def test_windows_to_look_at_are_known_throughout_and_spread_evenly():
    mains = np.arange(1000, dtype=np.float32)
    mains[500] = np.nan
    chosen = spread(mains, 100, 4)
    assert chosen[:, 0].tolist() == [0, 300, 600, 900]  # evenly among the nine windows without the gap
    assert np.isfinite(chosen).all() and np.ptp(chosen, axis=1).tolist() == [99] * 4
    assert len(spread(mains[:50], 100, 4)) == 0 and len(spread(mains[450:560], 100, 4)) == 0


# -- usage -----------------------------------------------------------------------------------------------------------


def test_runs_that_begin_in_a_window_are_counted():
    p = np.zeros(400)
    p[:3] = 2500  # began before
    p[50:53], p[54:56] = 2500, 2500  # one, with half a minute's pause
    p[100:103] = 1500  # never reaches the peak
    p[398:] = 2500  # begins, and goes on
    assert begun(p, KETTLE, 30.0) == 2
    wash = np.zeros(400)
    wash[10:15] = 1900  # two and a half minutes are no wash
    wash[100:160], wash[175:200] = 1900, 200  # one, with a pause of seven minutes
    wash[390:] = 1900
    assert begun(wash, WASHING_MACHINE, 30.0) == 2
    assert begun(np.zeros(10), KETTLE, 30.0) == 0


def test_usage_is_the_posterior_mean_of_a_poisson_rate():
    half = prior(DISHWASHER)
    assert half == DISHWASHER.typical == 0.6
    assert prior(replace(DISHWASHER, typical=None)) == pytest.approx(np.sqrt(0.02 * 2.5))
    # nothing seen: the prior. Nothing found in d days: 3 / (3 / prior + d)
    assert updated([0], 0, 1, [DISHWASHER]) == pytest.approx([half])
    assert updated([0], 4, 1, [DISHWASHER]) == pytest.approx([3 / (3 / half + 4)])
    # 200 samples of each day are no more days
    assert updated([600], 1000, 200, [DISHWASHER]) == pytest.approx([(3 + 3) / (3 / half + 5)])
    # many days weigh as much as a week
    assert updated([5000], 10_000, 1, [DISHWASHER]) == pytest.approx([(3 + 3.5) / (3 / half + 7)])


def test_the_mains_say_how_often_and_the_network_is_told():
    """In a home whose kettle shows plainly, expectation and maximisation ends where the runs are."""
    ensemble = known(overlap=24, window=96)
    mains = np.zeros(96 * 30, np.float32)
    for begin in range(20, len(mains), 72):  # 40 a day; a tenth of it is the kettle's, and reaches its peak
        mains[begin : begin + 4] = 22_000
    found = adapted(ensemble, mains, seed=1).usage
    days = len(mains) * 30 / 86_400
    inside = sum(begun(w * 0.1, KETTLE, 30.0) for w in mains.reshape(30, 96))
    assert found[0] == pytest.approx((3 + inside) / (3 / prior(KETTLE) + days), rel=1e-6)
    assert len(found) == 4
    told = [float(values[0]) for values in ensemble.pipeline.model.conditioning.seen]
    assert told[0] == pytest.approx(np.log(4 / 0.1) / np.log(12 / 0.1)) and told[-1] == pytest.approx(1.0)
    assert adapted(ensemble, mains[:50]).usage == [prior(a) for a in DEFAULT]
    given = adapted(ensemble, mains, seed=1, given={"microwave": 7.0}).usage
    assert given[3] == 7.0 and given[0] == pytest.approx(found[0])


# -- calibration -----------------------------------------------------------------------------------------------------


def home(rng, n: int, wide: float) -> tuple[np.ndarray, np.ndarray]:
    """Members ~ N(1000, 100^2) and a truth ``wide`` times as wide: their bands hold too little."""
    return rng.normal(1000, 100, (63, n)).astype(np.float32), rng.normal(1000, 100 * wide, n)


@pytest.mark.parametrize("wide", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_band_holds_what_it_promises_in_the_next_home(wide, level):
    rng = np.random.default_rng(0)
    appliance = replace(WASHING_MACHINE, threshold=20)
    band = fit_band([home(rng, 3000, wide), home(rng, 3000, wide)], appliance, level)
    members, truth = home(rng, 20_000, wide)
    low, high = band.of(members)
    assert abs(((low <= truth) & (truth <= high)).mean() - level) < 0.03
    # not wider than a normal law asks for, by more than the coarse choice of quantiles costs
    ideal = 2 * 100 * wide * {0.5: 0.6745, 0.9: 1.6449}[level]
    assert np.mean(high - low) < 1.35 * ideal


def test_periods_that_are_off_do_not_count():
    rng = np.random.default_rng(0)
    members, truth = home(rng, 2000, 2.0)
    off = np.zeros((63, 50_000), np.float32), np.zeros(50_000)
    with_off = [(np.concatenate([members, off[0]], 1), np.concatenate([truth, off[1]]))]
    assert fit_band(with_off, DISHWASHER, 0.9) == fit_band([(members, truth)], DISHWASHER, 0.9)


def test_where_no_band_is_enough_it_is_the_one_that_holds_most():
    members = np.zeros((31, 1000), np.float32)
    members[:, :600] = 100.0
    truth = np.full(1000, 150.0)
    band = fit_band([(members, truth)], DISHWASHER, 0.9)
    low, high = band.of(members)
    assert ((low <= truth) & (truth <= high)).mean() == 0.602  # the runs that were missed cannot be held


def test_reach_takes_the_neighbours_and_leaves_gaps():
    low = np.array([5.0, 3, np.nan, 4, 9, 9])
    high = np.array([5.0, 6, np.nan, 7, 9, 9])
    least, greatest = around(low, high, 1)
    np.testing.assert_array_equal(least, [3, 3, np.nan, 4, 4, 9])
    np.testing.assert_array_equal(greatest, [6, 6, np.nan, 9, 9, 9])
    assert around(low, high, 2)[0][0] == 3 and around(low, high, 2)[1][1] == 7
    np.testing.assert_array_equal(around(low, high, 0)[0], low)
    members = np.array([[10.0, np.nan], [30, 1], [20, 2]])
    ends = Band(0.5, gain=0.25).of(members)
    np.testing.assert_allclose([ends[0][0], ends[1][0]], [10 / 1.25, 30 * 1.25])
    assert np.isnan(ends[0][1]) and np.isnan(ends[1][1])


def test_days_are_held_too():
    rng = np.random.default_rng(0)
    for wide, shift in ((1, 0), (3, 0), (1, 400)):
        days = [(rng.normal(1000, 100, (63, n)), rng.normal(1000 + shift, 100 * wide, n)) for n in (200, 4000)]
        low, high = fit_energy(*days[0]).of(days[1][0])
        assert abs(((low <= days[1][1]) & (days[1][1] <= high)).mean() - 0.9) < 0.05
    low, _ = Energy(gain=0.0, slack=50.0).of(np.full((63, 1), 20.0))
    assert low == 0


def test_a_calibration_goes_through_json():
    calibration = Calibration(
        tuple({0.5: Band(0.3, 1, 0.1), 0.9: Band(0.95, a, 0.0)} for a in range(2)),
        (Energy(0.1, 5.0), Energy()),
        (Decision(0.3, 2), None),
    )
    assert Calibration.of_json(json.loads(json.dumps(calibration.to_json()))) == calibration
    members = np.random.default_rng(0).uniform(0, 100, (40, 2, 30)).astype(np.float32)
    ends = calibration.bounds(members)
    np.testing.assert_array_equal(ends[0.9][1][1], Band(0.95, 1).of(members[:, 1])[1])
    assert calibration.energy(members[:, :, 0])[1][0] == pytest.approx(
        Energy(0.1, 5.0).of(members[:, 0, 0].astype(np.float64))[1]
    )


def test_what_is_said_to_be_on():
    """Runs that get a probability of 0.4 and are true, beside as many of 0.2 that are not: 0.2 is the best of them."""
    members = np.zeros((10, 400), np.float32)
    members[:4, :50], members[:2, 50:100], members[:, 100:120] = 2000, 2000, 2000
    truth = np.zeros(400)
    truth[:50] = truth[100:120] = 2000
    decision = fit_decision([(members[:, :200], truth[:200]), (members[:, 200:], truth[200:])], DISHWASHER)
    assert 0.2 <= decision.likely < 0.4 and decision.reach == 0
    calibration = replace(Calibration.none(1), decisions=(decision,))
    assert (calibration.said(members[:, None], [DISHWASHER])[0] == (truth > 10)).all()
    plain = Calibration.none(1).said(members[:, None], [DISHWASHER])[0]
    assert plain.sum() == 20
    scored = Score(10)
    scored.add(truth, members, said=calibration.said(members[:, None], [DISHWASHER])[0])
    assert scored.result()["f1"] == 1
    scored = Score(10)
    scored.add(truth, members)
    assert scored.result()["f1"] == pytest.approx(2 * 20 / (2 * 20 + 50))


def test_a_decision_looks_at_neighbours_where_samples_flicker():
    """Runs of 100 periods, in which each sample is on in every other period or so: the mean over neighbours tells."""
    truth = np.tile(np.repeat([0.0, 100.0], 100), 20)
    flicker = np.random.default_rng(0).random((4, len(truth)))
    members = np.where(flicker < np.where(truth > 0, 0.5, 0.2), 100, 0).astype(np.float32)
    decision = fit_decision([(members, truth)], FRIDGE)
    assert decision.reach == 10
    wrong = (decision.of(members, 50) != (truth > 0)).mean()
    assert wrong < 0.04 < 0.2 < (Decision(0.3).of(members, 50) != (truth > 0)).mean()


def test_a_probability_is_averaged_over_what_is_known():
    members = np.array([[9, 0, 9, 0, np.nan, 9], [9, 0, 0, 0, np.nan, 9]], np.float32)
    np.testing.assert_array_equal(probability(members, 5), [1, 0, 0.5, 0, np.nan, 1])
    np.testing.assert_allclose(probability(members, 5, 1), [1 / 2, 1.5 / 3, 0.5 / 3, 0.5 / 2, np.nan, 1], atol=1e-9)
    assert not Decision(0.0).of(members, 5)[4]


def test_the_decisions_of_earlier_weights_are_read():
    facts = Calibration.none(1).to_json()[0]
    assert Calibration.of_json([{**facts, "likely": 0.3}]).decisions == (Decision(0.3),)


def test_evidence_is_of_what_was_metered():
    house = simulate(3, seed=1)
    house = replace(house, parts={"kettle": house.parts["kettle"]})
    truth = house.parts["kettle"]
    members = np.stack([np.stack([truth * f] * 4) for f in (0.9, 1.0, 1.1)]).astype(np.float32)
    pieces = [
        Piece(part, DEFAULT, members[:, :, k : k + 2880], {}) for k, part in zip((0, 2880, 5760), parts(house, 1))
    ]
    found = gather(pieces)
    assert list(found) == ["kettle"] and found["kettle"].metered.shape == (3,)
    np.testing.assert_allclose(found["kettle"].metered, truth.reshape(3, -1).sum(1) / 120, rtol=1e-6)
    np.testing.assert_allclose(found["kettle"].energies[2], found["kettle"].metered * 1.1, rtol=1e-5)
    calibration = calibrated([found], DEFAULT)
    assert calibration.bands[1:] == Calibration.none(4).bands[1:] and calibration.energies[0].slack == 0


def test_stretches_see_their_neighbours():
    house = simulate(1, seed=2)
    pieces = list(parts(house, 0.25))
    assert [len(p) for p in pieces] == [720] * 4 and pieces[1].start - house.start == pd.Timedelta(hours=6)
    for number, (before, piece, after) in enumerate(neighbours(iter(pieces), 100)):
        first = number * 720
        np.testing.assert_array_equal(before, house.mains[max(first - 100, 0) : first])
        np.testing.assert_array_equal(piece.mains, house.mains[first : first + 720])
        np.testing.assert_array_equal(after, house.mains[first + 720 : first + 820])


# -- the face --------------------------------------------------------------------------------------------------------

TINY = ["net.channels=[8,16]", "net.attention=[1]", "net.window=128", "net.condition=16", "device=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two metered houses as CSV, and weights trained on them for a moment and calibrated."""
    root = tmp_path_factory.mktemp("nilm")
    (root / "houses").mkdir()
    for seed in (1, 2):
        simulate(12, seed=seed).frame().to_csv(root / "houses" / f"home{seed}.csv", index=False)
    words = ["run", "plugin=nilm", f"data.root={root / 'houses'}"]
    quick = ["train.steps=30", "train.batch=8", "data.holdout=2", "train.val_every=15"]
    assert main([*words, "task=train", *TINY, *quick, f"out={root / 'trained'}"]) == 0
    more = ["n=4", "sample.steps=4", "data.days=1", f"from={root / 'trained'}", f"out={root / 'calibrated'}"]
    assert main([*words, "task=calibrate", *more]) == 0
    return root


@pytest.fixture(scope="module")
def face(folder) -> Disaggregator:
    return Disaggregator.load(folder / "calibrated", device="cpu")


def test_training_learns_and_says_what_it_is(folder):
    records = [json.loads(line) for line in (folder / "trained" / "metrics.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in records if "loss" in r]
    assert losses[-1] < 0.8 and any("val_loss" in r for r in records)
    assert "kettle activations" in (folder / "trained" / "report.html").read_text()


def test_weights_keep_their_appliances_and_bands(folder, face):
    assert face.appliances == DEFAULT and face.period == 30
    plain = Disaggregator.load(folder / "trained", device="cpu")
    assert plain.calibration == Calibration.none(4) != face.calibration
    for mine, theirs in zip(face.pipeline.model.parameters(), plain.pipeline.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_same_seed_gives_the_same_parts_however_they_are_read(face, tmp_path):
    house = simulate(2, seed=5)
    file = tmp_path / "house.csv"
    house.frame()[["Time", "Aggregate"]].to_csv(file, index=False)
    usage = {a.key: 1.0 for a in DEFAULT}
    first = face.disaggregate(file, n=3, seed=1, usage=usage)
    second = face.disaggregate(house.frame()[["Time", "Aggregate"]], n=3, seed=1, usage=usage)
    pd.testing.assert_frame_equal(first.power, second.power)
    assert not first.power.equals(face.disaggregate(file, n=3, seed=2, usage=usage).power)
    assert first.usage == usage and len(first.energy) == 8
    np.testing.assert_allclose(first.household.mains, house.mains)
    other = face.disaggregate(file, n=3, seed=1, usage={**usage, "kettle": 9.0})
    assert not other.power["kettle"].equals(first.power["kettle"])


def test_a_face_says_what_it_cannot_do(face):
    house = simulate(1, seed=5)
    with pytest.raises(UsageError, match="do not know heater"):
        face.disaggregate(house, usage={"heater": 1.0})
    with pytest.raises(DataError, match="60 s"):
        face.disaggregate(simulate(1, seed=5, period=60))
    with pytest.raises(UsageError, match="coloumn"):
        face.disaggregate(house.frame(), coloumn="Aggregate")
    with pytest.raises(UsageError, match="period=60"):
        face.disaggregate(house.frame(), period=60.0)
    with pytest.raises(DataError, match="no such file"):
        face.disaggregate("nowhere.csv")


def test_a_series_is_read_and_errors_name_the_arguments_of_python(face):
    house = simulate(1, seed=5)
    usage = {a.key: 1.0 for a in DEFAULT}
    series = pd.Series(house.mains, house.index)
    one = face.disaggregate(series, n=2, seed=1, usage=usage)
    two = face.disaggregate(house.frame()[["Time", "Aggregate"]], n=2, seed=1, usage=usage)
    pd.testing.assert_frame_equal(one.power, two.power)
    frame = pd.DataFrame({"phase one": house.mains, "phase two": house.mains}, house.index)
    with pytest.raises(DataError, match=" mains= takes one of 'phase one', 'phase two'"):
        face.disaggregate(frame)
    doubled = face.disaggregate(frame, n=2, usage=usage, mains="phase one+phase two")
    np.testing.assert_allclose(doubled.household.mains, 2 * house.mains)
    with pytest.raises(UsageError, match="no argument 'main'; did you mean 'mains'"):
        face.disaggregate(frame, main="phase one")
    with pytest.raises(UsageError, match="not a list"):
        face.disaggregate([1, 2])


def test_a_printed_result_is_a_summary(face):
    house = simulate(2, seed=5)
    result = face.disaggregate(house, n=3, usage={a.key: 1.0 for a in DEFAULT})
    lines = str(result).splitlines()
    assert len(lines) == 6 and max(map(len, lines)) < 120
    mains = house.mains.sum(dtype=np.float64) / 120_000
    assert f"2 days every 30 s, mains known 100% of them, {mains:.4g} kWh" in lines[0]
    for appliance, line in zip(DEFAULT, lines[1:5], strict=True):
        of = result.energy[result.energy.appliance == appliance.key]
        assert f"{appliance.key} " in line and f"{of.kWh.sum():.2f} kWh" in line and "1 activations a day" in line
        whole = result.total.loc[appliance.key]  # of the samples' sums: quantiles do not add up
        assert f"(90 %: {whole.kWh_low:.2f} to {whole.kWh_high:.2f})" in line
        assert whole.kWh == pytest.approx(of.kWh.sum())
    assert len(repr(house)) < 300


def test_calibration_says_what_it_needs(folder, capsys):
    words = ["run", "plugin=nilm", "task=calibrate", f"from={folder / 'trained'}"]
    for number, (more, said) in enumerate(
        [
            ([], "data.root= says which folder"),
            (["data.houses=[home1]", "folds=[a@home1]"], "data.root= says which folder"),
            ([f"data.root={folder / 'houses'}", "data.days=0.3"], "data.days=0.3"),
        ]
    ):
        assert main([*words, *more, f"out={folder / f'none{number}'}"]) == 2
        assert said in capsys.readouterr().err


def test_without_a_whole_day_energies_keep_their_intervals():
    """Seven hours have bands to widen, and no day whose energy could be compared."""
    house = simulate(0.3, seed=1)
    truth = house.parts["kettle"]
    members = np.stack([np.stack([truth * f] * 4) for f in (0.9, 1.0, 1.1)]).astype(np.float32)
    calibration = calibrated([gather([Piece(house, DEFAULT, members, {})])], DEFAULT)
    assert calibration.energies == Calibration.none(4).energies


def test_calibration_refuses_folds_it_cannot_read(folder, capsys):
    words = ["run", "plugin=nilm", "task=calibrate", f"from={folder / 'trained'}", f"data.root={folder / 'houses'}"]
    assert main([*words, "folds=[home1]", f"out={folder / 'bad'}"]) == 2
    assert "weights@house" in capsys.readouterr().err


def test_described_appliances_and_known_ones_with_other_thresholds(folder, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "kettle: {threshold: 1000}\n"
        "sauna: {threshold: 500, scale: 8000, edge: 500, peak: 4000, gap: 300, min_on: 900, usage: [0.01, 1]}\n"
    )
    kettle, sauna = appliances_of(PowerConfig(appliances=["kettle", "sauna"], describe=str(file)))
    assert kettle == replace(KETTLE, threshold=1000) and sauna.usage == (0.01, 1) and sauna.key == "sauna"
    file.write_text("kettle: {treshold: 1000}\n")
    with pytest.raises(UsageError, match="did you mean 'threshold'"):
        appliances_of(PowerConfig(describe=str(file)))
    file.write_text("kettle: 1000\n")
    with pytest.raises(UsageError, match=r"mine\.yaml"):
        appliances_of(PowerConfig(describe=str(file)))


# -- nilmtk-contrib --------------------------------------------------------------------------------------------------


def frames(house) -> tuple[pd.DataFrame, list]:
    """Mains and appliances as nilmtk hands them over: a time index, and columns (power, active)."""
    columns = pd.MultiIndex.from_tuples([("power", "active")], names=["physical_quantity", "type"])
    index = house.index.tz_localize("Europe/London")

    def one(values):
        return pd.DataFrame(values[:, None], index=index, columns=columns)

    names = {"kettle": "kettle", "dishwasher": "dish washer", "washing_machine": "washing machine"}
    return one(house.mains), [(name, [one(house.parts[key])]) for key, name in names.items()]


def test_the_adapter_uses_weights_as_they_are(folder, face):
    mains, appliances = frames(simulate(1, seed=7))
    method = Diffx({"weights": str(folder / "calibrated"), "n": 3})
    with pytest.raises(DataError, match="partial_fit"):
        method.disaggregate_chunk([mains])
    method.partial_fit([mains], appliances)
    fine = mains.iloc[1200:1400].resample("10s").ffill()  # meters of 10 s
    (found,) = method.disaggregate_chunk([fine])
    assert list(found) == ["kettle", "dish washer", "washing machine"] and found.index.equals(fine.index)
    direct = face.disaggregate(
        pd.DataFrame({"Time": fine.index, "Aggregate": fine.to_numpy()[:, 0]}), n=3, time="Time", mains="Aggregate"
    )
    np.testing.assert_array_equal(found["kettle"].to_numpy()[:-3:3], direct.power["kettle"].to_numpy())
    with pytest.raises(UsageError, match="no appliance 'fridge'"):
        Diffx({"weights": str(folder / "calibrated")}).partial_fit([mains], [("fridge", [mains])])
    with pytest.raises(UsageError, match="epochs"):
        Diffx({"epochs": 3})


def test_the_adapter_knows_the_options_of_training():
    with pytest.raises(UsageError, match="no option 'bacth'; did you mean 'batch'"):
        Diffx({"steps": 2, "train": {"bacth": 2}})
    with pytest.raises(UsageError, match="come with steps"):
        Diffx({"train": {"batch": 2}})
    assert Diffx({"steps": 2, "train": {"batch": 2, "lr": 1e-3}}).params["steps"] == 2


def test_the_adapter_trains(tmp_path):
    mains, appliances = frames(simulate(12, seed=7))
    method = Diffx({"steps": 2, "n": 2, "train": {"batch": 2}})
    method.partial_fit([mains], appliances)
    assert [a.key for a in method.face.appliances] == ["kettle", "dishwasher", "washing_machine"]
    (found,) = method.disaggregate_chunk([mains.iloc[:600]])
    assert found.shape == (600, 3) and (found >= 0).all().all()


def test_packed_houses_are_the_folders(folder):
    out = folder / "packed"
    assert main(["run", "plugin=nilm", "task=pack", f"data.root={folder / 'houses'}", f"out={out}"]) == 0
    cfg = PowerConfig(plugin="nilm")
    cfg.data.root = str(out / "samples" / "houses.safetensors")
    one, appliances = packed(cfg)
    cfg.data.root = str(folder / "houses")
    two, _ = packed(cfg)
    assert appliances == DEFAULT and [h.name for h in one] == [h.name for h in two] == ["home1", "home2"]
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.mains, b.mains)
        np.testing.assert_array_equal(a.parts, b.parts)
    cfg.appliances = ["kettle"]
    cfg.data.root = str(out / "samples" / "houses.safetensors")
    with pytest.raises(DataError, match="packed for kettle, dishwasher"):
        packed(cfg)
