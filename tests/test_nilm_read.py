"""Reading households: what a file says comes out in watts on an even grid; what it does not say is asked in a line."""

from __future__ import annotations

import itertools
import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.errors import DataError, UsageError
from diffx_nilm.appliances import KNOWN, WASHING_MACHINE
from diffx_nilm.household import Household
from diffx_nilm.read import Options, read, stream
from diffx_nilm.read.plain import plain_values
from diffx_nilm.read.refit import SENSORS

DATA = Path(os.environ.get("DIFFX_DATA", Path(__file__).parents[1].parent / "shared" / "data")) / "nilm"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data at {DATA}; DIFFX_DATA says where")


def load(seed: int = 0, n: int = 4000) -> np.ndarray:
    """Some power of a household, W, to a tenth."""
    rng = np.random.default_rng(seed)
    return np.round(150 + 60 * np.sin(np.arange(n) / 40) + np.where(rng.random(n) < 0.03, 2500, 0), 1)


def times(n: int = 4000, seconds: float = 30, start: str = "2014-03-03 00:00:00") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n, freq=pd.Timedelta(seconds=seconds))


def csv(path: Path, columns: dict, **options) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False, **options)
    return path


def one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


def same(house: Household, power: np.ndarray) -> None:
    np.testing.assert_array_equal(house.mains, power.astype(np.float32))


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.xz"])
def test_separators_and_compression_are_found(tmp_path, sep, suffix):
    file = csv(tmp_path / f"house{suffix}", {"timestamp": times(), "power": load()}, sep=sep)
    house = read(file)
    same(house, load())
    assert house.start == pd.Timestamp("2014-03-03") and house.start.tzinfo is None and house.period == 30


def test_decimal_commas_a_missing_header_and_a_byte_order_mark(tmp_path):
    lines = [f"{t};{str(p).replace('.', ',')}" for t, p in zip(times(50), load(n=50))]
    (tmp_path / "a.csv").write_text("\ufeffZeit Time;Leistung W\n" + "\n".join(lines), encoding="utf-8")
    (tmp_path / "b.csv").write_text("\n".join(lines))
    for name in "ab":
        same(read(tmp_path / f"{name}.csv"), load(n=50))


def test_what_is_guessed_is_said_and_kept(tmp_path):
    said: list[str] = []
    frame = {"Time": times(), "Voltage": 230.0, "Aggregate": load(), "Kettle": 1.0, "Kettle_status": 0, "washer 2": 3.0}
    house = read(csv(tmp_path / "h.csv", frame), say=said.append)
    assert set(house.parts) == {"kettle", "washing_machine"}
    assert any("'Aggregate'" in line for line in said) and any("'washer 2'" in line for line in said)
    assert tuple(said) == house.notes


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["use [kW]", "gen [kW]", "kitchen"], "use [kW]"),
        (["Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity"], "Global_active_power"),
        (["apparent power", "active power"], "active power"),
        (["whatever"], "whatever"),
        (["mainsPower (W)", "kettlePower"], "mainsPower (W)"),
    ],
)
def test_the_mains_column_is_found_by_name(names, chosen):
    big = "kW" in chosen
    frame = pd.DataFrame({name: load() / (1000 if big else 1) * (name == chosen) for name in names}, times())
    np.testing.assert_allclose(read(frame).mains, load(), rtol=1e-6)


def test_columns_that_cannot_be_told_apart_are_asked_for(tmp_path):
    frame = {"time": times(), "phase one": load(), "phase two": load(1)}
    file = csv(tmp_path / "h.csv", frame)
    with pytest.raises(DataError) as error:
        read(file)
    one_line(error, "h.csv", "'phase one'", "'phase two'", "data.mains=")
    same(read(file, Options(mains="phase two")), load(1))
    with pytest.raises(DataError) as error:
        read(file, Options(mains="phase tow"))
    one_line(error, "did you mean 'phase two'")


def test_energy_is_not_power(tmp_path):
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(), "consumption (kWh)": load()}))
    one_line(error, "h.csv", "energy, not power")
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(), "mains": np.cumsum(load()) / 1e6 + 8000}))
    one_line(error, "h.csv", "meter reading")


