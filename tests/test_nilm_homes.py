"""Homes that meter different appliances: what is not known costs nothing; what recurs in a home is learnt from it."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd
import torch
from test_nilm_data import DATA, STILL, real

from diffx.cli import main
from diffx.data.spec import Spec
from diffx.errors import DataError, UsageError
from diffx.noise import Noise
from diffx.pipeline import Pipeline
from diffx.process import Gaussian
from diffx_nilm.appliances import (
    DEFAULT,
    DISHWASHER,
    FRIDGE,
    KETTLE,
    KNOWN,
    MICROWAVE,
    WASHING_MACHINE,
    Appliance,
    choose,
)
from diffx_nilm.config import PowerConfig
from diffx_nilm.data import metered
from diffx_nilm.events import edges, events, one_sided
from diffx_nilm.household import DAY, Household
from diffx_nilm.mix import Mixture, Windows, every_other
from diffx_nilm.pack import load_packed, pack_house, save_packed
from diffx_nilm.plugin import diffx_process
from diffx_nilm.process import PartlyKnown
from diffx_nilm.read import read
from diffx_nilm.recurring import Recurring, learn, learnt, meters, posterior, settled
from diffx_nilm.simulate import simulate
from diffx_nilm.widen import widened

# -- reading ---------------------------------------------------------------------------------------------------------


@real
def test_the_homes_of_three_data_sets_are_read():
    """Means by hand (awk over the files); REDD's rows of a minute fill two periods, and its offset counts."""
    uk = read(DATA / "ukdale_house1_part1_30s.csv.gz")
    assert set(uk.parts) == {a.key for a in KNOWN} and len(uk) == 64_643
    assert uk.start == pd.Timestamp("2000-01-03") and uk.parts["fridge"].max() > 100
    redd = read(DATA / "redd_house2_1min.csv.gz")
    assert set(redd.parts) == {"dishwasher", "microwave", "fridge"} and len(redd) == 2 * 50_442
    assert redd.start == pd.Timestamp("2011-04-17 19:18", tz="America/New_York")
    known = np.isfinite(redd.mains)
    assert known.sum() == pytest.approx(2 * 20_134, abs=4)
    assert redd.mains[known].mean() == pytest.approx(230.299, abs=0.1)
    assert np.nanmean(redd.parts["fridge"]) == pytest.approx(79.7417, abs=0.05)


@real
def test_an_archive_of_one_appliance_is_read_and_one_without_a_name_is_not(tmp_path):
    path = DATA / "ukdale_house1_5_kettle_1min.npz"
    house = read(path)
    with np.load(path) as archive:
        mains, kettle = archive["aggregate"], archive["power"]
    assert set(house.parts) == {"kettle"} and len(house) == 2 * len(mains)
    np.testing.assert_array_equal(house.mains[::2], mains)
    np.testing.assert_array_equal(house.parts["kettle"][1::2], kettle)
    np.savez(tmp_path / "kettle_1min.npz", aggregate=np.array([100, -1, 300] * 50), power=np.array([0, 0, -1] * 50))
    gaps = read(tmp_path / "kettle_1min.npz")
    assert np.isnan(gaps.mains[2:4]).all() and np.isnan(gaps.parts["kettle"][4:6]).all()
    for name, said in (("kettle.npz", "say the period"), ("boiler_1min.npz", "says no appliance")):
        np.savez(tmp_path / name, aggregate=mains[:9], power=kettle[:9])
        with pytest.raises(DataError, match=said):
            read(tmp_path / name)
    np.savez(tmp_path / "kettle_30s.npz", mains=mains[:9])
    with pytest.raises(DataError, match="no array aggregate, power; there are mains"):
        read(tmp_path / "kettle_30s.npz")


@real
def test_a_meter_that_is_not_what_it_says_is_not_known():
    cfg = PowerConfig(plugin="nilm", task="train")
    cfg.data.root, cfg.data.houses = str(DATA), ["redd_house1_1min"]
    cfg.data.unknown = ["redd_house1_1min.washing machine"]
    (house,) = metered(cfg, KNOWN, lambda line: None)
    assert set(house.parts) == {"dishwasher", "microwave", "fridge"}
    cfg.data.unknown = ["redd_house1_1min.sauna"]
    with pytest.raises(UsageError, match=r"data.unknown: 'redd_house1_1min.sauna' is not house.appliance"):
        metered(cfg, KNOWN, lambda line: None)


