"""DataFrames and Series of any index, and the site meters of NILMTK files."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.errors import DataError, DiffxError
from diffx_nilm.read import Options, read

N = 1440
POWER = (200 + 100 * np.sin(np.arange(N) / 30) + np.where(np.arange(N) % 97 == 5, 2500, 0)).round()
WHEN = pd.date_range("2024-01-15", periods=N, freq="min", tz="Europe/London")


def watts(source, **options) -> np.ndarray:
    house = read(source, Options(**options))
    assert house.start.timestamp() == WHEN[0].timestamp()
    return house.mains[::2]


def refused(source, *parts: str, **options) -> None:
    with pytest.raises(DiffxError) as error:
        read(source, Options(**options))
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


# -- tables in memory --------------------------------------------------------------------------------------------------


def test_what_nilmtk_gives():
    columns = pd.MultiIndex.from_tuples(
        [("power", "apparent"), ("power", "active"), ("voltage", "")], names=["physical_quantity", "type"]
    )
    frame = pd.DataFrame(np.stack([POWER + 10, POWER, 0 * POWER + 230], 1), WHEN, columns)
    house = read(frame)
    assert house.power == "active" and str(house.start.tz) == "Europe/London"
    np.testing.assert_array_equal(house.mains[::2], POWER)
    np.testing.assert_array_equal(watts(frame, power="apparent"), POWER + 10)
    np.testing.assert_array_equal(watts(frame, mains=("power", "apparent")), POWER + 10)
    assert read(frame[[("power", "apparent")]]).power == "apparent"
    homes = pd.DataFrame({("house 1", "mains"): POWER, ("house 2", "mains"): 2 * POWER}, WHEN)
    refused(homes, "'house 1 mains'", "mains=")
    np.testing.assert_array_equal(watts(homes, mains=("house 2", "mains")), 2 * POWER)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"power": POWER}, WHEN).rename_axis(columns="meters"),
        pd.DataFrame({"power": POWER}, WHEN.rename("when")),
        pd.DataFrame({"power": POWER}, WHEN.rename("power")),
        pd.DataFrame({"time": 0 * POWER, "power": POWER}, WHEN),
        pd.DataFrame(POWER, WHEN),
        pd.DataFrame({"power": POWER}, WHEN.strftime("%Y-%m-%d %H:%M:%S+00:00")),
        pd.DataFrame({"power": POWER}, pd.period_range("2024-01-15", periods=N, freq="min")),
        pd.Series(POWER, WHEN),
        pd.Series(POWER, WHEN, name=("power", "active")),
        pd.Series(POWER / 1000, WHEN, name="power (kW)"),
        pd.Series(POWER, WHEN, name="kettle"),
        pd.Series(POWER.astype(int).astype(str), WHEN),
        pd.Series(POWER, WHEN.strftime("%d.%m.%Y %H:%M:%S")),
        pd.Series(POWER, WHEN).sample(frac=1, random_state=0),
    ],
)
def test_indices_and_names(frame):
    np.testing.assert_allclose(watts(frame), POWER, rtol=1e-6)


@pytest.mark.parametrize(
    "source, word",
    [
        (pd.Series(POWER), "no column of times"), (pd.Series([], dtype=float), "no rows"),
        (pd.DataFrame(np.stack([POWER, POWER], 1), WHEN, columns=["power", "power"]), "two columns are called 'power'"),
        ([1, 2], "DataFrame, or a Series with a time index, not a list"), (None, "not a NoneType"),
        ((x for x in [1]), "not a generator"), (pd.Series(np.cumsum(POWER), WHEN, name="x"), "'x' rises"),
    ],
)  # fmt: skip
def test_what_is_no_household(source, word):
    refused(source, word)


def test_errors_speak_the_callers_language(tmp_path):
    frame = pd.DataFrame({"time": WHEN, "one": POWER, "two": POWER})
    refused(frame, " mains= takes")
    refused(frame.assign(time="soon"), "'soon'", mains="one")
    refused(frame[["time", "one"]].assign(one=POWER / 1e4), 'unit="kW"')
    frame.assign(time=WHEN.tz_localize(None)).to_csv(tmp_path / "h.csv", index=False)
    refused(tmp_path / "h.csv", "data.mains= takes")
    refused(tmp_path / "h.csv", " mains= takes", prefix="")


# -- NILMTK ------------------------------------------------------------------------------------------------------------

A, S = ("power", "active"), ("power", "apparent")
SITE = {"site_meter": True}


@pytest.fixture
def stored(tmp_path):
    """Writes a building of these meters (kind -> W) and metadata."""
    pytest.importorskip("tables")
    pytest.importorskip("hdf5plugin")
    when = pd.date_range("2013-07-01", periods=600, freq="6s", tz="Europe/London").as_unit("ns")

    def store(meters: dict, elec: dict | None, appliances: tuple = (), building: int = 1):
        path = tmp_path / "homes.h5"
        with pd.HDFStore(path, "w") as file:
            for number, kinds in meters.items():
                columns = pd.MultiIndex.from_tuples(list(kinds), names=["physical_quantity", "type"])
                values = np.stack([np.broadcast_to(np.float32(w), len(when)) for w in kinds.values()], 1)
                frame = pd.DataFrame(values, when, columns)
                file.put(f"/building{building}/elec/meter{number}", frame, "table", track_times=False)
            if elec is not None:
                facts = {"elec_meters": elec, "appliances": list(appliances)}
                getattr(file.root, f"building{building}")._v_attrs.metadata = facts
        return path

    return store


def behind(number: int, **more) -> dict:
    return {"submeter_of": number, **more}


@pytest.mark.parametrize(
    "meters, elec, watt, power",
    [
        ({1: {S: 500}, 2: {A: 450, S: 500}}, {1: SITE, 2: SITE | behind(1)}, 450, "active"),
        ({1: {S: 500}, 2: {S: 499}}, {1: SITE, 2: SITE | behind(1)}, 500, "apparent"),
        ({1: {S: 500}, 2: {S: 500}, 3: {A: 450}}, {1: SITE, 2: SITE | behind(1), 3: SITE | behind(2)}, 450, "active"),
        ({1: {A: 500}, 2: {A: 9}, 3: {A: 450}}, {1: SITE, 2: behind(1), 3: SITE | behind(2)}, 500, "active"),
        ({1: {A: 500}, 2: {A: 450}}, {1: SITE | {"disabled": True}, 2: SITE}, 450, "active"),
        ({1: {A: 500}, 2: {A: 450}}, {1: SITE | {"disabled": True}, 2: SITE | behind(1)}, 450, "active"),
        ({1: {A: 100}, 2: {A: 200}, 3: {A: 300}}, {1: SITE, 2: SITE, 3: SITE}, 600, "active"),
        ({1: {S: 100}, 2: {S: 200}}, {1: SITE, 2: SITE}, 300, "apparent"),
        ({1: {A: 90, S: 100}, 2: {S: 200}}, {1: SITE, 2: SITE}, 300, "apparent"),
        ({1: {S: 600}, 2: {A: 190}, 3: {A: 290}}, {1: SITE, 2: SITE | behind(1), 3: SITE | behind(1)}, 480, "active"),
        ({2: {A: 450}}, {1: SITE, 2: SITE | behind(1)}, 450, "active"),
        ({1: {A: -100}, 2: {A: 600}}, {1: SITE, 2: SITE}, 500, "active"),
        ({5: {A: 70}}, None, 70, "active"),
    ],
)
def test_site_meters(stored, meters, elec, watt, power):
    house = read(stored(meters, elec))
    assert (house.mains == watt).all() and house.power == power


def test_the_power_and_the_meters_that_are_asked_for(stored):
    path = stored({1: {S: 500}, 2: {A: 450, S: 500}, 3: {A: 30}}, {1: SITE, 2: SITE | behind(1), 3: behind(1)})
    assert (read(path, Options(power="apparent")).mains == 500).all()
    assert (read(path, Options(power="active")).mains == 450).all()
    assert (read(path, Options(mains="3")).mains == 30).all()
    assert (read(path, Options(mains="meter2+meter3")).mains == 480).all()
    refused(path, "data.mains=", "1, 2, 3", mains="4")
    refused(path, "meter1 has no active power", mains="1", power="active")


@pytest.mark.parametrize(
    "meters, elec, words",
    [
        ({1: {A: 80}}, {1: behind(0)}, ["no meter is known to be a site meter", "1 (freezer)", "data.mains="]),
        ({1: {A: 80}, 2: {A: 9}}, None, ["no meter is known to be a site meter"]),
        ({1: {A: 80}}, {1: SITE | {"disabled": True}}, ["every site meter is disabled"]),
        ({1: {A: 80}}, {1: SITE, 2: SITE}, ["its site meter 2 is not in the file", "data.mains=1"]),
        ({1: {A: 80}, 2: {S: 80}}, {1: SITE, 2: SITE}, ["no power in common"]),
        ({1: {("power", "reactive"): 80}}, {1: SITE}, ["meter1 has no active or apparent power", "reactive"]),
        ({1: {A: 80}, 2: {A: 80}}, {1: SITE | behind(2), 2: SITE | behind(1)}, ["each site meter lies behind"]),
    ],
)
def test_buildings_without_known_mains(stored, meters, elec, words):
    appliances = [{"type": "freezer", "meters": [1]}] if elec else []
    refused(stored(meters, elec, appliances), "homes.h5/building1", *words)


def test_two_meters_of_the_same_are_not_added(stored):
    wave = POWER[:600]
    refused(stored({1: {S: wave}, 2: {A: 0.97 * wave + 3}}, {1: SITE, 2: SITE}, ()), "no power in common")
    path = stored({1: {S: wave}, 2: {A: 0.97 * wave, S: wave + 3}}, {1: SITE, 2: SITE})
    refused(path, "meter1", "meter2", "measure the same", "data.mains=")
    assert read(path, Options(mains="2")).power == "active"
    path = stored({1: {A: wave}, 2: {A: POWER[700:1300]}}, {1: SITE, 2: SITE})
    np.testing.assert_allclose(read(path).mains.mean(), (wave + POWER[700:1300]).mean(), rtol=1e-6)


def test_buildings_and_appliances(stored):
    appliances = [{"type": "kettle", "meters": [2]}, {"type": "microwave", "meters": [3]}, {"type": "dish washer",
                  "meters": [4]}]  # fmt: skip
    meters = {1: {A: 500}, 2: {A: 50}, 3: {A: 9}, 4: {("power", "reactive"): 1}}
    elec = {1: SITE, 2: behind(1), 3: behind(1, disabled=True), 4: behind(1)}
    path = stored(meters, elec, appliances, building=3)
    house = read(path)  # the only one
    assert house.name == "homes.h5/building3" and {k: v.mean() for k, v in house.parts.items()} == {"kettle": 50}
    assert (read(path, Options(building="3")).mains == 500).all()
    refused(path, "building3", "data.building=", building=1)


def test_channels_that_are_asked_for(tmp_path):
    folder = tmp_path / "house_1"
    folder.mkdir()
    (folder / "labels.dat").write_text("1 unknown\n2 unknown\n3 kettle\n")
    for number, power in ((1, 300.5), (2, 100), (3, 20)):
        unix = np.arange(1_303_132_929, 1_303_132_929 + 7200, 3)
        np.savetxt(folder / f"channel_{number}.dat", np.stack([unix, np.full(len(unix), power)], 1), ["%d", "%.2f"])
    refused(folder, "no channel is called mains", "data.mains=")
    house = read(folder, Options(mains="1+2"))
    assert (house.mains[2:-2] == 400.5).all() and set(house.parts) == {"kettle"}
    refused(folder, "1, 2, 3", mains="7")
    with pytest.raises(DataError):
        read(folder, Options(mains="1-2"))