def test_parquet_and_dataframes(tmp_path):
    frame = pd.DataFrame({"time": times(), "mains": load()})
    same(read(frame), load())
    same(read(frame.set_index("time")), load())
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "h.parquet")
    same(read(tmp_path / "h.parquet"), load())
    same(joined(stream(tmp_path / "h.parquet", rows=700)), load())
    (tmp_path / "h.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError) as error:
        read(tmp_path / "h.parquet")
    one_line(error, "h.parquet")


def joined(houses) -> Household:
    houses = list(houses)
    for before, after in itertools.pairwise(houses):
        assert before.index[-1] + pd.Timedelta(seconds=before.period) == after.start
    mains = np.concatenate([house.mains for house in houses])
    parts = {key: np.concatenate([house.parts[key] for house in houses]) for key in houses[0].parts}
    return Household("joined", houses[0].start, houses[0].period, mains, parts)


# -- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.strftime("%d/%m/%Y %H:%M:%S"),
        lambda t: t.strftime("%m/%d/%Y %I:%M:%S %p"),
        lambda t: t.strftime("%Y/%m/%d %H:%M:%S"),
        lambda t: t.strftime("%d.%m.%y %H:%M:%S"),
        lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        lambda t: t.tz_localize("UTC").as_unit("ns").astype("int64") // 10**9,
        lambda t: t.tz_localize("UTC").as_unit("ns").astype("int64") // 10**6,
        lambda t: t.tz_localize("UTC").as_unit("ns").astype("int64"),
        lambda t: (t + pd.Timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02:00"),
        lambda t: (t - pd.Timedelta(hours=5)).strftime("%Y-%m-%d %H:%M:%S-05"),
        lambda t: t.strftime("%Y-%m-%d %H:%M:%S UTC"),
    ],
)
def test_times_of_any_spelling(tmp_path, write):
    n = 3 * 2880
    house = read(csv(tmp_path / "h.csv", {"time": write(times(n)), "mains": load(n=n)}))
    same(house, load(n=n))
    assert house.start.tz_localize(None) == pd.Timestamp("2014-03-03")


def test_the_day_or_the_month_first_is_asked_where_it_cannot_be_told(tmp_path):
    when = times(200, start="2014-03-04").strftime("%d/%m/%Y %H:%M")
    file = csv(tmp_path / "h.csv", {"time": when, "mains": load(n=200)})
    with pytest.raises(DataError) as error:
        read(file)
    one_line(error, "h.csv", "data.day_first=")
    assert read(file, Options(day_first=True)).start == pd.Timestamp("2014-03-04")
    assert read(file, Options(day_first=False)).start == pd.Timestamp("2014-04-03")


def test_date_and_time_of_day_in_two_columns(tmp_path):
    when = times(3000, 60, "2006-12-16 17:24:00")
    columns = {"Date": when.strftime("%d/%m/%Y"), "Time": when.strftime("%H:%M:%S"),
               "Global_active_power": load(n=3000) / 1000, "Sub_metering_1": 0.0}  # fmt: skip
    columns["Global_active_power"] = columns["Global_active_power"].astype(object)
    columns["Global_active_power"][7] = "?"
    house = read(csv(tmp_path / "uci.txt", columns, sep=";"), Options(period=60))
    assert house.start == when[0] and np.isnan(house.mains[7]) and house.power == "active"
    expected = np.delete(load(n=3000), 7)
    np.testing.assert_allclose(np.delete(house.mains, 7), expected, rtol=1e-6)


def test_time_zones_are_kept_or_given():
    zoned = times().tz_localize("Europe/Berlin")
    house = read(pd.DataFrame({"mains": load()}, zoned))
    assert str(house.start.tz) == "Europe/Berlin" and house.start == zoned[0]
    house = read(pd.DataFrame({"mains": load()}, times()), Options(timezone="America/Denver"))
    assert house.start == pd.Timestamp("2014-03-03", tz="America/Denver")
    with pytest.raises(UsageError):
        Options(timezone="Europe/Londinium")


# -- the grid --------------------------------------------------------------------------------------------------------


def test_a_period_is_the_time_weighted_mean():
    """100 W for 10 s, 400 W for 5 s, 40 W for 15 s, then 7 W: (1000 + 2000 + 600) / 30."""
    when = pd.Timestamp("2014-03-03") + pd.to_timedelta([0, 10, 15, 30, 60], unit="s")
    house = read(pd.DataFrame({"mains": [100.0, 400, 40, 7, 7]}, when))
    np.testing.assert_allclose(house.mains[:2], [120, 7])