def test_of_a_folder_what_is_no_household_is_left_out_and_said(tmp_path):
    simulate(1, 1).frame().to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.csv").write_text("model,score\nx,1\ny,2\n")
    cfg = PowerConfig(plugin="nilm", task="train")
    cfg.data.root = str(tmp_path)
    said = []
    assert [h.name for h in metered(cfg, DEFAULT, said.append)] == ["a"]
    assert any(line.startswith("left out: b.csv") for line in said)
    cfg.data.houses = ["b"]
    with pytest.raises(DataError, match=r"b\.csv"):
        metered(cfg, DEFAULT, said.append)


# -- the state -------------------------------------------------------------------------------------------------------


def test_what_is_not_known_costs_nothing_and_the_rest_as_much_as_alone():
    usual = Gaussian()
    process = PartlyKnown.of(usual)
    x = torch.randn(3, 2, 8)
    partly = x.clone()
    partly[0, 1], partly[2] = torch.nan, torch.nan
    t = np.array([0.5, 1.0, 2.0])
    noisy, whole = process.corrupt(partly, t, Noise([1, 2, 3])), usual.corrupt(x, t, Noise([1, 2, 3]))
    assert noisy.x.isfinite().all() and noisy.target[0, 1].isnan().all()
    torch.testing.assert_close(noisy.x[1], whole.x[1])
    torch.testing.assert_close(noisy.x[0, 0], whole.x[0, 0])
    guess = torch.zeros(3, 2, 8, requires_grad=True)
    loss = process.loss(guess, noisy)
    torch.testing.assert_close(loss[1], usual.loss(guess, whole)[1])
    torch.testing.assert_close(loss[0], whole.weight[0] * x[0, 0].square().mean())
    assert loss[2] == 0
    loss.sum().backward()
    assert guess.grad.isfinite().all() and (guess.grad[0, 1] == 0).all() and (guess.grad[2] == 0).all()


def test_an_appliance_weighs_in_the_loss_what_it_is_to_weigh():
    x, t = torch.randn(2, 2, 8), np.array([0.5, 1.0])
    usual, process = Gaussian(), PartlyKnown.of(Gaussian(), (1.0, 0.1))
    guess, noisy = torch.zeros_like(x), usual.corrupt(x, t, Noise([1, 2]))
    square = x.square().mean(2) * noisy.weight[:, None]
    torch.testing.assert_close(process.loss(guess, noisy), (square[:, 0] + 0.1 * square[:, 1]) / 2)
    torch.testing.assert_close(PartlyKnown.of(usual).loss(guess, noisy), usual.loss(guess, noisy))


def test_a_fridge_weighs_less_than_what_is_seldom_on():
    cfg = PowerConfig(plugin="nilm", task="train", appliances=["kettle", "fridge"])
    process = diffx_process(cfg, Spec((2, cfg.net.window), ()))
    assert process.shares == (1.0, cfg.process.cycling) and cfg.process.cycling < 1


def test_what_is_not_known_looks_like_what_sampling_begins_with_and_not_like_off():
    process = PartlyKnown(sigma_data=0.2)
    x = torch.zeros(64, 2, 512)
    x[:, 1] = torch.nan
    for sigma in (0.002, 0.2, 5.0):
        t = np.full(64, sigma)  # of EDM's schedule, time is sigma
        off, unknown = process.corrupt(x, t, Noise(range(64))).x.unbind(1)
        assert off.std().item() == pytest.approx(sigma, rel=0.02)
        assert unknown.std().item() == pytest.approx(float(np.hypot(0.2, sigma)), rel=0.02)
        assert abs(torch.corrcoef(torch.stack([off.flatten(), unknown.flatten()]))[0, 1]) < 0.02


# -- homes together --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def homes():
    """One that knows all four, one that knows two, and an archive of a kettle."""
    one, two, three = (simulate(12, seed) for seed in range(3))
    two = replace(two, parts={k: two.parts[k] for k in ("dishwasher", "microwave")})
    three = replace(three, parts={"kettle": three.parts["kettle"]})
    return [replace(h, name=n) for h, n in zip((one, two, three), "abc", strict=True)]


def test_a_house_is_packed_with_what_it_metered(homes, tmp_path):
    packed = [pack_house(home, DEFAULT) for home in homes]
    assert [p.metered.tolist() for p in packed] == [[True] * 4, [False, True, False, True], [True] + [False] * 3]
    save_packed(tmp_path / "p.safetensors", packed, DEFAULT, 30.0)
    again, _, _ = load_packed(tmp_path / "p.safetensors")
    mains, parts = again[1].window(0, 500)
    assert np.isnan(parts[[0, 2]]).all() and np.isfinite(parts[[1, 3]]).all()
    np.testing.assert_allclose(mains, np.round(homes[1].mains[:500] * 5) / 5, atol=0.01)
    assert np.isnan(again[1].a_day(30.0)).tolist() == [True, False, True, False]
    assert again[1].known_days(30.0) == pytest.approx(12)


