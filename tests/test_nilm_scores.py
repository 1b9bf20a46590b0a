"""The figures of the protocol against hand-made cases, and the baselines against what they must find."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pandas")

import torch

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.io.files import plain
from diffx.metrics import central_interval, crps
from diffx_nilm.appliances import DEFAULT
from diffx_nilm.baselines import BASELINES, AlwaysOff, GradientBoosting, Seq2Point, load_all, save_all
from diffx_nilm.baselines.base import places
from diffx_nilm.baselines.gbm import Trees, _rounded_down, around
from diffx_nilm.baselines.seq2point import WIDTH, Net, rounded
from diffx_nilm.evaluate.scores import Score, score
from diffx_nilm.household import Household
from diffx_nilm.simulate import simulate

NAN = math.nan


def test_every_figure_of_a_point_prediction_by_hand():
    """Truth 0 0 1000 1000 500 W and prediction 0 300 900 0 600 W, on above 200 W."""
    truth, said = np.array([0, 0, 1000, 1000, 500.0]), np.array([0, 300, 900, 0, 600.0])
    got = score(truth, said, threshold=200)
    expected = {
        "mae": 1500 / 5, "sae": 700 / 2500, "sae_of_median": 700 / 2500,
        "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3,
        "teca": 1 - 1500 / 5000, "nde": (300**2 + 100**2 + 1000**2 + 100**2) / (2 * 1000**2 + 500**2),
        "match_rate": (900 + 500) / (300 + 1000 + 1000 + 600), "crps": 300, "coverage50": NAN, "coverage90": NAN,
        "energy_coverage90": NAN, "n_samples": 5, "n_days": 0,
    }  # fmt: skip
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, nan_ok=True), name
    assert plain(got)["coverage50"] is None  # as JSON has it


def test_what_is_not_known_is_not_counted():
    truth, said = np.array([0, NAN, 1000, 500.0]), np.array([0, 300, NAN, 600.0])
    assert score(truth, said, 200) == pytest.approx(score(truth[[0, 3]], said[[0, 3]], 200), nan_ok=True)
    members = np.stack([said, said + 1])
    assert score(truth, members, 200)["n_samples"] == 2
    nothing = score(truth[1:2], said[1:2], 200)
    assert nothing["n_samples"] == 0 and math.isnan(nothing["mae"])


def test_perfection_and_never_on():
    truth = np.array([0, 0, 2500, 0.0])
    best = score(truth, truth, 2000)
    assert [best[k] for k in ("mae", "sae", "f1", "teca", "nde", "match_rate")] == [0, 0, 1, 1, 0, 1]
    off = score(truth, truth * 0, 2000)
    assert [off[k] for k in ("mae", "sae", "f1", "teca", "nde", "match_rate")] == [625, 1, 0, 0.5, 1, 0]
    assert math.isnan(off["precision"]) and off["recall"] == 0
    never = score(truth * 0, truth * 0, 2000)
    assert never["mae"] == 0 and all(math.isnan(never[k]) for k in ("sae", "f1", "teca", "nde", "match_rate"))


def test_an_ensemble_by_hand():
    """Three members: the median is the point, their mean the energy, their crps that of the core."""
    members = np.array([[0, 100, 900.0], [0, 400, 1000], [30, 700, 1400]])
    truth = np.array([0, 600, 700.0])
    got = score(truth, members, threshold=200)
    assert got["mae"] == pytest.approx((0 + 200 + 300) / 3)
    assert got["sae"] == pytest.approx((10 + 400 + 1100 - 1300) / 1300)
    assert got["sae_of_median"] == pytest.approx((400 + 1000 - 1300) / 1300)
    assert got["crps"] == pytest.approx(crps(members, truth))
    # three members cannot hold more than from the least to the greatest: 600 lies inside, 700 does not
    assert got["coverage90"] == 0.5


def test_coverage_counts_active_periods_only():
    rng = np.random.default_rng(0)
    members = rng.normal(1000, 100, (49, 4000))
    truth = rng.normal(1000, 100, 4000)
    off = np.zeros((49, 9000)), np.zeros(9000)
    got = score(np.concatenate([truth, off[1]]), np.concatenate([members, off[0]], axis=1), threshold=10)
    assert got["coverage90"] == pytest.approx(0.9, abs=0.015) and got["coverage50"] == pytest.approx(0.5, abs=0.025)
    assert got["n_samples"] == 13_000
    # where only the upper end says that it may be on, the period counts as well
    members[:, 2000:], truth[2000:] = rng.uniform(0, 50, (49, 2000)), 0.0
    low = central_interval(members[:, 2000:], 0.9)[0].numpy()
    assert low.min() > 0
    half = score(truth, members, threshold=10)
    assert half["coverage90"] == pytest.approx(0.45, abs=0.015)


def test_calibrated_bounds_take_the_place_of_the_members():
    truth, members = np.array([100.0, 300, 0]), np.zeros((5, 3))
    gathered = Score(threshold=50)
    bounds = {
        0.5: (np.array([90.0, 310, 0]), np.array([110.0, 320, 0])),
        0.9: (np.zeros(3), np.array([200.0, 300, 60])),
    }
    gathered.add(truth, members, bounds=bounds)
    got = gathered.result(energy_bounds={})
    assert got["coverage50"] == 0.5 and got["coverage90"] == 1.0
    assert math.isnan(got["energy_coverage90"])


def test_stretches_add_up_to_the_whole():
    rng = np.random.default_rng(1)
    truth = np.where(rng.random(8640) < 0.1, rng.gamma(3, 300, 8640), 0)
    members = np.maximum(truth + rng.normal(0, 200, (9, 8640)), 0)
    truth[100:400] = NAN
    day = np.arange(8640) // 2880
    whole = score(truth, members, 100, day=day)
    gathered = Score(100)
    for first in range(0, 8640, 1234):
        part = slice(first, first + 1234)
        gathered.add(truth[part], members[:, part], day[part])
    assert gathered.result() == pytest.approx(whole)
    assert whole["n_days"] == 3
    with pytest.raises(ValueError, match="9 members before and 4 now"):
        gathered.add(truth, members[:4], day)
    with pytest.raises(ValueError, match="go with a truth"):
        gathered.add(truth[:5], members, 0)


def test_houses_are_pooled_and_days_resampled():
    """Pooled figures are those of all periods in a row, though both houses know the same dates."""
    rng = np.random.default_rng(4)
    day = np.repeat(np.arange(60), 48)
    homes, truths, saids = [], [], []
    for home in range(2):
        truth = np.where(rng.random(2880) < 0.2, 2000.0, 0)
        said = np.clip(truth[None] + rng.normal(0, 900 + 900 * home, (5, 2880)), 0, None)
        homes.append(Score(1000, period=1800))
        homes[-1].add(truth, said, day)
        truths.append(truth)
        saids.append(said)
    pooled = Score.pooled(homes)
    whole = score(np.concatenate(truths), np.concatenate(saids, 1), 1000, 1800, np.arange(5760) // 48)
    assert pooled.result() == pytest.approx(whole) and whole["n_days"] == 120
    assert set(pooled.days()) == {(home, date) for home in (0, 1) for date in range(60)}
    misplaced = pooled.misplaced()
    assert misplaced[1, 7] == pytest.approx(np.abs(np.median(saids[1], 0) - truths[1])[day == 7].sum() / 2)
    # the error of a day is a mean over independent periods: its standard error is known
    spans, each = pooled.spans(resamples=400), np.array(list(misplaced.values())) * 2 / 48
    error = each.std() / np.sqrt(120)
    assert spans["mae"] == pytest.approx((each.mean() - 1.96 * error, each.mean() + 1.96 * error), abs=error / 3)
    assert spans["f1"][0] < whole["f1"] < spans["f1"][1] and spans["f1"][1] - spans["f1"][0] < 0.06
    single = Score(1000, period=1800)
    single.add(truths[0][:48], saids[0][0, :48])
    assert single.spans() == {}


def test_the_energy_of_days_lies_in_its_interval_as_often_as_it_should():
    """400 days of 100 periods; members and truth share one level a day, so that their energies are exchangeable."""
    rng = np.random.default_rng(2)
    level = rng.gamma(4, 100, (50, 400))
    day = np.repeat(np.arange(400), 100)
    gathered = Score(10, period=864)
    gathered.add(np.repeat(level[0], 100), np.repeat(level[1:], 100, axis=1), day)
    assert gathered.result()["energy_coverage90"] == pytest.approx(0.9, abs=0.04)
    energy, members = gathered.days()[3]
    assert energy == pytest.approx(level[0, 3] * 24) and members == pytest.approx(level[1:, 3] * 24)  # Wh
    # a day that is known for a few hours only does not count, and bounds from elsewhere do
    gathered.add(np.full(30, 5.0), np.full((49, 30), 5.0), np.full(30, 400))
    assert gathered.result()["n_days"] == 400
    bounds = {d: (0.0, level[0, d] * 24 + (1 if d < 100 else -1)) for d in range(400)}
    assert gathered.result(bounds)["energy_coverage90"] == 0.25


# -- baselines -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def houses():
    return [simulate(25, seed=3, missing=0.02)], simulate(12, seed=3, start="2024-03-01", missing=0.02)


def test_never_on(houses):
    train, test = houses
    said = AlwaysOff.fit(train, DEFAULT).predict(test.mains)
    assert (said[:, np.isfinite(test.mains)] == 0).all() and np.isnan(said[:, np.isnan(test.mains)]).all()


def test_positions_to_learn_at_have_weights_that_undo_their_choice(houses):
    """The weighted share of positions where the kettle is on is that of the house, though many more are drawn."""
    house = houses[0][0]
    (of, at, weight), = places([house], DEFAULT, 40_000, np.random.default_rng(0))  # fmt: skip
    on = house.parts["kettle"] > 500
    share = on[house.known].mean()
    assert of is house and house.known[at].all() and weight.mean() == pytest.approx(1, abs=0.02)
    assert on[at].mean() > 1.5 * share
    assert np.average(on[at], weights=weight) == pytest.approx(share, rel=0.1)
    blank = replace(house, mains=house.mains * np.nan)
    with pytest.raises(DataError, match="nowhere known"):
        next(places([blank], DEFAULT, 10, np.random.default_rng(0)))


def test_features_are_the_mains_around():
    x = around(np.arange(10.0) ** 2, np.array([0, 4]), half=2)
    np.testing.assert_array_equal(x[:, 1], [4, 9, 16, 25, 36, 5, 7, 9, 11])
    np.testing.assert_array_equal(x[:, 0], [NAN, NAN, 0, 1, 4, NAN, NAN, 1, 3])


def test_trees_predict_what_scikit_learn_predicts():
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 6)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = NAN
    y = np.nan_to_num(x[:, 0]) * 3 + np.isnan(x[:, 1]) * 5 + np.where(np.nan_to_num(x[:, 2]) > 0.3, 4, 0)
    model = ensemble.HistGradientBoostingRegressor(max_iter=30, random_state=0).fit(x, y)
    trees = Trees.of(model)
    np.testing.assert_allclose(trees(x.T), model.predict(x), rtol=1e-5, atol=1e-5)  # leaves are kept in float32
    clean = np.nan_to_num(x)
    np.testing.assert_allclose(trees(clean.T), model.predict(clean), rtol=1e-5, atol=1e-5)
    # thresholds lie between values of the data, and here they lie on them: float32 must part them as float64 does
    for name in ("left", "right", "feature"):
        assert getattr(trees, name).dtype == np.int16
    edges = np.array([0.1, -0.1, 1e-40, np.inf, 3.0])
    kept = _rounded_down(edges)
    assert (
        kept.dtype == np.float32
        and (kept <= edges).all()
        and (np.nextafter(kept[[0, 1, 4]], np.float32(9)) > edges[[0, 1, 4]]).all()
    )


def test_gradient_boosting_learns_saves_and_loads(houses, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    train, test = houses
    made = GradientBoosting.fit(train, DEFAULT[:1], rows=3000, trees=25)
    said = made.predict(test.mains)
    assert np.isnan(said[:, np.isnan(test.mains)]).all() and said.shape == (1, len(test))
    figures = score(test.parts["kettle"], said[0], 2000)
    assert figures["mae"] < 0.8 * score(test.parts["kettle"], said[0] * 0, 2000)["mae"] and figures["f1"] > 0.5
    save_all(tmp_path / "b.safetensors", {"gbm": made, "always_off": AlwaysOff(DEFAULT[:2], 60.0)})
    monkeypatch.setitem(sys.modules, "sklearn", None)  # not needed to predict
    again = load_all(tmp_path / "b.safetensors")
    assert (again["gbm"].appliances, again["gbm"].period) == (DEFAULT[:1], 30)
    assert (again["always_off"].appliances, again["always_off"].period) == (DEFAULT[:2], 60)
    np.testing.assert_array_equal(again["gbm"].predict(test.mains), said)


def test_sequence_to_point_looks_at_the_window_around_each_point():
    """One output of a long input is the output of its own window alone, and nothing outside changes it."""
    torch.manual_seed(0)
    net = Net(2).eval()
    assert [tuple(m.weight.shape) for m in net.convolutions if hasattr(m, "weight")] == [
        (30, 1, 10), (30, 30, 8), (40, 30, 6), (50, 40, 5), (50, 50, 5),
    ]  # fmt: skip
    x = torch.randn(1, WIDTH - 1 + 20)
    whole = net(x)
    assert whole.shape == (1, 20, 2)
    torch.testing.assert_close(whole[:, 7:8], net(x[:, 7 : 7 + WIDTH]), rtol=1e-4, atol=1e-6)


def test_sequence_to_point_learns_saves_and_loads(tmp_path):
    """Mains that are one appliance and a constant: what it has to say is the mains less that, at the same period."""
    rng = np.random.default_rng(0)
    part = np.repeat(np.where(rng.random(240) < 0.3, rng.uniform(1500, 3000, 240), 0), 5).astype(np.float32)
    house = Household("h", simulate(1).start, 30.0, part + 100, {"kettle": part})
    made = Seq2Point.fit([house], DEFAULT[:1], steps=60, batch=16)
    mains = house.mains.copy()
    mains[7] = NAN
    said = made.predict(mains)[0]
    assert math.isnan(said[7]) and np.isfinite(said[8:]).all() and said[8:].min() >= 0
    match = {by: np.corrcoef(said[60:-60], np.roll(part, by)[60:-60])[0, 1] for by in range(-3, 4)}
    assert max(match, key=match.__getitem__) == 0 and match[0] > 0.8
    save_all(tmp_path / "net.safetensors", {"seq2point": made})
    assert (tmp_path / "net.safetensors").stat().st_size < 3.8e6  # a byte a weight
    np.testing.assert_array_equal(load_all(tmp_path / "net.safetensors")["seq2point"].predict(mains)[0], said)
    one, again, other = (Seq2Point.fit([house], DEFAULT[:1], seed, steps=1, batch=2).state()[0] for seed in (0, 0, 1))
    assert all(bool((one[name] == again[name]).all()) for name in one)
    assert any(bool((one[name] != other[name]).any()) for name in one)


def test_weights_in_a_byte():
    """At most half a step from what they were, and rounded once is rounded for good."""
    weight = torch.randn(50, 3500, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 2, 50)[:, None]
    step, codes = rounded(weight)
    kept = step.float()[:, None] * codes.float()
    assert bool(((kept - weight).abs() <= 0.51 * step.float()[:, None]).all())
    again, same = rounded(kept)
    assert bool((again == step).all()) and bool((same == codes).all())
    assert rounded(torch.zeros(1, 4))[1].tolist() == [[0] * 4]


def test_files_that_hold_no_baselines(tmp_path):
    path = tmp_path / "b.safetensors"
    with pytest.raises(DataError, match="no such file"):
        load_all(path)
    checkpoint.save(path, {}, {"kind": "weights"})
    with pytest.raises(DataError, match="holds no baselines"):
        load_all(path)
    checkpoint.save(path, {}, {"kind": "nilm baselines", "baselines": {"oracle": {}}})
    with pytest.raises(DataError, match="does not know: oracle"):
        load_all(path)
    assert set(BASELINES) == {"always_off", "gbm", "seq2point"}
    with pytest.raises(DataError, match="one period"):
        AlwaysOff.fit([simulate(1), simulate(1, period=60)], DEFAULT)