def test_periods_of_any_length_against_a_value_for_every_second():
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.integers(4, 11, 20_000))
    power = rng.gamma(2, 200, 20_000).round()
    frame = pd.DataFrame({"mains": power}, pd.Timestamp("2014-03-03") + pd.to_timedelta(seconds, unit="s"))
    each = np.full(seconds[-1] // 900 * 900, np.nan)  # from midnight on
    each[seconds[0] :] = np.repeat(power[:-1], np.diff(seconds))[: len(each) - seconds[0]]
    for period in (10, 30, 60, 900):
        house = read(frame, Options(period=period))
        assert house.start == frame.index[0].round(f"{period}s")
        expected = np.nanmean(each.reshape(-1, period), axis=1)[
            (house.start - pd.Timestamp("2014-03-03")).seconds // period :
        ]
        np.testing.assert_allclose(house.mains[: len(expected)], expected, rtol=1e-6)


def test_rows_once_a_period_keep_their_own_times():
    """At 7 s past the half minute, a grid of whole half minutes would mix each value with the next."""
    house = read(pd.DataFrame({"mains": load()}, times(start="2014-03-03 00:00:07")))
    same(house, load())
    assert house.start == pd.Timestamp("2014-03-03 00:00:07")


def test_a_gap_is_not_known_and_a_short_pause_is_bridged():
    when = times(1000)
    frame = pd.DataFrame({"mains": load(n=1000)}, when).drop(when[100:160]).drop(when[500:502])
    mains = read(frame).mains
    assert (
        len(mains) == 1000 and np.isnan(mains[100:160]).all() and np.isfinite(np.delete(mains, range(100, 160))).all()
    )
    assert (mains[500:502] == mains[499]).all()
    assert np.isnan(read(frame, Options(gap=40)).mains[500:502]).all()
    frame.iloc[300:303] = np.nan  # said to be unknown, however short
    assert np.isnan(read(frame).mains).sum() == 63


def test_streaming_gives_what_reading_gives_whatever_the_pieces(tmp_path):
    rng = np.random.default_rng(1)
    seconds = np.cumsum(rng.choice([6, 7, 8, 3000], 30_000, p=[0.3, 0.4, 0.295, 0.005]))
    when = pd.Timestamp("2014-03-03") + pd.to_timedelta(seconds, unit="s")
    kettle = np.where(rng.random(30_000) < 0.02, 2800.0, 0)
    file = csv(tmp_path / "h.csv", {"time": when, "mains": 200 + kettle, "kettle": kettle})
    whole = read(file)
    for rows, days in ((997, 0.3), (10_000, 3)):
        parts = list(stream(file, rows=rows, days=days))
        assert all(part.days == pytest.approx(days) for part in parts[:-1])
        np.testing.assert_allclose(joined(parts).mains, whole.mains, rtol=1e-6)
        np.testing.assert_allclose(joined(parts).parts["kettle"], whole.parts["kettle"], rtol=1e-6, atol=1e-3)


def test_streaming_takes_the_memory_of_a_piece(tmp_path):
    n = 200_000
    file = csv(tmp_path / "h.csv", {"time": times(n, 1).as_unit("s").astype("int64"), "mains": load(n=n)})
    peak = {}
    for rows in (5_000, n):
        tracemalloc.start()
        for _ in stream(file, rows=rows, days=0.05):
            pass
        peak[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak[5_000] < 0.25 * peak[n]


# -- bad input: each is mended and said, or refused in one line ------------------------------------------------------


def test_wrong_separator(tmp_path):
    file = csv(tmp_path / "h.csv", {"time": times(50), "mains": load(n=50)}, sep="~")
    with pytest.raises(DataError) as error:
        read(file)
    one_line(error, "h.csv", "data.separator=")
    same(read(file, Options(separator="~")), load(n=50))
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(50), "mains": load(n=50)}), Options(separator=";"))
    one_line(error, "h.csv", "';'")


def test_no_timestamp(tmp_path):
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"mains": load(), "kettle": 0.0}))
    one_line(error, "h.csv", "no column of times", "'mains'", "data.time=")
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": ["soon"] * 100, "mains": load(n=100)}))
    one_line(error, "h.csv", "'soon'")


