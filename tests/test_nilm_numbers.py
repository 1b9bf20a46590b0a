"""Numbers as they are written, what they are (power, energy, readings) and in which unit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from diffx.errors import DataError, UsageError
from diffx_nilm.read import Options, read, stream
from diffx_nilm.read.numerals import decimal_of, is_number
from diffx_nilm.read.readings import is_reading

N = 600


def power(n: int = N) -> np.ndarray:
    """Whole W; a heater now and then."""
    x = 150 + 60 * np.sin(np.arange(n) / 40) + np.random.default_rng(0).normal(0, 5, n)
    x[::97] = 2900
    return x.round()


def minutes(n: int = N) -> pd.DatetimeIndex:
    return pd.date_range("2024-01-15", periods=n, freq="min")


def written(path, cells, header="Zeit;Leistung", times="%d.%m.%Y %H:%M:%S", sep=";"):
    rows = [f"{t}{sep}{cell}" for t, cell in zip(minutes(len(cells)).strftime(times), cells, strict=True)]
    path.write_text("\n".join([header.replace(";", sep), *rows, ""]), encoding="utf-8")
    return path


def refused(source, *parts: str, **options) -> None:
    with pytest.raises(DataError) as error:
        read(source, Options(**options))
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


def watts(source, **options) -> np.ndarray:
    """Of each minute."""
    return read(source, Options(**options)).mains[::2]


def grouped(x: float, thousands: str, decimal: str, digits: int) -> str:
    return f"{x:,.{digits}f}".replace(",", "T").replace(".", decimal).replace("T", thousands)


# -- how they are written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "thousands, decimal",
    [(".", ","), (",", "."), ("\u202f", ","), ("\u00a0", ","), (" ", ","), ("\u2009", "."), ("'", "."), ("’", "."),
     ("", "."), ("", ",")],
)  # fmt: skip
def test_numbers_of_every_country(tmp_path, thousands, decimal, digits):
    cells = [grouped(x, thousands, decimal, digits) for x in power()]
    np.testing.assert_array_equal(watts(written(tmp_path / "a.csv", cells)), power())
    quoted = [f'"{cell}"' for cell in cells]
    file = written(tmp_path / "b.csv", quoted, "time;power", "%Y-%m-%d %H:%M:%S", ",")
    np.testing.assert_array_equal(watts(file), power())
    np.testing.assert_array_equal(watts(pd.DataFrame({"time": minutes(), "power": cells})), power())


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("least", [0, 1200])
def test_kilowatts_with_three_decimals_are_not_thousands(tmp_path, decimal, least):
    cells = [f"{x / 1000:.3f}".replace(".", decimal) for x in power() + least]
    np.testing.assert_allclose(watts(written(tmp_path / "a.csv", cells, "Zeit;Leistung (kW)")), power() + least)


def test_thousands_come_late_and_once(tmp_path):
    mains = np.full(N, 150.0)
    mains[590:] = 2953
    said: list[str] = []
    file = written(tmp_path / "a.csv", [grouped(x, ".", ",", 0) for x in mains])
    np.testing.assert_array_equal(read(file, say=said.append).mains[::2], mains)
    assert any("'2.953' in 'Leistung' is read as 2953 (data.decimal=. otherwise)" in line for line in said)
    parts = np.concatenate([house.mains for house in stream(file, rows=100)])
    np.testing.assert_array_equal(parts[::2], mains)


def test_what_can_be_read_in_two_ways_is_asked(tmp_path):
    mostly = written(tmp_path / "a.csv", ["1.234", "2.345", "1.567"] * 40 + ["3"])
    refused(mostly, "'Leistung'", "'1.234'", "data.decimal=.", "data.decimal=,")
    assert watts(mostly, decimal=",")[0] == 1234 and watts(mostly, decimal=".", unit="W")[0] == np.float32(1.234)
    both = written(tmp_path / "b.csv", ["150,5", "150.5"] * 40)
    refused(both, "'150,5' and '150.5'", "data.decimal=")
    with pytest.raises(UsageError, match=r"data\.decimal"):
        Options(decimal=";")


def test_other_columns_do_not_mislead(tmp_path):
    """Seconds since 1970 are large numbers without dots; volts show the decimal sign."""
    when = minutes().as_unit("s").astype("int64")
    cells = [f"{t};{grouped(x, '.', ',', 0)}" for t, x in zip(when, power(), strict=True)]
    file = tmp_path / "a.csv"
    file.write_text("Unix;Leistung\n" + "\n".join(cells) + "\n")
    np.testing.assert_array_equal(watts(file), power())
    file.write_text("Unix;Leistung;Spannung\n" + "\n".join(f"{cell};230,5" for cell in cells) + "\n")
    np.testing.assert_array_equal(watts(file), power())


def test_date_and_time_of_day_by_their_looks(tmp_path):
    days = [f"{t:%d.%m.%Y};{t:%H:%M:%S};{x:.0f}" for t, x in zip(minutes(), power(), strict=True)]
    for header in ("Datum;Uhrzeit;Leistung", "Tag;Moment;Leistung", "Date;Heure;Puissance"):
        (tmp_path / "a.csv").write_text("\n".join([header, *days, ""]))
        house = read(tmp_path / "a.csv")
        np.testing.assert_array_equal(house.mains[::2], power())
        assert house.start == minutes()[0]


def test_units_in_cells_are_no_numbers(tmp_path):
    refused(written(tmp_path / "a.csv", [f"{x:.0f} W" for x in power()]), "no column of numbers", "'2900 W'")


@pytest.mark.parametrize(
    "text, decimal",
    [("1.234,5", ","), ("1,234.5", "."), ("1.234.567", ","), ("0.123", "."), ("12.34", "."), ("1234,567", ","),
     ("1.234", None), ("1,234", None), ("1234", None), ("1 234,5", ","), ("12:30", None), ("15.01.2024", None)],
)  # fmt: skip
def test_decimal_signs(text, decimal):
    assert decimal_of(text) == decimal
    assert is_number(text) == (":" not in text and "2024" not in text)


# -- readings ----------------------------------------------------------------------------------------------------------

WH = np.concatenate([[0], np.cumsum(power() / 60)])[:N]  # of a meter that began at 0
KWH = 12_345 + WH / 1000


def changed(values: np.ndarray, rows, to: float) -> np.ndarray:
    out = values.copy()
    out[rows] = to
    return out


READINGS = {
    "kWh": KWH, "Wh": 1000 * KWH, "Wh from 0": WH, "kWh from 0": WH / 1000, "to 0.1 kWh": KWH.round(1),
    "dip": changed(KWH, 300, 0), "dips": changed(KWH, [3, 50, 400], 0), "a tenth": changed(KWH, slice(3, N, 10), 0),
    "spike": changed(KWH, 300, 1e8), "gap": changed(KWH, slice(100, 200), np.nan),
    "reset": np.where(np.arange(N) < 300, KWH, KWH - KWH[300]), "overflow": np.mod(KWH + 87_654, 100_000),
    "every day from 0": np.tile((WH / 1000)[:200].round(3), 3), "in steps": np.repeat(KWH[::20], 20),
}  # fmt: skip


@pytest.mark.parametrize("name", READINGS)
def test_readings_are_not_power(name):
    for column in ("Energy", "power (W)", "whatever"):
        for options in ({}, {"unit": "W"}, {"mains": column}):
            refused(pd.DataFrame({"time": minutes(), column: READINGS[name]}), repr(column), "meter reading", **options)


@pytest.mark.parametrize("rows", [10, 20, 45])
@pytest.mark.parametrize("name", ["kWh", "Wh", "Wh from 0"])
def test_few_rows_of_a_reading(name, rows):
    values = READINGS[name][:rows]
    refused(pd.DataFrame({"time": minutes(rows), "x": values}), "meter reading")
    refused(pd.DataFrame({"time": minutes(rows), "x": changed(values, rows // 2, 0)}), "meter reading")


def test_power_is_no_reading():
    rng = np.random.default_rng(1)
    on = np.repeat(rng.choice([80.0, 90, 2400], 60), 10)
    for mains in (power(), power(60), on, np.full(300, 500.0), np.where(np.arange(300) < 200, 100.0, 700.0), -power()):
        assert not is_reading(mains)
    ramp = np.concatenate([np.linspace(100, 900, 45), [2000, 300, 200]])
    assert not is_reading(ramp)


# -- units -------------------------------------------------------------------------------------------------------------


def frame(values, name: str = "power") -> pd.DataFrame:
    return pd.DataFrame({"time": minutes(len(values)), name: values})


@pytest.mark.parametrize("name", ["power", "power (kW)", "Mains (kWatts)"])
def test_an_outlier_beside_kilowatts(name):
    mains = watts(frame(changed(power() / 1000, 5, 2500), name))
    np.testing.assert_allclose(mains, changed(power(), 5, np.nan), rtol=1e-6)


def test_an_outlier_beside_watts():
    for n in (60, N):
        mains = watts(frame(changed(power(n), 5, 999_999)))
        np.testing.assert_array_equal(mains, changed(power(n), 5, np.nan))
    refused(frame(1000 * power()), "more than any household")


@pytest.mark.parametrize("n", [40, N])
def test_what_is_too_small_is_asked(n):
    kilo = power(n).clip(None, 1400) / 1000
    refused(frame(kilo), "never exceed", "unit=")
    np.testing.assert_allclose(watts(frame(kilo), unit="kW"), power(n).clip(None, 1400), rtol=1e-6)
    idle = 25.0 + np.arange(n) % 5
    refused(frame(idle), "W or kW?", "unit=")
    refused(frame(idle, "power (W)"), 'unit="W" if it is so')
    np.testing.assert_array_equal(watts(frame(idle), unit="W"), idle)


def test_energy_of_each_row_is_not_power():
    refused(frame(power() / 60), "are they energy", "unit=")  # Wh
    refused(frame(power() / 60_000), "too little for W and for kW")  # kWh
    for name in ("consumption (kWh)", "energy", "Energie", "Wh"):
        refused(frame(power() / 60, name), "energy", mains=name)
    np.testing.assert_array_equal(watts(frame(power(), "energy"), unit="W"), power())
    both = frame(power()).assign(**{"Total energy": power() / 60, "kettle (kWh)": 0.0})
    house = read(both)
    np.testing.assert_array_equal(house.mains[::2], power())
    assert not house.parts


def test_names_tell_units_and_kinds():
    for name in ("P_total_W", "activePower", "Active Power [W]", "Wirkleistung", "power_w"):
        np.testing.assert_array_equal(watts(frame(power(), name)), power())
    for name in ("P (kW)", "power_kw", "Phase A (kW)", "usage [kW]"):
        np.testing.assert_allclose(watts(frame(power() / 1000, name)), power(), rtol=1e-6)
    several = frame(power(), "P_total_W").assign(S_total_VA=1.1 * power(), Q_total_var=power(), U=230.0)
    np.testing.assert_array_equal(watts(several), power())
    house = read(several, Options(power="apparent"))
    assert house.power == "apparent" and house.mains[0] == np.float32(1.1 * power()[0])
    refused(frame(230.0 + power() % 3, "Voltage"), "'Voltage' is not", mains="Voltage")


def test_few_negative_rows():
    mains = watts(frame(changed(power(19), 5, -50)))
    np.testing.assert_array_equal(mains, changed(power(19), 5, np.nan))
    refused(frame(changed(power(19), [5, 9, 12], -50)), "negative in 16%")
    refused(frame(-power(19)), "negative in 100%")
