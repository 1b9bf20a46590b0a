"""What nilm hands back: files, energies, pictures, and the page, on a disaggregator that is known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from nilm_fake import Fake, piece

from diffx.run import figures
from diffx_nilm import charts, pictures
from diffx_nilm.appliances import DEFAULT, DISHWASHER, KETTLE
from diffx_nilm.calibration import Calibration, Energy, uncalibrated
from diffx_nilm.digest import Digest, Habits, Metered
from diffx_nilm.evaluate import charts as compare_charts
from diffx_nilm.evaluate.days import Days, by_day, telling
from diffx_nilm.household import Household
from diffx_nilm.read import Options, read
from diffx_nilm.result import Energies, Piece, joined, one_piece, seconds
from diffx_nilm.simulate import simulate
from diffx_nilm.tasks.disaggregate import flag
from diffx_nilm.write import power_file, write_energy

PLAIN = Calibration.none(4)


def house(start="2024-03-04", hours=24.0, zone=None, **parts: np.ndarray) -> Household:
    """Mains of 150 W and the parts, at 30 s; parts that are not given are off."""
    n = round(hours * 120)
    own = {a.key: np.asarray(parts.get(a.key, np.zeros(n)), np.float32) for a in DEFAULT}
    mains = np.float32(150) + np.sum(list(own.values()), axis=0)
    return Household("home", pd.Timestamp(start, tz=zone).as_unit("us"), 30.0, mains, own, "active")


def block(first: float, stop: float, watts: float, hours: float = 24.0) -> np.ndarray:
    """Power on from the hour ``first`` to ``stop``."""
    at = np.arange(round(hours * 120)) / 120
    return np.where((at >= first) & (at < stop), watts, 0).astype(np.float32)


def certain(home: Household, members: int = 4) -> Piece:
    """Members that are all the metered parts."""
    drawn = np.repeat(home.of([a.key for a in DEFAULT])[None], members, axis=0)
    drawn[:, :, np.isnan(home.mains)] = np.nan
    return Piece(home, DEFAULT, drawn, PLAIN.bounds(drawn))


def cuts(whole: Piece, *at: int) -> list[Piece]:
    edges = [0, *at, len(whole.household)]
    return [whole.cut(a, b) for a, b in pairwise(edges)]


# -- energies --------------------------------------------------------------------------------------------------------


def energies(*pieces: Piece, calibration: Calibration = PLAIN) -> pd.DataFrame:
    gathered = Energies(DEFAULT, calibration)
    for one in pieces:
        gathered.add(one)
    return gathered.table()


def test_energies_do_not_depend_on_where_pieces_are_cut():
    whole = piece(simulate(3.4, seed=1, missing=0.1, timezone="Europe/Berlin"))
    once, often = energies(whole), energies(*cuts(whole, 1, 2879, 5000, 5001, 9000))
    pd.testing.assert_frame_equal(once, often, rtol=1e-12)
    expected = np.nansum(whole.mean, axis=1, dtype=np.float64) / 120_000  # W in periods of 30 s -> kWh
    np.testing.assert_allclose(once.groupby("appliance", sort=False)["kWh"].sum(), expected, rtol=1e-6)
    assert len(once) == 4 * 4 and once["known"].iloc[-1] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize("date, hours", [("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)])
def test_days_of_a_clock_change_are_whole_days(date, hours):
    home = house(date, hours + 24, "Europe/London", kettle=np.full((hours + 24) * 120, 1000))
    table = energies(certain(home)).query("appliance == 'kettle'")
    assert table["Date"].dt.strftime("%Y-%m-%d").tolist() == [date, str(pd.Timestamp(date) + pd.Timedelta(days=1))[:10]]
    np.testing.assert_allclose(table[["kWh", "kWh_low", "kWh_high"]], [[hours] * 3, [24] * 3], rtol=1e-9)
    np.testing.assert_allclose(table["mains_kWh"], [1.15 * hours, 1.15 * 24], rtol=1e-6)
    assert table["known"].tolist() == [1.0, 1.0]
    assert seconds(np.datetime64(date), "Europe/London") == hours * 3600 and seconds(np.datetime64(date)) == 86_400
    assert seconds(np.datetime64("2018-11-04"), "America/Sao_Paulo") == 23 * 3600  # its clock skips midnight itself


def test_what_is_not_known_is_in_no_energy():
    home = house(hours=48, kettle=np.full(48 * 120, 1000))
    mains = home.mains.copy()
    mains[1440:2880] = np.nan  # the first afternoon
    half = energies(certain(replace(home, mains=mains))).query("appliance == 'kettle'")
    assert half["known"].tolist() == [0.5, 1.0]
    np.testing.assert_allclose(half["kWh"], [12, 24])
    np.testing.assert_allclose(half["mains_kWh"], [13.8, 27.6], rtol=1e-6)
    mains[:2880] = np.nan
    none = energies(certain(replace(home, mains=mains))).query("appliance == 'kettle'").iloc[0]
    assert none["known"] == 0 and none[["kWh", "kWh_low", "kWh_high", "mains_kWh"]].isna().all()


def test_intervals_are_the_calibrations_and_hold_the_expectation():
    home = house(kettle=block(8, 9, 2000))
    sure = certain(home, 40)
    wide = replace(PLAIN, energies=(Energy(gain=0.25, slack=100), *[Energy()] * 3))
    row = energies(sure, calibration=wide).iloc[0]
    np.testing.assert_allclose(row[["kWh", "kWh_low", "kWh_high"]].tolist(), [2, 2 / 1.25 - 0.1, 2 * 1.25 + 0.1])
    rare = replace(sure, members=sure.members.copy())
    rare.members[1:] = 0  # one member of 40 has a run: the interval would be nothing at all, and miss the expectation
    row = energies(rare).iloc[0]
    np.testing.assert_allclose(row[["kWh", "kWh_low", "kWh_high"]].tolist(), [0.05, 0, 0.05], atol=1e-9)


def test_pieces_join_to_what_they_were_cut_from():
    whole = piece(simulate(2, seed=4, missing=0.05))
    parts = cuts(whole, 700, 2880, 2881)
    again = one_piece(parts)
    np.testing.assert_array_equal(again.members, whole.members)
    np.testing.assert_array_equal(again.bounds[0.5][1], whole.bounds[0.5][1])
    result = joined(parts, PLAIN, {"kettle": 1.0}, {"samples": 16})
    pd.testing.assert_frame_equal(result.power.reset_index(), whole.frame())
    units = result.power.attrs["units"]
    assert (units["kettle"], units["kettle_on"], units["Aggregate"], units["kettle_high"]) == ("W", "1", "W", "W")
    assert result.energy.attrs["units"]["kWh_low"] == "kWh" and result.energy.attrs["units"]["known"] == "1"
    pd.testing.assert_frame_equal(result.energy, energies(whole), rtol=1e-12)
    pd.testing.assert_index_equal(result.household.index, whole.household.index)
    np.testing.assert_array_equal(result.household.parts["kettle"], whole.household.parts["kettle"])


# -- files -----------------------------------------------------------------------------------------------------------


def written(path: Path, pieces: list[Piece]) -> Path:
    with power_file(path) as add:
        for one in pieces:
            add(one.frame())
    return path


@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_power_survives_the_way_through_csv_and_parquet(tmp_path, zone):
    home = simulate(2, seed=2, start="2024-10-26", missing=0.1, timezone=zone)  # with the hour that comes twice
    whole = piece(home)
    pieces = cuts(whole, 2880, 2881, 4000)  # one of a single period at midnight, which pandas would write as a date
    text, table = (written(tmp_path / f"power.{kind}", pieces) for kind in ("csv", "parquet"))
    frame = whole.frame()
    columns = [name for name in frame if name != "Time"]
    assert columns[:5] == ["Aggregate", "kettle", "kettle_low", "kettle_high", "kettle_on"]
    for back in (pd.read_csv(text), pd.read_parquet(table)):
        assert list(back) == list(frame)
        for name in columns:
            off = 0.0051 if name.endswith("_on") else 0.051
            np.testing.assert_allclose(back[name], frame[name], rtol=1e-6, atol=off, err_msg=name)
    assert pd.read_parquet(table)["Time"].equals(frame["Time"])
    np.testing.assert_array_equal(pd.to_datetime(pd.read_csv(text)["Time"], utc=True),
                                  pd.to_datetime(frame["Time"], utc=True))  # fmt: skip
    # what was written is a household again
    for path in (text, table):
        again = read(path, Options(timezone=zone))
        np.testing.assert_array_equal(again.mains, home.mains)
        assert again.start == home.start and len(again) == len(home)
        np.testing.assert_allclose(again.parts["dishwasher"], whole.median[1], atol=0.051)


def test_gaps_are_empty_cells_and_figures_are_short(tmp_path):
    home = house(hours=1, kettle=block(0.5, 0.6, 2345.678, 1))
    home.mains[:2] = np.nan
    lines = written(tmp_path / "p.csv", [certain(home)]).read_text().splitlines()
    assert lines[1] == "2024-03-04 00:00:00" + "," * 17
    assert lines[3] == "2024-03-04 00:01:00,150" + ",0" * 16
    assert lines[61] == "2024-03-04 00:30:00,2495.7,2345.7,2345.7,2345.7,1" + ",0" * 12
    import pyarrow.parquet as parquet

    columns = parquet.read_table(written(tmp_path / "p.parquet", [certain(home)]))
    assert columns["kettle_high"].null_count == columns["Aggregate"].null_count == 2


def test_energy_is_written_to_a_watt_hour(tmp_path):
    home = house(hours=48, kettle=block(8, 8.1, 2345.678, 48))
    home.mains[2880:] = np.nan
    write_energy(tmp_path / "energy.csv", energies(certain(home)))
    lines = (tmp_path / "energy.csv").read_text().splitlines()
    assert lines[0] == "Date,appliance,kWh,kWh_low,kWh_high,mains_kWh,known"
    assert lines[1] == "2024-03-04,kettle,0.235,0.235,0.235,3.835,1.0"
    assert lines[5] == "2024-03-05,kettle,,,,,0.0"


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_file_that_was_not_finished_is_not_there(tmp_path, name):
    path = tmp_path / name
    path.write_text("an earlier one")
    with pytest.raises(KeyboardInterrupt), power_file(path) as add:
        add(certain(house()).frame())
        raise KeyboardInterrupt
    assert path.read_text() == "an earlier one" and os.listdir(tmp_path) == [name]


def test_a_kill_in_the_middle_leaves_no_file(tmp_path):
    path = tmp_path / "p.csv"
    code = f"""if True:
        import os, signal, pandas as pd
        from pathlib import Path
        from diffx_nilm.write import power_file
        with power_file(Path({str(path)!r})) as add:
            add(pd.DataFrame({{"Time": pd.date_range("2024-01-01", periods=9), "Aggregate": 1.0}}))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert not path.exists() and [p.suffix for p in tmp_path.iterdir()] == [".csv"]  # the hidden part of it


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_is_that_of_a_piece(tmp_path, kind):
    frame = certain(house(hours=12)).frame()
    peaks = []
    for count in (2, 8):
        tracemalloc.start()
        with power_file(tmp_path / f"{count}.{kind}") as add:
            for _ in range(count):
                add(frame)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# -- what is gathered ------------------------------------------------------------------------------------------------