def test_duplicates_are_averaged(tmp_path):
    frame = pd.DataFrame({"time": times(), "mains": load()})
    same(read(pd.concat([frame, frame.iloc[100:200]])), load())
    twice = frame.assign(mains=frame.mains + 10)
    said: list[str] = []
    house = read(pd.concat([frame, twice]).sort_values("time"), say=said.append)
    np.testing.assert_allclose(house.mains, load() + 5, rtol=1e-6)
    assert any("same time" in line for line in said)


def test_unsorted_rows_are_sorted(tmp_path):
    said: list[str] = []
    frame = pd.DataFrame({"time": times(), "mains": load()}).sample(frac=1, random_state=0)
    file = csv(tmp_path / "h.csv", dict(frame))
    same(read(file, say=said.append), load())
    assert any("not in the order of time" in line for line in said) and not any("clock" in line for line in said)
    with pytest.raises(DataError) as error:
        list(stream(file, rows=500))
    one_line(error, "h.csv", "sort the rows")


def test_negative_mains(tmp_path):
    few, many = load(), load()
    few[50:53] *= -1
    many[::5] *= -1
    house = read(csv(tmp_path / "h.csv", {"time": times(), "mains": few}))
    assert np.isnan(house.mains[50:53]).all() and np.isfinite(house.mains).sum() == len(few) - 3
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(), "mains": many}))
    one_line(error, "h.csv", "negative in 20%", "solar")


def test_all_nan(tmp_path):
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(), "mains": np.nan}))
    one_line(error, "h.csv", "never known")


def test_one_hertz(tmp_path):
    power = load(n=9000)
    house = read(csv(tmp_path / "h.csv", {"time": times(9000, 1), "mains": power}))
    np.testing.assert_allclose(house.mains, power.reshape(-1, 30).mean(1), rtol=1e-6)


def test_quarter_hours_are_too_coarse(tmp_path):
    file = csv(tmp_path / "h.csv", {"time": times(500, 900), "mains": load(n=500)})
    with pytest.raises(DataError) as error:
        read(file)
    one_line(error, "h.csv", "every 15 minutes", "60 s")
    house = read(file, Options(coarsest=900))
    np.testing.assert_allclose(house.mains, np.repeat(load(n=500), 30), rtol=1e-6)


def test_kilowatts(tmp_path):
    said: list[str] = []
    kilo = {"time": times(), "power": load() / 1000, "kettle": load() / 2000}
    house = read(csv(tmp_path / "h.csv", kilo), say=said.append)
    np.testing.assert_allclose(house.mains, load(), rtol=1e-6)
    np.testing.assert_allclose(house.parts["kettle"], load() / 2, rtol=1e-6)
    assert any("taken for kW" in line for line in said)
    np.testing.assert_allclose(read(tmp_path / "h.csv", Options(unit="W")).mains, load() / 1000, rtol=1e-6)
    for columns, word in (
        ({"power (W)": load() / 1000}, "data.unit=kW"),
        ({"power (kW)": load()}, "are these W"),
        ({"power": load() / 1e4}, "data.unit="),
        ({"power": load() * 1000}, "more than any household"),
    ):
        with pytest.raises(DataError) as error:
            read(csv(tmp_path / "h.csv", {"time": times(), **columns}))
        one_line(error, "h.csv", word)


LONDON = "Europe/London"


def clock_change(end_of_summer: bool) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Two days around a change, in London's time, every 10 s; 100 W before it and 700 W from it on."""
    day = "2014-10-25" if end_of_summer else "2014-03-29"
    utc = times(2 * 8640, 10, day).tz_localize("UTC")
    return utc.tz_convert(LONDON), np.where(utc < pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=25), 100.0, 700.0)


def test_the_end_of_summer_time_in_naive_times(tmp_path):
    when, power = clock_change(True)
    file = csv(tmp_path / "h.csv", {"time": when.tz_localize(None), "mains": power})
    said: list[str] = []
    house = read(file, say=said.append)
    assert house.start.tzinfo is None and np.isfinite(house.mains).all()
    assert any("goes back 60 minutes on 2014-10-26" in line for line in said)
    assert set(house.mains) == {100, 400, 700} and (house.mains == 400).sum() == 120  # the hour that there is twice
    exact = read(file, Options(timezone=LONDON))
    assert exact.start == when[0] and len(exact) == 5760
    np.testing.assert_array_equal(exact.mains, power[::3].astype(np.float32))
    for rows in (333, 9000):  # one that ends where the clock is turned
        parts = joined(stream(file, Options(timezone=LONDON), rows=rows))
        np.testing.assert_array_equal(parts.mains, exact.mains)
        np.testing.assert_array_equal(joined(stream(file, rows=rows)).mains, house.mains)


