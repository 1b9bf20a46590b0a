"""What the columns of a table are, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from diffx.errors import DataError, did_you_mean

from ..appliances import Appliance, called
from .options import Notes, Options

# fmt: off
_TIME = ("time", "timestamp", "datetime", "date time", "date", "unix", "unix time", "unixtime", "unix ts", "epoch",
         "ts")
_UNITS = {"w": "W", "watt": "W", "watts": "W", "kw": "kW", "kilowatt": "kW", "kilowatts": "kW", "va": "VA",
          "kva": "kVA", "wh": "Wh", "kwh": "kWh", "var": "var", "kvar": "var"}
_NEVER = {"status", "state", "voltage", "volts", "volt", "v", "current", "amps", "a", "hz", "frequency", "reactive",
          "factor", "pf", "temperature", "humidity", "issues", "id", "dataid", "cost", "price", "unix", "intensity"}
# from the most certain name of the whole to the least
_WHOLE = ("aggregate", "mains", "main", "whole house", "site meter", "total", "use", "grid", "house", "household",
          "global active power", "active power", "real power", "apparent power", "power", "load", "demand",
          "consumption", "usage", "watts", "w", "kw", "va", "kva", "value")
# fmt: on


def words(name: object) -> list[str]:
    """A name in words: "globalActive_power (kW)" -> global, active, power, kw."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", str(name))
    return re.findall(r"[a-z]+|\d+", apart.lower())


def unit_of(name: object) -> str | None:
    """W, kW, VA, kVA, Wh, kWh or var, where the name ends in one."""
    found = [_UNITS[word] for word in words(name) if word in _UNITS]
    return found[-1] if found else None


def power_of(name: object) -> str | None:
    """ "active" or "apparent", where the name says so."""
    said = set(words(name))
    if "apparent" in said or said & {"va", "kva"}:
        return "apparent"
    return "active" if said & {"active", "real"} else None


def time_columns(names: Sequence[str], options: Options, where: str) -> list[str]:
    """The column of times, or two: of the date and of the time of day; [] where none has such a name."""
    if options.time is not None:
        chosen = [part.strip() for part in options.time.split("+")] if options.time not in names else [options.time]
        for name in chosen:
            if name not in names:
                raise DataError(f"{where}: no column {name!r} for data.time; there are {_list(names)}")
        return chosen
    plain = {" ".join(words(name)): name for name in reversed(names)}
    if "date" in plain and "time" in plain:
        return [plain["date"], plain["time"]]
    for candidate in _TIME:
        if candidate in plain:
            return [plain[candidate]]
    return [name for name in names if {"time", "timestamp", "datetime", "localminute"} & set(words(name))][:1]


def mains_column(names: Sequence[str], options: Options, where: str, note: Notes) -> str:
    """The column of the whole household's power, out of those that hold numbers and are not of time."""
    if options.mains is not None:
        if options.mains not in names:
            raise DataError(
                f"{where}: no column {options.mains!r} for data.mains; there are {_list(names)}"
                f"{did_you_mean(options.mains, names)}"
            )
        return options.mains
    able = [name for name in names if not _NEVER & set(words(name)) and called(name, options.appliances) is None]
    power = [name for name in able if unit_of(name) not in ("Wh", "kWh", "var")]
    if able and not power:
        raise DataError(
            f"{where}: {_list(able)} holds energy, not power; divide by the hours between rows to get W or kW"
        )
    if options.power is not None:
        power = [name for name in power if power_of(name) in (None, options.power)] or power
    ranked = sorted((_rank(name), i, name) for i, name in enumerate(power) if _rank(name) < len(_WHOLE))
    best = [name for rank, _, name in ranked if rank == ranked[0][0]]
    if len(best) > 1:
        best = [name for name in best if power_of(name) == "active"] or best
    if not best and len(power) == 1:
        best = power
    if len(best) != 1:
        raise DataError(
            f"{where}: which column is the mains? data.mains= takes one of {_list(power or names)}"
            if power
            else f"{where}: no column of power besides the times, only {_list(names)}"
        )
    note(f"{where}: column {best[0]!r} is taken for the mains" + (f", of {_list(power)}" if len(power) > 1 else ""))
    return best[0]


def part_columns(names: Sequence[str], appliances: Sequence[Appliance]) -> dict[str, tuple[str, ...]]:
    """Appliance key -> the columns that bear its name; several are added."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        bare = " ".join(word for word in words(name) if word not in _UNITS)
        appliance = None if _NEVER & set(words(name)) else called(bare, appliances)
        if appliance is not None:
            found[appliance.key] = (*found.get(appliance.key, ()), name)
    return found


def _rank(name: str) -> int:
    """Place in ``_WHOLE`` of the whole name, else of a word in it; how long that is where it has none."""
    spoken = words(name)
    bare = " ".join(word for word in spoken if word not in _UNITS) or " ".join(spoken)
    if bare in _WHOLE:
        return _WHOLE.index(bare)
    inside = [i for i, known in enumerate(_WHOLE) if f" {known} " in f" {bare} "]
    return min(inside, default=len(_WHOLE))


def _list(names: Sequence[str]) -> str:
    some = ", ".join(repr(str(name)) for name in names[:12])
    return some + (f" and {len(names) - 12} more" if len(names) > 12 else "")