def test_runs_are_counted_once_wherever_pieces_are_cut():
    """A dishwasher that is cut in its run and in its pause, and two kettles."""
    power = block(10, 10.3, 2000) + block(10.5, 10.8, 2000)
    whole = certain(house(dishwasher=power, kettle=block(7, 7.05, 2500) + block(18, 18.1, 2500)))
    for at in ([], [1230], [1250], [1225, 1250, 1290], [840, 842]):
        habits = Habits(DEFAULT)
        for one in cuts(whole, *at):
            habits.add(one)
        np.testing.assert_allclose(habits.a_day, [2, 1, 0, 0]), at
    np.testing.assert_allclose(habits.hours[0, [7, 8, 18]] * 60, [3, 0, 6])  # minutes
    np.testing.assert_allclose(habits.hours[1, [10, 11]] * 60, [36, 0])


def test_hours_are_local_and_of_what_is_known():
    home = house("2024-10-27", 25, "Europe/London", microwave=block(12, 12.5, 1000, 25))  # 12 h after midnight: 11:00
    home.mains[12 * 120 : 12 * 120 + 30] = np.nan  # of its half hour a quarter is not known
    habits = Habits(DEFAULT)
    habits.add(certain(home))
    assert habits.hours[3, 11] == pytest.approx(15 / 45) and habits.hours[3, 12] == 0
    assert habits.a_day[3] == pytest.approx(1 / (24.75 / 24))