def test_a_window_knows_what_its_house_knows(homes):
    packed = [pack_house(home, DEFAULT) for home in homes]
    mixture = Mixture(packed, DEFAULT, width=256)
    assert [h.name for h in mixture.homes] == ["a", "b"]  # what else is in the mains of c is not known
    assert [h.name for h in mixture.sources[0]] == ["a", "c"] and mixture.often[0] == pytest.approx(2 / 3)
    part, count = 0, 300
    for i in range(count):
        mains, parts, usage = mixture.draw(i)
        gone = np.isnan(parts).all(1)
        assert gone.tolist() in ([False] * 4, [True, False, True, False])
        assert np.isnan(usage).tolist() == gone.tolist() and np.isfinite(mains).all()
        part += gone[0]
        item = mixture[i]
        assert all(np.isnan(item[a.usage_key]) for a, no in zip(DEFAULT, gone, strict=True) if no)
    assert part / count == pytest.approx(1 / 3, abs=0.1)
    assert torch.isnan(Windows(packed[1:2], DEFAULT)[0]["x"][[0, 2]]).all()
    with pytest.raises(DataError, match="no activation of kettle"):
        Mixture(packed[1:2], DEFAULT, width=256)


def test_long_recordings_are_met_more_often_but_less_than_they_are_long(homes):
    long = pack_house(simulate(48, 5), DEFAULT)
    mixture = Mixture([pack_house(homes[0], DEFAULT), long], DEFAULT, width=256)
    assert mixture.often.tolist() == pytest.approx([1 / 3, 1])  # sqrt(12) to sqrt(48)


def test_a_fridge_is_laid_in_as_it_runs():
    """A stretch of its meter, not runs at random times; its rate is that of its house."""
    n = 4000
    on = ((np.arange(n) % 80 < 30) * 90.0).astype(np.float32)
    house = Household("h", pd.Timestamp("2024-01-01"), 30.0, on + 50, {"fridge": on})
    mixture = Mixture([pack_house(house, [FRIDGE])], [FRIDGE], 240, recipe=STILL)
    shares = []
    for i in range(60):
        _, parts, usage = mixture.draw(i)
        if parts.any():
            assert (parts[0] > 50).sum() == 90 and usage[0] == pytest.approx(DAY / (80 * 30), rel=0.03)
        shares.append(parts.any())
    assert 0.75 < np.mean(shares) < 1


def test_a_meter_of_half_the_rate_keeps_the_energy():
    power = np.array([[0.0, 100, 50, 50, 7], [1, 3, np.nan, 1, 2]], np.float32)
    np.testing.assert_array_equal(every_other(power), [[50, 50, 50, 50, 7], [2, 2, np.nan, np.nan, 2]])


# -- more appliances from weights of fewer ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A tiny network of two appliances, trained for two steps."""
    folder = tmp_path_factory.mktemp("narrow")
    simulate(12, 0).frame().to_csv(folder / "a.csv", index=False)
    (folder / "houses").mkdir()
    (folder / "a.csv").rename(folder / "houses" / "a.csv")
    words = ["run", "plugin=nilm", "task=train", f"data.root={folder / 'houses'}", "data.holdout=1", "train.batch=2"]
    net = ["net.channels=[8,8]", "net.attention=[]", "net.window=64", "train.val_every=0", "device=cpu"]
    assert main([*words, *net, "appliances=[kettle,microwave]", "train.steps=2", f"out={folder / 'two'}"]) == 0
    more = ["appliances=[kettle,dishwasher,washing_machine,microwave]", "train.steps=1", "train.lr=0"]
    assert main([*words, *net, *more, f"from={folder / 'two'}", f"out={folder / 'four'}"]) == 0
    return folder


def test_wider_weights_say_the_same_of_what_they_knew(narrow):
    two, four = (Pipeline.load(narrow / name, "cpu", plugin="nilm") for name in ("two", "four"))
    assert four.spec.shape == (4, 64) and [a["key"] for a in four.meta["appliances"]] == [a.key for a in DEFAULT]
    x, mains = torch.randn(1, 4, 64), np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    record = {"mains": mains, "kettle_usage": 0.3, "microwave_usage": 0.6}
    said = four.model.denoiser(x, 0.7, four.condition([record], [1]))
    before = two.model.denoiser(x[:, [0, 3]], 0.7, two.condition([record], [1]))
    torch.testing.assert_close(said[:, [0, 3]], before, atol=2e-3, rtol=2e-3)  # the file keeps 16 bits
    assert (said[:, 0] - before[:, 1]).abs().max() > 1e-2  # and not of another one