def test_the_begin_of_summer_time_in_naive_times(tmp_path):
    when, power = clock_change(False)
    file = csv(tmp_path / "h.csv", {"time": when.tz_localize(None), "mains": power})
    hole = np.isnan(read(file).mains)
    assert hole.sum() == 120  # an hour that there never was is not known
    exact = read(file, Options(timezone=LONDON))
    np.testing.assert_array_equal(exact.mains, power[::3].astype(np.float32))
    assert exact.index[-1].hour == 0 and exact.dates()[-1] == 2
    utc = csv(tmp_path / "h.csv", {"time": when.tz_convert("UTC").tz_localize(None), "mains": power})
    with pytest.raises(DataError) as error:
        read(utc, Options(timezone=LONDON))
    one_line(error, "h.csv", "Europe/London skips", "data.timezone=UTC")


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("time,mains\n")
    (tmp_path / "sheet.csv").write_bytes(b"PK\3\4 a spreadsheet")
    (tmp_path / "one.csv").write_text("time,mains\n2014-03-03 00:00:00,100\n")
    (tmp_path / "bad.h5").write_bytes(b"no hdf5")
    for name, word in (
        ("empty.csv", "empty"), ("head.csv", "no rows"), ("sheet.csv", "not a text file"), ("one.csv", "single row"),
        ("none.csv", "no such file"), ("bad.h5", "HDF5"), (".", "labels.dat"),
    ):  # fmt: skip
        with pytest.raises(DataError) as error:
            read(tmp_path / name)
        one_line(error, name if name != "." else str(tmp_path), word)


def test_text_among_numbers(tmp_path):
    power = load().astype(object)
    power[10] = "error"
    house = read(csv(tmp_path / "h.csv", {"time": times(), "mains": power}))
    assert np.isnan(house.mains[10]) and np.isfinite(house.mains).sum() == len(power) - 1
    power[:200] = "error"
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": times(), "mains": power}))
    one_line(error, "h.csv", "'error'")


def test_a_wrong_clock(tmp_path):
    when = times(100).insert(0, pd.Timestamp("1999-01-01"))
    with pytest.raises(DataError) as error:
        read(csv(tmp_path / "h.csv", {"time": when, "mains": load(n=101)}))
    one_line(error, "h.csv", "1999-01-01", "wrong clock")


# -- formats of the field --------------------------------------------------------------------------------------------


def refit(folder: Path, name: str = "CLEAN_House2.csv") -> tuple[Path, np.ndarray]:
    """A REFIT file of house 2 by its documentation: rows every 6 to 8 s, kettle on sensor 8, an issue at the end."""
    rng = np.random.default_rng(3)
    unix = 1_379_455_680 + np.cumsum(rng.integers(6, 9, 3000))
    columns = {"Time": pd.to_datetime(unix, unit="s"), "Unix": unix, "Aggregate": 300}
    columns |= {f"Appliance{i}": i for i in range(1, 10)} | {"Issues": (np.arange(3000) > 2500).astype(int)}
    return csv(folder / name, columns), unix