def test_the_most_telling_days_are_whole_and_in_order():
    days = [house(f"2024-03-0{d}", **parts) for d, parts in enumerate([
        {"kettle": block(7, 7.1, 2500)},
        {"dishwasher": block(7, 8, 2000)},
        {},
        {"dishwasher": block(9, 9.5, 2000), "washing_machine": block(7, 7.5, 2000)},
    ], start=1)]  # fmt: skip
    whole = one_piece([certain(day) for day in days])
    found = Days(telling, 2)
    for one in cuts(whole, 100, 2880 + 1000, 2880 * 3 + 1, 2880 * 3 + 2):
        found.add(one)
    best = found.ranked()[0]
    assert best.household.start.day == 4  # two appliances before one of the same energy
    assert [(d.household.start.day, len(d.household)) for d in found.in_order()] == [(2, 2880), (4, 2880)]
    np.testing.assert_array_equal(best.members, certain(days[3]).members)
    assert [len(d.household) for d in by_day(certain(house("2024-10-27 22:00", 6, "Europe/London")))] == [240, 480]
    empty = Days(telling, 2)
    empty.add(certain(house()))
    assert empty.ranked() == empty.in_order() == []


def test_beside_a_meter_by_hand():
    """Four members of which k are on: 1 of 4 in two hours of which it was on in one, 3 of 4 in an hour when it was."""
    home = house(kettle=block(1, 2, 2500) + block(5, 6, 2500))
    home.parts["kettle"][:60] = np.nan  # the meter fails for half an hour
    members = np.zeros((4, 4, 2880), np.float32)
    members[:1, 0] = block(1, 3, 2500)
    members[:3, 0] += block(5, 6, 2500)
    made = Metered(KETTLE, 30.0)
    for one in cuts(Piece(home, DEFAULT, members, PLAIN.bounds(members)), 200):
        made.add(one, 0)
    assert made.trial.said.tolist() == [20.5 * 120, 240, 0, 120, 0] and made.trial.was.tolist() == [0, 120, 0, 120, 0]
    np.testing.assert_allclose(made.totals, [5000, 2500 * (2 / 4 + 3 / 4)], rtol=1e-6)
    bins = made.trial.reliability()
    np.testing.assert_allclose(bins.predicted, [0, 0.25, 0.75])
    assert bins.observed == (0, 0.5, 1) and bins.count == (2460, 240, 120)
    assert made.habits.a_day[0] == pytest.approx(2 / (23.5 / 24)) and list(made.energy()) == [
        np.datetime64("2024-03-04")
    ]
    left, right = compare_charts.calibration([made.trial], [{"coverage50": 0.4, "coverage90": 0.8}]).axes
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("Reliability diagram", "Interval coverage")
    np.testing.assert_allclose(left.lines[1].get_xydata(), [[0, 0], [0.25, 0.5], [0.75, 1]])
    np.testing.assert_allclose(right.collections[0].get_offsets(), [[0.5, 0.4], [0.9, 0.8]])
    made.trial.said[2] = 9  # too few to tell
    assert len(compare_charts.calibration([made.trial], [made.figures(Energy())]).axes[0].lines[1].get_xdata()) == 3
    figures = made.figures(Energy(slack=1e6))
    assert figures["recall"] == 0.5 and figures["energy_coverage90"] == 1 and made.figures(Energy())["n_days"] == 1


