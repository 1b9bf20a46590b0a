"""Tables of several homes or meters below one another, sums of columns, and homes with solar power."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.errors import DataError
from diffx_nilm.read import Options, read, stream

N = 1440  # a day of minutes


def power(seed: int = 0, level: float = 1.0) -> np.ndarray:
    """Whole W of a household with a fridge, noise and some heaters."""
    rng = np.random.default_rng(seed)
    x = 150 + 60 * np.sin(np.arange(N) / 40) + rng.normal(0, 5, N) + np.where(rng.random(N) < 0.02, 2700, 0)
    return (level * x).round()


def minutes(n: int = N) -> pd.DatetimeIndex:
    return pd.date_range("2024-01-15", periods=n, freq="min")


def written(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def kwh(source, **options) -> float:
    house = read(source, Options(**options))
    return float(np.nansum(house.mains)) * house.period / 3.6e6


def refused(source, *parts: str, **options) -> None:
    with pytest.raises(DataError) as error:
        read(source, Options(**options))
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


def stacked(column: str, labels: tuple, seconds: int = 0) -> pd.DataFrame:
    """Two meters in one column, the second three times the first and some seconds later."""
    one = pd.DataFrame({column: labels[0], "time": minutes(), "power": power()})
    two = pd.DataFrame({column: labels[1], "time": minutes() + pd.Timedelta(seconds=seconds), "power": 3 * power()})
    return pd.concat([one, two])


HOMES = [("dataid", (26, 77)), ("building", ("A", "B")), ("LCLid", ("MAC1", "MAC2")), ("house", (1, 2)), ("nr", (1, 2))]
METERS = [("entity_id", ("sensor.power", "sensor.voltage")), ("device", ("plug", "main")), ("channel", (1, 2)),
          ("unit", ("W", "V")), ("who", ("anna", "bob")), ("Phase", ("L1", "L2"))]  # fmt: skip


@pytest.mark.parametrize("order, rows", [("blocks", None), ("sorted", None), ("sorted", 6), ("staggered", None)])
@pytest.mark.parametrize("column, labels", HOMES + METERS)
def test_rows_of_several_meters_are_refused_and_chosen(tmp_path, column, labels, order, rows):
    frame = stacked(column, labels, 30 if order == "staggered" else 0)
    if rows:
        frame = frame.groupby(column).head(rows)
    if order != "blocks":
        frame = frame.sort_values("time", kind="stable")
    file = written(tmp_path / "table.csv", frame)
    what = "building" if (column, labels) in HOMES else "mains"
    for source, name in ((file, f"data.{what}={labels[0]}"), (frame, f"{what}=")):
        refused(source, repr(column), str(labels[0]), str(labels[1]), name)
    for label, level in zip(labels, (1, 3), strict=True):
        expected = level * power()[: rows or N].sum() / 60_000
        assert kwh(file, **{what: str(label)}) == pytest.approx(expected, rel=1e-5)
        assert kwh(frame, **{what: label if what == "building" else str(label)}) == pytest.approx(expected, rel=1e-5)
    refused(file, "nobody", **{what: "nobody"})


def test_blocks_beyond_the_first_rows_are_seen_too(tmp_path):
    """The second home begins long after what is looked at to guess columns."""
    when, mains = pd.date_range("2024-01-15", periods=5000, freq="30s"), np.tile(power(), 4)[:5000]
    frame = pd.concat([pd.DataFrame({"home": name, "time": when, "power": mains}) for name in "ab"])
    file = written(tmp_path / "homes.csv", frame)
    refused(file, "'home'", "a, b")
    with pytest.raises(DataError, match="'home'"):
        list(stream(file, rows=3000))
    assert kwh(file, building="b") == pytest.approx(mains.sum() / 120_000, rel=1e-5)


def test_meters_of_one_home_are_added(tmp_path):
    file = written(tmp_path / "phases.csv", stacked("phase", ("L1", "L2")))
    assert kwh(file, mains="L1+L2") == pytest.approx(4 * power().sum() / 60_000, rel=1e-5)
    house = list(stream(file, Options(mains="L1+L2"), rows=700))
    assert sum(np.nansum(part.mains) for part in house) / 120_000 == pytest.approx(4 * power().sum() / 60_000, rel=1e-5)


def test_homes_with_several_meters_each(tmp_path):
    frame = pd.concat([stacked("sensor", ("power", "voltage")).assign(home=home) for home in (1, 2)])
    file = written(tmp_path / "homes.csv", frame)
    refused(file, "'home'", "data.building=1")
    refused(file, "'sensor'", "data.mains=power", building=2)
    assert kwh(file, building=2, mains="voltage") == pytest.approx(3 * power().sum() / 60_000, rel=1e-5)


def test_an_index_of_several_homes():
    index = pd.MultiIndex.from_product([["A", "B"], minutes()], names=["building", "time"])
    frame = pd.DataFrame({"power": np.concatenate([power(), 3 * power()])}, index)
    refused(frame, "'building'", 'building="A"')
    assert kwh(frame, building="B") == pytest.approx(3 * power().sum() / 60_000, rel=1e-5)


def test_columns_of_few_values_that_are_no_labels(tmp_path):
    rng, when = np.random.default_rng(0), minutes()
    frame = pd.DataFrame(
        {
            "time": when, "power": power(), "status": rng.integers(0, 2, N), "hour": when.hour, "minute": when.minute,
            "tariff": np.where(when.hour < 7, "low", "high"), "day": when.day_name(), "dataid": 26, "house": 1,
            "quality": np.where(rng.random(N) < 0.1, "estimated", "measured"), "volts": rng.integers(228, 240, N),
            "meter": np.where(np.arange(N) < 700, "old", "new"), "second": np.arange(N) % 2 * 30,
        }
    )  # fmt: skip
    for source in (frame, written(tmp_path / "house.csv", frame)):
        assert kwh(source) == pytest.approx(power().sum() / 60_000, rel=1e-5)
    assert kwh(frame, building=26) == pytest.approx(power().sum() / 60_000, rel=1e-5)
    refused(frame.drop(columns=["dataid", "house"]), "no column says which home", building=3)
    several = pd.DataFrame({"time": when.floor("10min"), "power": power() + 1000, "tv": rng.integers(48, 52, N)})
    assert read(several, Options(coarsest=600, gap=600)).days == pytest.approx(
        1
    )  # ten rows of one time are one meter's


def test_a_house_of_that_name_is_power(tmp_path):
    frame = pd.DataFrame({"time": minutes(), "house": power(), "kettle": 0.0})
    house = read(written(tmp_path / "h.csv", frame))
    assert set(house.parts) == {"kettle"} and float(house.mains.mean()) == pytest.approx(power().mean(), rel=1e-5)


def test_two_homes_without_a_label_are_refused(tmp_path):
    frame = stacked("home", ("a", "b")).drop(columns="home")
    refused(written(tmp_path / "h.csv", frame), "share their time", "several meters or homes")


def test_home_assistant_exports(tmp_path):
    state = power().astype(object)
    state[5:30] = "unavailable"
    when = minutes().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    frame = pd.DataFrame({"entity_id": "sensor.house", "state": state, "last_changed": when})
    house = read(written(tmp_path / "history.csv", frame))
    assert np.isnan(house.mains[12:60]).all() and np.isfinite(house.mains).sum() >= 2 * N - 50
    assert float(np.nanmean(house.mains[60:])) == pytest.approx(power()[30:].mean(), rel=1e-5)


def test_the_finest_labels_are_offered(tmp_path):
    when = np.repeat(minutes().strftime("%Y-%m-%dT%H:%M:%SZ"), 3)
    values = np.stack([power(), np.full(N, 230.0), 3 * power()], 1).ravel()
    names = {"_measurement": ["W", "V", "W"] * N, "entity_id": ["house", "volts", "oven"] * N}
    file = written(tmp_path / "influx.csv", pd.DataFrame({"_time": when, "_value": values, **names}))
    refused(file, "'entity_id' (house, volts, oven)", "data.mains=house")
    refused(file, "did you mean 'house'", mains="hose")
    assert kwh(file, mains="house") == pytest.approx(power().sum() / 60_000, rel=1e-5)


# -- sums --------------------------------------------------------------------------------------------------------------


def test_columns_are_added_each_in_its_unit(tmp_path):
    frame = pd.DataFrame(
        {"time": minutes(), "L1 (W)": power(), "L2 (W)": power(1), "L3 (kW)": power(2) / 1000, "a-b": 0}
    )
    file = written(tmp_path / "phases.csv", frame)
    refused(file, "which column is the mains?", "'L1 (W)'", "A+B")
    expected = (power() + power(1) + power(2)).sum() / 60_000
    assert kwh(file, mains="L1 (W)+L2 (W)+L3 (kW)") == pytest.approx(expected, rel=1e-5)
    assert kwh(file, mains="L1 (W) + L2 (W) + a-b") == pytest.approx((power() + power(1)).sum() / 60_000, rel=1e-5)
    refused(file, "no column 'L2'", "data.mains=", mains="L1 (W)+L2")
    refused(file, "twice", mains="L1 (W)+L1 (W)")


def test_a_total_beside_its_phases_is_taken():
    frame = pd.DataFrame({"time": minutes(), "active_power_w": power()})
    frame["active_power_l1_w"] = frame["active_power_l2_w"] = power() / 2
    assert kwh(frame) == pytest.approx(power().sum() / 60_000, rel=1e-5)
    refused(frame.drop(columns="active_power_w"), "'active_power_l1_w', 'active_power_l2_w'")
    refused(pd.DataFrame({"time": minutes(), "mains": power(), "mains 2": power()}), "'mains', 'mains 2'")
    refused(pd.DataFrame({"time": minutes(), "a": power(), "b": power()}), "'a', 'b'")


def test_a_sum_is_not_known_where_a_phase_is_not():
    frame = pd.DataFrame({"L1": power(), "L2": power(1)}, minutes())
    frame.iloc[100:140, 1] = np.nan
    mains = read(frame, Options(mains="L1+L2")).mains
    assert np.isnan(mains[200:280]).all() and np.isfinite(mains).sum() == 2 * N - 80


SUN = np.clip(np.sin((np.arange(N) - 360) / 720 * np.pi) * 3000, 0, None).round()


@pytest.mark.parametrize(
    "columns, answer",
    [
        ({"grid": power() - SUN, "solar": SUN}, "grid+solar"),
        ({"import": (power() - SUN).clip(0), "export": (SUN - power()).clip(0), "pv": SUN}, "import+pv-export"),
        ({"Netzbezug": (power() - SUN).clip(0), "Einspeisung": (SUN - power()).clip(0), "PV": SUN},
         "Netzbezug+PV-Einspeisung"),
        ({"net_power": power() - SUN, "generation": SUN}, "net_power+generation"),
        ({"aggregate": power() - SUN, "solar (kW)": SUN / 1000}, "aggregate+solar (kW)"),
    ],
)  # fmt: skip
def test_solar_homes_are_asked_and_added_up(tmp_path, columns, answer):
    file = written(tmp_path / "solar.csv", pd.DataFrame({"time": minutes(), **columns}))
    refused(file, "all that the household draws", answer)
    assert kwh(file, mains=answer) == pytest.approx(power().sum() / 60_000, rel=1e-5)


def test_negative_mains_say_what_to_add(tmp_path):
    frame = pd.DataFrame({"time": minutes(), "grid": power() - SUN, "solar": SUN})
    refused(written(tmp_path / "s.csv", frame), "negative in 4", "data.mains=grid+solar", mains="grid")
    refused(frame, "negative in 4", 'mains="grid+solar"', mains="grid")
    long = frame.melt("time", var_name="sensor", value_name="power")
    refused(long, "negative in 4", 'mains="grid+solar"', mains="grid")
    assert kwh(long, mains="grid+solar") == pytest.approx(power().sum() / 60_000, rel=1e-5)
    refused(frame[["time", "solar"]], "what is produced")


@pytest.mark.parametrize(
    "columns",
    [
        {"use": power(), "grid": power() - SUN, "gen": SUN},
        {"Verbrauch": power(), "Netzbezug": (power() - SUN).clip(0), "PV-Erzeugung": SUN},
        {"power_delivered": power(), "power_returned": 0 * power()},
        {"aggregate": power(), "solar": 0 * power()},
        {"aggregate": power(), "solar_thermal_pump": 0 * power() + 40},
    ],
)
def test_homes_of_known_consumption_or_without_sun_are_read(tmp_path, columns):
    file = written(tmp_path / "home.csv", pd.DataFrame({"time": minutes(), **columns}))
    assert kwh(file) == pytest.approx(power().sum() / 60_000, rel=1e-5)