def test_training_goes_on_with_the_appliances_of_its_start_also_where_one_was_not_metered(narrow):
    """Without appliances=, those of from= stay; nothing is learnt of one that no home of the folder meters."""
    (narrow / "kettles").mkdir()
    home = simulate(12, 1)
    Household(home.name, home.start, home.period, home.mains, {"kettle": home.parts["kettle"]}).frame().to_csv(
        narrow / "kettles" / "k.csv", index=False
    )
    words = ["run", "plugin=nilm", "task=train", f"data.root={narrow / 'kettles'}", "data.holdout=1", "train.batch=2"]
    net = ["net.channels=[8,8]", "net.attention=[]", "net.window=64"]
    more = [*net, "train.val_every=0", "device=cpu", "train.steps=1"]
    assert main([*words, *more, f"from={narrow / 'two'}", f"out={narrow / 'on'}"]) == 0
    start, on = (Pipeline.load(narrow / name, "cpu", plugin="nilm") for name in ("two", "on"))
    assert [a["key"] for a in on.meta["appliances"]] == on.config.appliances == ["kettle", "microwave"]
    exits = [p.model.state_dict()["denoiser.net.conv_out.weight"] for p in (start, on)]
    assert torch.equal(exits[0][1], exits[1][1]) and not torch.equal(exits[0][0], exits[1][0])


def test_widening_places_channels_by_name():
    entry, exit_ = "denoiser.net.conv_in.weight", "denoiser.net.conv_out.bias"
    known = {entry: torch.arange(1.0, 6).view(1, 5, 1), exit_: torch.tensor([10.0, 20])}
    fresh = {
        entry: torch.ones(1, 7, 1),
        exit_: torch.ones(4),
        "conditioning.fields.fridge_usage.missing": torch.ones(2),
    }
    out = widened(known, fresh, (KETTLE, WASHING_MACHINE), (FRIDGE, WASHING_MACHINE, KETTLE, MICROWAVE))
    assert out[entry].flatten().tolist() == [0, 2, 1, 0, 3, 4, 5] and out[exit_].tolist() == [0, 20, 10, 0]
    assert out["conditioning.fields.fridge_usage.missing"].tolist() == [0, 0]


def test_weights_that_know_more_are_no_start(narrow, capsys):
    words = ["run", "plugin=nilm", "task=train", f"data.root={narrow / 'houses'}", "appliances=[kettle]"]
    assert main([*words, f"from={narrow / 'two'}", "net.window=64", f"out={narrow / 'none'}"]) == 2
    assert "it knows microwave, which appliances= leaves out" in capsys.readouterr().err


# -- what recurs -----------------------------------------------------------------------------------------------------


def test_edges_and_events_by_hand():
    mains = np.full(60, 300, np.float32)
    mains[10], mains[11:14], mains[14] = 1500, 2700, 900  # 1200 + 1200 up, 1800 + 600 down: a partial period each
    mains[30:34] += 2000
    mains[32:50] += 500  # something else starts within it, and ends alone
    assert edges(mains)[:2] == [(9, 11, 2400.0), (13, 15, -2400.0)]
    found = events(mains, 1500, 3500, 16)
    assert [(e.first, e.stop, e.power) for e in found] == [(10, 15, 2400.0), (30, 34, 2000.0)]
    np.testing.assert_allclose(found[0].profile(mains), [1200, 2400, 2400, 2400, 600])
    assert events(mains, 2500, 3500, 16) == [] and events(mains, 1500, 3500, 2) == []
    mains[12] = np.nan
    assert [e.first for e in events(mains, 1500, 3500, 16)] == [30]


def test_an_event_of_a_known_power_shows_by_one_side():
    """A kettle of 2400 W that something of 1700 W hides: at its begin, or at its end."""
    mains = np.full(80, 250, np.float32)
    mains[10:15] += 2400
    mains[10:30] += 1700  # both begin at once; the kettle ends alone
    mains[50:55] += 2400
    mains[45:55] += 1700  # the kettle begins alone; both end at once
    assert events(mains, 1500, 3500, 16) == [] or all(e.power < 2000 for e in events(mains, 1500, 3500, 16))
    found = one_sided(mains, 2400.0, 16, [])
    assert [(e.first, e.stop) for e in found] == [(10, 15), (50, 55)]
    np.testing.assert_allclose([e.profile(mains).mean() for e in found], 2400)
    assert one_sided(mains, 2000.0, 16, []) == [] and one_sided(mains, 2400.0, 3, []) == []
    assert [e.first for e in one_sided(mains, 2400.0, 16, found[:1])] == [50]