def test_refit(tmp_path):
    file, unix = refit(tmp_path)
    house = read(file)
    assert house.power == "active" and str(house.start.tz) == LONDON
    first = -(-(unix[0] - 15) // 30)  # the first period of which half is covered
    assert house.start.timestamp() == first * 30 and len(house) == (unix[-1] + 7 + 15) // 30 - first
    assert {key: float(part[50]) for key, part in house.parts.items()} == {
        "washing_machine": 2, "dishwasher": 3, "microwave": 5, "kettle": 8,
    }  # fmt: skip
    assert np.isnan(house.parts["kettle"][-60:]).all() and (house.mains == 300).all()
    assert read(refit(tmp_path, "CLEAN_House4.csv")[0]).parts["washing_machine"][50] == 9  # sensors 4 and 5
    assert not read(refit(tmp_path, "mine.csv")[0]).parts


def test_the_sensors_of_refit_once_more():
    """Sensors 1 to 9 of each house: Washing machine, Dishwasher, Microwave, Kettle."""
    table = {
        1: "....WD...", 2: ".WD.M..K.", 3: "....DW.MK", 4: "...WW..MK", 5: "..WD..MK.", 6: ".WD..MK..", 7: "....WD..K",
        8: "...W...MK", 9: "..WD.MK..", 10: "....WD.M.", 11: "..WD.MK..", 12: "..MK.....", 13: "..WD...MK",
        15: "..WD..MK.", 16: "....WD...", 17: "...W..MK.", 18: "....WD..M", 19: ".W.MK....", 20: "...WD..MK",
        21: "..WD..K..",
    }  # fmt: skip
    letters = {"W": "washing_machine", "D": "dishwasher", "M": "microwave", "K": "kettle"}
    for house, sensors in table.items():
        found = {letters[s]: tuple(i + 1 for i in range(9) if sensors[i] == s) for s in sensors if s != "."}
        assert SENSORS[house] == found, house
    assert len(SENSORS) == len(table)


def channels(folder: Path, labels: dict[int, str], steps: dict[int, int], power: dict[int, float]) -> Path:
    folder.mkdir()
    (folder / "labels.dat").write_text("".join(f"{n} {label}\n" for n, label in labels.items()))
    for n in labels:
        unix = np.arange(1_303_132_929, 1_303_132_929 + 7200, steps[n])
        np.savetxt(folder / f"channel_{n}.dat", np.stack([unix, np.full(len(unix), power[n])], 1), ["%d", "%.2f"])
    return folder


def test_redd_adds_its_two_mains(tmp_path):
    labels = {1: "mains", 2: "mains", 3: "oven", 4: "dishwaser", 5: "washer_dryer", 6: "washer_dryer"}
    steps, power = {1: 1, 2: 1, 3: 3, 4: 3, 5: 3, 6: 4}, {1: 340.5, 2: 120.25, 3: 0, 4: 20, 5: 30, 6: 44}
    folder = channels(tmp_path / "house_1", labels, steps, power)
    assert set(read(folder).parts) == {"dishwasher"}  # what also dries is no washing machine, unless it is described
    dryer = replace(WASHING_MACHINE, name="washer dryer", key="washer_dryer", aliases=())
    described = Options(appliances=(*KNOWN, dryer))
    house = read(folder, described)
    assert house.power == "apparent" and set(house.parts) == {"dishwasher", "washer_dryer"}
    inside = slice(2, -2)
    assert (house.mains[inside] == 460.75).all() and (house.parts["washer_dryer"][inside] == 74).all()
    assert (house.parts["dishwasher"][inside] == 20).all()
    streamed = joined(stream(folder, described, rows=500, days=0.02))
    np.testing.assert_allclose(streamed.mains, house.mains)
    np.testing.assert_allclose(streamed.parts["washer_dryer"], house.parts["washer_dryer"])
    (folder / "channel_5.dat").unlink()
    with pytest.raises(DataError) as error:
        read(folder, described)
    one_line(error, "channel_5.dat")


def test_uk_dale_has_apparent_power_and_active_where_mains_dat_is(tmp_path):
    labels, steps, power = {1: "aggregate", 2: "kettle"}, {1: 6, 2: 6}, {1: 599, 2: 1}
    folder = channels(tmp_path / "house_2", labels, steps, power)
    assert read(folder).power == "apparent" and (read(folder).mains[2:-2] == 599).all()
    with pytest.raises(DataError) as error:
        read(folder, Options(power="active"))
    one_line(error, "house_2", "apparent power", "mains.dat")
    unix = np.arange(1_303_132_929, 1_303_132_929 + 7200)
    np.savetxt(folder / "mains.dat", np.stack([unix, unix * 0 + 550, unix * 0 + 599, unix * 0 + 240], 1), "%.2f")
    house = read(folder, Options(power="active"))
    assert house.power == "active" and (house.mains[2:-2] == 550).all() and (house.parts["kettle"][2:-2] == 1).all()


def test_a_meter_that_ends_early_is_not_known_afterwards(tmp_path):
    labels, steps, power = {1: "aggregate", 2: "kettle"}, {1: 6, 2: 6}, {1: 599, 2: 1}
    folder = channels(tmp_path / "house_2", labels, steps, power)
    lines = (folder / "channel_2.dat").read_text().splitlines(keepends=True)
    (folder / "channel_2.dat").write_text("".join(lines[400:600]))
    house = read(folder)
    assert np.isfinite(house.mains).all() and len(house) == 240
    assert np.flatnonzero(np.isfinite(house.parts["kettle"])).tolist() == list(range(80, 120))


@pytest.fixture
def nilmtk(tmp_path) -> Path:
    """A file as NILMTK writes it: Blosc, tables, a zone in the index, metadata of meters and appliances."""
    pytest.importorskip("tables")
    pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    path, n = tmp_path / "data.h5", 1200
    when = pd.date_range("2013-07-01", periods=n, freq="6s", tz=LONDON).as_unit("ns")

    def meter(*kinds: tuple[str, str]) -> pd.DataFrame:
        columns = pd.MultiIndex.from_tuples(kinds, names=["physical_quantity", "type"])
        data = np.tile(np.arange(len(kinds), dtype=np.float32) * 100 + 200, (n, 1))
        return pd.DataFrame(data, when, columns)

    with pd.HDFStore(path, "w", complevel=9, complib="blosc") as store:
        store.put(
            "/building1/elec/meter1",
            meter(("voltage", ""), ("power", "apparent"), ("power", "active")),
            "table",
            track_times=False,
        )
        store.put("/building1/elec/meter2", meter(("power", "active")), "table", track_times=False)
        store.put("/building2/elec/meter1", meter(("power", "apparent")), "table", track_times=False)
        store.root.building1._v_attrs.metadata = {
            "instance": 1,
            "elec_meters": {1: {"site_meter": True}, 2: {"submeter_of": 1}},
            "appliances": [{"type": "kettle", "instance": 1, "meters": [2]}, {"type": "fridge", "meters": [3]}],
        }
        store.root._v_attrs.metadata = {"timezone": "Europe/Paris", "date": pd.Timestamp("2013-01-01").date()}
    return path


def test_nilmtk_files(nilmtk):
    house = read(nilmtk)
    assert house.power == "active" and (house.mains == 400).all() and (house.parts["kettle"] == 200).all()
    assert house.start == pd.Timestamp("2013-07-01", tz=LONDON) and str(house.start.tz) == "Europe/Paris"
    assert (read(nilmtk, Options(power="apparent")).mains == 300).all()
    np.testing.assert_array_equal(joined(stream(nilmtk, rows=100, days=0.01)).mains, house.mains)
    other = read(nilmtk, Options(building=2))
    assert other.power == "apparent" and (other.mains == 200).all() and not other.parts
    for options, word in ((Options(building=2, power="active"), "no active power"), (Options(building=7), "building1")):
        with pytest.raises(DataError) as error:
            read(nilmtk, options)
        one_line(error, "data.h5", word)


class Trap:
    """Its pickle calls something; reading plain values must not."""

    def __reduce__(self):
        return os.mkdir, (Trap.folder,)

    folder = ""


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_without_unpickling(tmp_path, protocol):
    plain = {"a": [1, 2.5, True, None, "ü"], "b": {3: ("x", "y", "z", -(2**70))}, "c": (), "d": ["x", "y"]}
    assert plain_values(pickle.dumps(plain, protocol)) == plain
    Trap.folder = str(tmp_path / "sprung")
    assert plain_values(pickle.dumps({"type": "kettle", "evil": [Trap()]}, protocol)) == {
        "type": "kettle",
        "evil": [None],
    }
    assert not Path(Trap.folder).exists() and plain_values(b"nothing") is None and plain_values(b"") is None


# -- real files ------------------------------------------------------------------------------------------------------


@real
def test_the_shared_houses_come_out_as_they_are():
    file = DATA / "refit_house20_30s.csv.gz"
    frame = pd.read_csv(file, nrows=200_000)
    house = next(stream(file, rows=205_000, days=200_000 / 2880))
    np.testing.assert_array_equal(house.mains, frame.Aggregate.to_numpy(np.float32))
    np.testing.assert_array_equal(house.parts["washing_machine"], frame.WashingMachine.to_numpy(np.float32))
    assert house.start == pd.Timestamp(frame.Time[0]) and len(house.parts) == 4 and house.period == 30
