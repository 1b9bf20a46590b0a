"""What the columns of a table are, by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diffx.errors import DataError, did_you_mean

from ..appliances import Appliance, called
from .options import Notes, Options
from .solar import is_drawn, is_produced, is_sold, total
from .words import UNITS, is_energy, listed, power_of, unit_of, words

Terms = tuple[tuple[float, str], ...]  # a sum: factor (1 or -1) and column of each

# fmt: off
_TIME = ("time", "timestamp", "datetime", "date time", "date", "unix", "unix time", "unixtime", "unix ts", "epoch",
         "ts", "zeit", "zeitstempel", "zeitpunkt", "datum", "horodate", "last changed", "last updated")
_DAY_AND_CLOCK = (("date", "time"), ("datum", "zeit"), ("datum", "uhrzeit"), ("datum", "tijd"), ("date", "heure"),
                  ("data", "ora"), ("fecha", "hora"))
_NEVER = {"status", "state", "voltage", "volts", "volt", "v", "current", "amps", "a", "hz", "frequency", "reactive",
          "factor", "pf", "temperature", "humidity", "issues", "id", "dataid", "cost", "price", "unix", "intensity",
          "spannung", "strom", "frequenz"}
_OTHER = {"voltage", "volts", "volt", "amps", "ampere", "hz", "frequency", "reactive", "factor", "pf", "temperature",
          "humidity", "cost", "price", "spannung", "frequenz"}  # not power, whoever says so
_PHASES = {"l", "phase", "leg", "a", "b", "c"}
# from the most certain name of the whole to the least
_WHOLE = ("aggregate", "mains", "main", "whole house", "site meter", "total", "use", "grid", "global active power",
          "active power", "real power", "wirkleistung", "apparent power", "power", "load", "demand", "consumption",
          "usage", "leistung", "verbrauch", "potenza", "consumo", "puissance", "consommation", "potencia", "vermogen",
          "verbruik", "watts", "w", "kw", "va", "kva", "import", "bezug", "house", "household", "value", "state")
# fmt: on


def time_columns(names: Sequence[str], options: Options, where: str) -> list[str]:
    """The column of times, or two: of the date and of the time of day; [] where none has such a name."""
    if options.time is not None:
        chosen = [part.strip() for part in options.time.split("+")] if options.time not in names else [options.time]
        for name in chosen:
            if name not in names:
                raise DataError(f"{where}: no column {name!r} for {options.spelt('time')}; there are {listed(names)}")
        return chosen
    plain = {" ".join(words(name)): name for name in reversed(names)}
    for day, clock in _DAY_AND_CLOCK:
        if day in plain and clock in plain:
            return [plain[day], plain[clock]]
    for candidate in _TIME:
        if candidate in plain:
            return [plain[candidate]]
    return [name for name in names if {"time", "timestamp", "datetime", "localminute"} & set(words(name))][:1]


def terms(text: str, names: Sequence[str]) -> Terms | None:
    """A sum of names, "grid+solar" or "import-export"; signs may also be inside of names. None where it is not one."""
    text = text.strip()
    if text in names:
        return ((1.0, text),)
    longest = sorted(names, key=len, reverse=True)

    def rest(text: str, factor: float) -> Terms | None:
        for name in longest:
            if not name or not text.startswith(name):
                continue
            tail = text[len(name) :].lstrip()
            if not tail:
                return ((factor, name),)
            if tail[0] in "+-" and (more := rest(tail[1:].lstrip(), 1.0 if tail[0] == "+" else -1.0)):
                return ((factor, name), *more)
        return None

    return rest(text, 1.0)


def mains_terms(names: Sequence[str], text: str, options: Options, where: str) -> Terms:
    """What ``mains`` asks for; DataError where a column is not there, or cannot be power."""
    found = terms(text, names)
    if found is None:
        parts = [part.strip() for part in text.split("+")]
        wrong = next((part for part in parts if part not in names), text)
        raise DataError(
            f"{where}: no column {wrong!r} for {options.spelt('mains')}; there are {listed(names)}"
            f"{did_you_mean(wrong, names)}"
        )
    if len({name for _, name in found}) < len(found):
        raise DataError(f"{where}: {options.spelt('mains')} names a column twice")
    for _, name in found:
        spoken = set(words(name))
        if unit_of(name) == "var" or (spoken & _OTHER and unit_of(name) is None):
            raise DataError(f"{where}: {name!r} is not active or apparent power; {options.spelt('mains')} takes power")
        if len(found) > 1 and is_energy(name):
            raise DataError(f"{where}: {name!r} holds energy; {options.spelt('mains')} adds power")
    return found


def guess_mains(
    names: Sequence[str], options: Options, where: str, note: Notes, flows: Callable[[str], bool] = lambda name: True
) -> Terms:
    """The column of the whole household's power, out of those that hold numbers and are not of time.

    ``flows``: whether a column is ever other than 0, which one of what is produced or sold may be.
    """
    ask = options.spelt
    lettered = any("b" in words(name) for name in names)  # then "a" is a phase, and no ampere
    able = [name for name in names if not _never(name, lettered) and _appliance(name, options.appliances) is None]
    if not able and len(names) == 1 and "state" in words(names[0]):
        able = list(names)  # as Home Assistant calls the values of its sensors
    power = [name for name in able if unit_of(name) not in ("Wh", "kWh", "var")]
    if able and not power:
        raise DataError(
            f"{where}: {listed(able)} holds energy, not power; divide by the hours between rows to get W or kW"
        )
    produced, sold = [n for n in power if is_produced(n)], [n for n in power if is_sold(n)]
    bought = [name for name in power if name not in (*produced, *sold)]
    bought = [name for name in bought if not is_energy(name)] or bought
    if power and not bought:
        raise DataError(f"{where}: {listed(power)} is what is produced or sold, not what the household draws")
    power = bought
    if options.power is not None:
        power = [name for name in power if power_of(name) in (None, options.power)] or power
    ranked = sorted((_rank(name), i, name) for i, name in enumerate(power) if _rank(name) < len(_WHOLE))
    best = [name for rank, _, name in ranked if rank == ranked[0][0]]
    if len(best) > 1:
        liked = (options.power or "active", None)
        best = next(filter(None, ([n for n in best if power_of(n) == kind] for kind in liked)), best)
    whole = [n for n in best if not _PHASES & set(words(n))]
    if len(whole) == 1 and len(best) > 2:
        best = whole  # beside its phases
    if not best and len(power) == 1:
        best = power
    if len(best) != 1:
        raise DataError(
            f"{where}: which column is the mains? {ask('mains')} takes one of {listed(power or names)}, or a sum: A+B"
            if power
            else f"{where}: no column of power besides the times, only {listed(names)}"
        )
    if (produced or sold) and not is_drawn(best[0]):
        produced, sold = list(filter(flows, produced)), list(filter(flows, sold))
        if produced or sold:
            raise DataError(
                f"{where}: is {best[0]!r} what the grid delivers or all that the household draws? Beside "
                f"{listed([*produced, *sold])} it may be either: {ask('mains', total(best[0], produced, sold))} or "
                f"{ask('mains', best[0])}"
            )
    note(f"{where}: column {best[0]!r} is taken for the mains" + (f", of {listed(power)}" if len(power) > 1 else ""))
    return ((1.0, best[0]),)


def part_columns(
    names: Sequence[str], appliances: Sequence[Appliance], where: str, note: Notes
) -> dict[str, tuple[str, ...]]:
    """Appliance key -> the columns that bear its name; several are added."""
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        appliance = None if _never(name) else _appliance(name, appliances)
        if appliance is None:
            continue
        if unit_of(name) in ("Wh", "kWh", "var"):
            note(f"{where}: {name!r} holds {unit_of(name)}, not power, and is left out")
            continue
        found[appliance.key] = (*found.get(appliance.key, ()), name)
    return found


def _appliance(name: str, appliances: Sequence[Appliance]) -> Appliance | None:
    """The appliance that a column is named after, its unit aside."""
    return called(" ".join(word for word in words(name) if word not in UNITS), appliances)


def _never(name: str, lettered: bool = False) -> bool:
    spoken = set(words(name)) - ({"a"} if lettered else set())
    if unit_of(name) in ("W", "kW", "VA", "kVA"):
        spoken -= {"a", "v"}  # of a phase A (kW), say
    return bool(spoken & _NEVER)


def _rank(name: str) -> int:
    """Place in ``_WHOLE`` of the whole name, else of a word in it; how long that is where it has none."""
    spoken = words(name)
    bare = " ".join(word for word in spoken if word not in UNITS) or " ".join(spoken)
    if bare in _WHOLE:
        return _WHOLE.index(bare)
    inside = [i for i, known in enumerate(_WHOLE) if f" {known} " in f" {bare} "]
    return min(inside, default=len(_WHOLE))