def test_the_level_of_a_home_is_where_its_events_are():
    rng = np.random.default_rng(1)
    power, length = home_of([(2400, 5), (2150, 6)], 60, rng)
    weight = np.where(np.arange(120) < 60, 0.9, 0.1)
    assert Recurring(np.log(power), np.log(length), weight).level == pytest.approx(2400, rel=0.003)
    scattered = Recurring(np.log(rng.uniform(1500, 3500, 120)), np.log(length), weight)
    assert scattered.level is None


def home_of(levels, count, rng, jitter=0.004):
    """Powers and lengths of events: ``count`` of each (level, length)."""
    power = np.concatenate([level * (1 + jitter * rng.standard_normal(count)) for level, _ in levels])
    return power, np.concatenate([np.full(count, length) for _, length in levels])


def test_events_of_one_size_are_told_from_others_by_all_of_them():
    """Two things of near power. The network finds half of one's events and a tenth of the other's."""
    rng = np.random.default_rng(0)
    power, length = home_of([(2400, 5), (2150, 6)], 60, rng)
    truth = np.arange(120) < 60
    share = np.where(truth, rng.random(120) < 0.5, rng.random(120) < 0.1).astype(float)
    recurring = learnt(power, length, share)
    after = posterior(share, recurring.ratio(power, length))
    missed, rightly = after[truth & (share == 0)], after[~truth & (share == 0)]
    assert missed.min() > 3 * rightly.max()  # of equal share before
    # one that nobody was sure of is the first's, or is not
    ratio = recurring.ratio(np.array([2405.0, 2145.0, 3400.0]), np.array([5, 6, 5]))
    assert ratio[0] > 1.5 and ratio[1] < 0.6 and ratio[2] == pytest.approx(1, abs=0.3)  # never seen: says nothing
    assert learnt(power[:5], length[:5], share[:5]) is None and learnt(power, length, np.zeros(120)) is None


def test_posterior_is_bayes():
    assert posterior(np.array([0.5, 0.2]), np.array([3.0, 4.0])) == pytest.approx([0.75, 0.5])
    assert posterior(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx([0.1, 0.9])


def test_samples_take_the_power_that_the_home_shows():
    """A kettle of 2400 W that half of the samples have at 2000 W, and one member gave to the dishwasher."""
    mains = np.full(800, 200, np.float32)
    starts = range(10, 790, 40)
    for at in starts:
        mains[at : at + 4] += 2400
    members = np.zeros((20, 4, 800), np.float32)
    for at in starts:
        members[:12, 0, at : at + 4] = 2000
        members[12:, 1, at : at + 4] = 2400
    appliances = choose(["kettle", "dishwasher", "washing_machine", "microwave"])
    known = learn([mains], [members], appliances, 30.0)
    assert set(known) == {"kettle"}
    out = settled(members, mains, known, appliances, 30.0)
    kettle = out[:, 0, 11]
    assert (kettle > 0).sum() == 12  # all events are alike, so nothing speaks for more or fewer
    np.testing.assert_allclose(np.sort(kettle[kettle > 0] / 2400), np.sort(meters(20)[kettle > 0]), rtol=1e-5)
    assert (out.sum(1) <= 1.03 * mains + 10.01).all() and out.min() >= 0
    away = np.ones(800, bool)
    for at in starts:
        away[at : at + 4] = False
    np.testing.assert_array_equal(out[:, :, away], members[:, :, away])
    np.testing.assert_array_equal(settled(members, mains, {}, appliances, 30.0), members)
    np.testing.assert_array_equal(out, settled(members, mains, known, appliances, 30.0))


def test_meters_differ_as_those_of_homes_do():
    assert meters(4).tolist() == pytest.approx([0.8575, 0.9325, 0.9925, 1.0375])
    assert np.median(meters(20)) == pytest.approx(0.97, abs=0.01)


def test_new_fields_of_appliances_are_checked():
    for wrong in ({"steady": (200.0, 100.0, 60.0)}, {"steady": (1.0, 2.0, 0.0)}):
        with pytest.raises(UsageError):
            replace(DISHWASHER, **wrong)
    before = {key: value for key, value in asdict(KETTLE).items() if key not in ("steady", "cycling")}
    assert Appliance.of_json(before) == KETTLE and Appliance.of_json({**before, "steady": None}).steady is None
    assert isinstance(Recurring(np.zeros(1), np.zeros(1), np.ones(1)).ratio(np.ones(1), np.ones(1)), np.ndarray)