# -- pictures --------------------------------------------------------------------------------------------------------


class Seen:
    """A figure as pixels, to be asked at places in the data."""

    def __init__(self, figure):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        self.pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255

    def at(self, axes, x: float, y: float) -> np.ndarray:
        column, row = axes.transData.transform((x, y))
        return self.pixels[len(self.pixels) - 1 - round(row), round(column)]

    def is_like(self, axes, x: float, y: float, colour: str) -> bool:
        return bool(np.abs(self.at(axes, x, y) - to_rgb(colour)).max() < 0.02)


def test_days_show_each_part_in_its_colour_and_what_is_doubtful_dark():
    home = house(dishwasher=block(12, 14, 2000), washing_machine=block(13, 14, 1000), kettle=block(20, 21, 2500))
    home.mains[120:360] = np.nan
    members = np.repeat(home.of([a.key for a in DEFAULT])[None], 10, axis=0)
    members[:4, 0] = 0  # the kettle may not have been on
    members[:, :, 120:360] = np.nan
    figure = pictures.days([Piece(home, DEFAULT, members, PLAIN.bounds(members))])
    (axes,) = figure.axes
    seen, tint = Seen(figure), pictures.colours(DEFAULT)
    assert seen.is_like(axes, 12.5, 1, tint["dishwasher"]) and seen.is_like(axes, 13.5, 1, tint["dishwasher"])
    assert seen.is_like(axes, 13.5, 2.7, tint["washing_machine"])  # stacked on the dishwasher
    assert seen.is_like(axes, 13.5, -2.7, tint["washing_machine"]) and seen.is_like(axes, 20.5, -1, tint["kettle"])
    assert seen.is_like(axes, 13.5, 3.08, pictures.MAINS) and seen.is_like(axes, 6, 1, "white")
    dark = 0.7 * np.array(to_rgb(tint["kettle"])) + 0.3 * np.array(to_rgb(figures.INK))
    np.testing.assert_allclose(seen.at(axes, 20.5, 1.2), dark, atol=0.02)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "household",
        "not known",
        "kettle",
        "dishwasher",
        "washing machine",
        "microwave",
        "5–95 % of their sum",
    ]


