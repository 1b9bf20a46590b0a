"""The days on which clocks are changed, in several zones and orders of rows."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx_nilm.read import Options, read, stream

FOLDS = {"Europe/Berlin": "2024-10-27", "America/New_York": "2024-11-03", "Australia/Lord_Howe": "2024-04-07",
         "America/Havana": "2024-11-03", "Atlantic/Azores": "2024-10-27", "America/Sao_Paulo": "2018-02-18",
         "Europe/Dublin": "2024-10-27"}  # fmt: skip


def turned(zone: str, every: int = 30) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """26 hours around the end of summer time: 1000 W in the first of the two hours, 3000 W in the second."""
    begin = (pd.Timestamp(FOLDS[zone]) - pd.Timedelta(hours=3)).tz_localize(zone)
    utc = pd.date_range(begin.tz_convert("UTC"), periods=26 * 3600 // every, freq=f"{every}s")
    local = utc.tz_convert(zone).tz_localize(None)
    twice = np.flatnonzero(local.duplicated(keep=False))
    mains = 500 + np.arange(len(utc)) % 7.0
    mains[twice[: len(twice) // 2]], mains[twice[len(twice) // 2 :]] = 1000, 3000
    return utc.tz_convert(zone), mains


def table(when: pd.DatetimeIndex, mains: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"time": when.tz_localize(None), "power": mains})


ORDERS = {
    "as measured": lambda rows: rows,
    "sorted": lambda rows: rows.sort_values("time", kind="stable"),
    "newest first": lambda rows: rows[::-1],
    "sorted, newest first": lambda rows: rows.sort_values("time", kind="stable")[::-1],
}


@pytest.mark.parametrize("zone", FOLDS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_hour_that_there_is_twice(tmp_path, zone, order):
    when, mains = turned(zone)
    rows = ORDERS[order](table(when, mains))
    rows.to_csv(tmp_path / "h.csv", index=False)
    for source in (rows, tmp_path / "h.csv"):
        house = read(source, Options(timezone=zone))
        assert house.start == when[0]
        np.testing.assert_array_equal(house.mains, mains.astype(np.float32))
    if "newest" not in order:
        for size in (700, 1500):
            parts = np.concatenate([h.mains for h in stream(tmp_path / "h.csv", Options(timezone=zone), rows=size)])
            np.testing.assert_array_equal(parts, mains.astype(np.float32))


@pytest.mark.parametrize("order", ORDERS)
def test_times_to_the_minute(order):
    """Six rows of each time: the first half of twelve is of the first hour."""
    when, mains = turned("Europe/Berlin", 10)
    rows = table(when, mains)
    rows = ORDERS[order](rows.assign(time=rows.time.dt.floor("min")))
    house = read(rows, Options(timezone="Europe/Berlin", period=60))
    np.testing.assert_allclose(house.mains, mains.reshape(-1, 6).mean(1), rtol=1e-6)


def test_shuffled_rows_keep_their_energy_and_offsets_tell_all(tmp_path):
    when, mains = turned("Europe/Berlin")
    mixed = table(when, mains).sample(frac=1, random_state=0)
    house = read(mixed, Options(timezone="Europe/Berlin"))
    assert np.isfinite(house.mains).all() and house.mains.sum() == pytest.approx(mains.sum(), rel=1e-6)
    told = pd.DataFrame({"time": [t.isoformat() for t in when], "power": mains}).sample(frac=1, random_state=0)
    told.to_csv(tmp_path / "h.csv", index=False)
    for options in (Options(), Options(timezone="Europe/Berlin")):
        np.testing.assert_array_equal(read(tmp_path / "h.csv", options).mains, mains.astype(np.float32))


def test_an_hour_that_cannot_be_told_is_named():
    when, mains = turned("Europe/Berlin")
    second = (mains == 3000).argmax()
    shifted = table(when + pd.to_timedelta(np.where(np.arange(len(when)) >= second, 11, 0), unit="s"), mains)
    house = read(shifted.sort_values("time"), Options(timezone="Europe/Berlin"))
    assert np.isnan(house.mains[mains >= 1000]).sum() >= 238 and np.isfinite(house.mains[mains < 1000]).sum() >= 2870
    assert any("2024-10-27 02:00 to 02:59" in note and "not known" in note for note in house.notes)
    once = table(when, mains).drop_duplicates("time")
    house = read(once, Options(timezone="Europe/Berlin"))
    np.testing.assert_array_equal(house.mains, np.where(mains == 3000, np.nan, mains).astype(np.float32))
    assert any("2024-10-27 02:00 to 02:59 twice" in note and "file has it once" in note for note in house.notes)
    late = table(when, mains)[second:]  # begins with the second of the two
    assert read(late, Options(timezone="Europe/Berlin")).start == when[second]


def test_without_a_zone_what_is_averaged_is_named():
    when, mains = turned("Europe/Berlin")
    house = read(table(when, mains).sort_values("time", kind="stable"))
    assert any("120 of" in note and "from 2024-10-27 02:00:00" in note for note in house.notes)


def test_the_begin_of_summer_time_and_zones_of_other_libraries():
    import datetime

    utc = pd.date_range("2024-03-30 23:00", periods=23 * 120, freq="30s", tz="UTC")
    mains = 500 + np.arange(len(utc)) % 7.0
    berlin = utc.tz_convert("Europe/Berlin")
    zones = [berlin.tz, "+01:00", datetime.timezone(datetime.timedelta(hours=2))]
    dateutil = pytest.importorskip("dateutil.tz")
    for zone in [*zones, dateutil.gettz("Europe/Berlin")]:
        house = read(pd.Series(mains, utc.tz_convert(zone)))
        np.testing.assert_array_equal(house.mains, mains.astype(np.float32))
        assert house.start == utc[0]
    rows = table(berlin, mains).sample(frac=1, random_state=0)
    np.testing.assert_array_equal(read(rows, Options(timezone="Europe/Berlin")).mains, mains.astype(np.float32))