def test_hours_of_a_day_on_which_the_clock_goes_back():
    figure = pictures.days([certain(house("2024-10-27", 25, "Europe/London", kettle=block(9, 9.5, 2500, 25)))])
    (axes,) = figure.axes
    ticks = dict(zip([t.get_text() for t in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks == {"00:00": 0, "03:00": 4, "06:00": 7, "09:00": 10, "12:00": 13, "15:00": 16, "18:00": 19,
                     "21:00": 22, "24:00": 25}  # fmt: skip
    assert axes.get_title(loc="left") == "Sunday 27 October 2024" and "Europe/London" in axes.get_xlabel()


def test_a_closeup_is_of_the_busy_hours_and_shows_both_bands():
    home = house(dishwasher=block(15, 16, 2000), washing_machine=block(17, 18, 2000))
    one = certain(home)
    bounds = {level: (low * 0.5, high * (1 + level)) for level, (low, high) in one.bounds.items()}
    busy = pictures.busiest(replace(one, bounds=bounds))
    assert len(busy.household) == 720
    begin = busy.household.start.hour + busy.household.start.minute / 60
    assert 12 <= begin <= 15
    figure = pictures.closeup(busy)
    seen, axes, tint = Seen(figure), figure.axes[2], np.array(to_rgb(pictures.colours(DEFAULT)["dishwasher"]))
    at, outer = 15.5 - begin, 1 - 0.22 * (1 - tint)
    assert axes.get_title(loc="left") == "Dishwasher"
    np.testing.assert_allclose(seen.at(axes, at, 3.5), outer, atol=0.02)  # 2 kW (1 + 0.9) holds it, 2 kW 1.5 does not
    np.testing.assert_allclose(seen.at(axes, at, 2.5), 0.6 * outer + 0.4 * tint, atol=0.02)
    assert seen.is_like(axes, at, -1.5, figures.MUTED) and seen.is_like(axes, at, 0.5, "white")


def test_bars_are_the_energies_and_reach_as_far_as_their_intervals():
    table = energies(piece(simulate(4, seed=1)))
    metered = {"kettle": {np.datetime64("2024-01-16"): 700.0}}
    figure = charts.energy(table, DEFAULT, metered)
    for axes, (key, own) in zip(figure.axes, table.groupby("appliance", sort=False), strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in axes.patches], own["kWh"])
        (lines,) = [c for c in axes.collections if hasattr(c, "get_segments")]
        ends = np.array([segment[:, 1] for segment in lines.get_segments()])
        np.testing.assert_allclose(ends, own[["kWh_low", "kWh_high"]], atol=1e-12)
        dots = [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]
        if key == "kettle":
            np.testing.assert_allclose(dots[0], [np.nan, 0.7, np.nan, np.nan])
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["Mon 15", "Tue 16", "Wed 17", "Thu 18"]


@pytest.mark.parametrize("days, name, bars", [(62, "day", 62), (63, "week", 9), (64, "week", 10), (800, "month", 27)])
def test_long_times_are_shown_by_weeks_and_months(days, name, bars):
    """Two members: one uses 1 kWh on even days, the other on odd ones, so that every week is sure where no day is."""
    made = Energies((KETTLE,), Calibration.none(1))
    for day in range(days):
        members = np.zeros((2, 1, 2), np.float32)
        members[day % 2] = 1000.0
        mains = np.full(2, 3000.0 if day != 1 else np.nan, np.float32)
        home = Household("h", pd.Timestamp("2024-01-01") + pd.Timedelta(days=day), 1800.0, mains, {})  # from a Monday
        members[:, :, np.isnan(mains)] = np.nan
        made.add(Piece(home, (KETTLE,), members, {}))
    assert charts.span_of(made.table()) == name
    out = made.table(name)
    assert len(out) == bars and out["kWh"].sum() == pytest.approx(0.5 * (days - 1)) and out["Date"].iloc[0].day == 1
    wide = (out["kWh_high"] - out["kWh_low"]).iloc[1:]
    if name == "day":
        assert wide.dropna().tolist() == [1.0] * 60
    else:
        assert wide.max() <= 1.0  # seven days apart would add up to 7
    by = charts.metered_by({d.to_datetime64().astype("datetime64[D]"): 1500.0 for d in out["Date"][:1]}, name)
    assert by == {out["Date"].iloc[0]: 1.5}


def test_the_interval_of_a_total_is_of_the_samples_totals():
    """Of 30 days of independent energies, N(1000, 100) Wh: the total spreads by the root of 30, not by 30."""
    rng, made = np.random.default_rng(0), Energies((KETTLE,), Calibration.none(1))
    for day in range(30):
        members = rng.normal(2000, 200, (200, 1, 1)).astype(np.float32)
        home = Household("h", pd.Timestamp("2024-01-01") + pd.Timedelta(days=day), 1800.0, np.full(1, 9e3), {})
        made.add(Piece(home, (KETTLE,), members, {}))
    total = made.total().loc["kettle"]
    assert total["kWh"] == pytest.approx(30, rel=0.01)
    half = (total["kWh_high"] - total["kWh_low"]) / 2
    assert half == pytest.approx(1.645 * 0.1 * 30**0.5, rel=0.15)
    days = made.table()
    assert (days["kWh_high"] - days["kWh_low"]).sum() / 2 > 5 * half  # what adding the ends up gives
    wider = replace(made.calibration, energies=(Energy(gain=0.1, slack=100.0),))
    made.calibration = wider
    low, high = made.total()[["kWh_low", "kWh_high"]].iloc[0]
    assert low == pytest.approx(total["kWh_low"] / 1.1 - 0.1 * 30**0.5)  # the gain of all, the slack by its root
    assert high == pytest.approx(total["kWh_high"] * 1.1 + 0.1 * 30**0.5)


def test_habits_are_minutes_an_hour():
    hours = np.zeros((4, 24))
    hours[2, 9] = 0.25
    figure = charts.habits(hours, DEFAULT, {"kettle": np.full(24, 0.1)})
    heights = [bar.get_height() for bar in figure.axes[2].patches]
    assert heights[9] == 15 and sum(heights) == 15
    np.testing.assert_allclose(figure.axes[0].patches[-1].get_data().values, 6)


def test_colours_are_always_the_same_and_never_alike():
    more = tuple(replace(KETTLE, name=name, key=name) for name in "abcdef")
    tint = pictures.colours((*more, *DEFAULT))
    assert len(set(tint.values())) == 10
    assert pictures.colours((DISHWASHER,))["dishwasher"] == tint["dishwasher"]


# -- tasks -----------------------------------------------------------------------------------------------------------


def diffx(*words: str, out: Path) -> int:
    from diffx.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffx_nilm.tasks.disaggregate.Disaggregator", Fake)
        return main(["run", "plugin=nilm", "device=cpu", f"out={out}", *words])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulate") / "run"
    assert diffx("task=simulate", "seed=3", "simulate.days=9", "simulate.missing=0.05", out=out) == 0
    return out


@pytest.fixture(scope="module")
def told(made, tmp_path_factory) -> Path:
    """Nine days, so two pieces, of the file that was simulated."""
    out = tmp_path_factory.mktemp("disaggregate") / "run"
    assert diffx(f"data.file={made / 'samples/household.csv'}", "n=8", "data.timezone=Europe/London", out=out) == 0
    return out


def test_a_simulated_household_is_written_as_it_is(made):
    home, again = simulate(9, seed=3, missing=0.05), read(made / "samples/household.csv")
    np.testing.assert_array_equal(again.mains, home.mains)
    for key, part in home.parts.items():
        np.testing.assert_allclose(again.parts[key], part, atol=0.051)
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["energy_kwh"]["kettle"] == pytest.approx(home.parts["kettle"].sum() / 120_000, abs=1e-3)
    page = (made / "report.html").read_text()
    assert page.count("data:image/") == 1 and "data.file=" in page


def test_files_and_figures_of_a_disaggregated_file(told):
    power = pd.read_csv(told / "samples/power.csv")
    energy = pd.read_csv(told / "samples/energy.csv")
    metrics = json.loads((told / "metrics.json").read_text())
    assert len(power) == 9 * 2880 and power["Time"].iloc[0] == "2024-01-15 00:00:00+00:00"
    home = replace(simulate(9, seed=3, missing=0.05, timezone="Europe/London"), name="household.csv")
    expected = joined(Fake().pieces(Fake().open(home), n=8), PLAIN, {}, {})
    np.testing.assert_allclose(power["kettle"], expected.power["kettle"], atol=0.16)  # from parts to a tenth
    np.testing.assert_allclose(energy["kWh_high"], expected.energy["kWh_high"], atol=2e-3)
    assert energy["Date"].nunique() == 9 and energy["known"].mean() == pytest.approx(0.95, abs=0.01)
    total = metrics["energy_kwh"]["dishwasher"]
    own = energy[energy["appliance"] == "dishwasher"]
    assert total["value"] == pytest.approx(own["kWh"].sum(), abs=5e-3)
    low, high = total["interval90"]
    assert own["kWh_low"].sum() - 1e-3 <= low < total["value"] < high <= own["kWh_high"].sum() + 1e-3
    np.testing.assert_allclose(
        expected.total.loc["dishwasher", ["kWh_low", "kWh_high"]].astype(float), [low, high], atol=1e-2
    )
    assert set(metrics["beside_meters"]["kettle"]) == {"mae", "f1", "coverage90"}
    assert metrics["runs_a_day"]["kettle"] > 3 and metrics["seconds_per_day"] > 0
    assert not [name for name in os.listdir(told / "samples") if name.startswith(".")]


def test_the_page_tells_a_customer_what_was_found(told):
    page = (told / "report.html").read_text()
    sections = [
        "Energy by appliance",
        "Energy by day",
        "The most telling days",
        "A closer look at",
        "When they are used",
    ]
    for section in (*sections, "Reliability and interval coverage", "Beside the meters", "How the data was read"):
        assert f"<h2>{section}" in page, section
    assert page.count("data:image/") == 5
    assert "everything else" in page and "washing machine" in page and "is taken for the mains" in page
    flags = json.loads((told / "status.json").read_text())["flags"]
    assert not any("simulated" in text for text in flags) and "A simulated household" not in page


def test_without_a_file_a_household_is_simulated_and_the_report_says_so(tmp_path):
    assert diffx("simulate.days=0.4", "n=4", "format=parquet", out=tmp_path / "run") == 0
    status = json.loads((tmp_path / "run/status.json").read_text())
    assert any("this household is simulated" in text for text in status["flags"])
    assert any("9.6 hours are little" in text for text in status["flags"])
    assert "A simulated household" in (tmp_path / "run/report.html").read_text()
    assert len(pd.read_parquet(tmp_path / "run/samples/power.parquet")) == 1152


def test_what_is_wrong_is_one_line_and_leaves_no_file(tmp_path, capsys):
    assert diffx("usage=1,2", out=tmp_path / "a") == 2
    assert "2 given, and these weights know 4: kettle, dishwasher" in capsys.readouterr().err
    assert diffx(f"data.file={tmp_path}/none.csv", out=tmp_path / "b") == 5
    assert "none.csv: no such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/samples/*"))


def test_flags_speak_of_what_is_suspicious():
    def flags(home: Household, doubt: str = "") -> str:
        digest, said = Digest(DEFAULT, PLAIN), []
        digest.add(certain(home))
        flag(SimpleNamespace(cfg=SimpleNamespace(data=SimpleNamespace(file="x.csv")), flag=said.append), digest, doubt)
        return "; ".join(said)

    good = house(kettle=block(8, 8.1, 2500))
    assert flags(good) == "" and flags(good, "not calibrated") == "not calibrated"
    assert "apparent power" in flags(replace(good, power="apparent"))
    gaps = replace(good, mains=np.where(np.arange(2880) < 1800, np.nan, good.mains))
    assert "not known 62 % of the time" in flags(gaps)
    less = house(dishwasher=block(8, 12, 2000))
    assert "exceeds the household's 17 % of the time" in flags(replace(less, mains=less.mains / 2))


def test_calibrated_is_said_only_of_what_was_calibrated():
    usual = {"sampler": "ab2", "steps": 12, "batch": 32}
    meta = {"calibration": [1]}
    assert (
        uncalibrated(meta, 32, usual, usual) == "" == uncalibrated(meta, 16, {**usual, "steps": 24, "batch": 1}, usual)
    )
    assert "not been calibrated" in uncalibrated({}, 32, usual, usual)
    said = uncalibrated(meta, 2, {**usual, "steps": 2}, usual)
    assert "not calibrated for n=2, sample.steps=2" in said and "n of at least 16" in said and "12 steps" in said
    assert "sample.sampler=euler" in uncalibrated(meta, 32, {**usual, "sampler": "euler"}, usual)
    own = {**meta, "calibrated_with": {"n": 20, "steps": 6}}
    assert (
        uncalibrated(own, 20, {**usual, "steps": 6}, usual) == "" != uncalibrated(own, 20, {**usual, "steps": 5}, usual)
    )


def test_the_page_of_few_samples_does_not_call_them_calibrated(made, tmp_path):
    assert diffx(f"data.file={made / 'samples/household.csv'}", "n=2", "sample.steps=2", out=tmp_path / "run") == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "intervals are calibrated" not in page and "not been calibrated" in page
