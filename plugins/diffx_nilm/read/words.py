"""Names of columns in words."""

from __future__ import annotations

import re

# fmt: off
UNITS = {"w": "W", "watt": "W", "watts": "W", "kw": "kW", "kilowatt": "kW", "kilowatts": "kW", "kwatt": "kW",
         "kwatts": "kW", "va": "VA", "kva": "kVA", "wh": "Wh", "kwh": "kWh", "var": "var", "kvar": "var"}
# fmt: on


def words(name: object) -> list[str]:
    """A name in words: "globalActive_power (kW)" -> global, active, power, kw."""
    apart = re.sub(r"(?<=[a-z][a-z])(?=[A-Z][a-z])", " ", str(name))  # not inside of kWh
    return re.findall(r"[^\W\d_]+|\d+", apart.lower())


def is_energy(name: object) -> bool:
    """Whether a name says energy, or the reading of a meter, and no unit of power."""
    said = {"energy", "energie", "énergie", "energia", "energía", "zählerstand", "kwh", "wh"} & set(words(name))
    return bool(said) and unit_of(name) not in ("W", "kW", "VA", "kVA")


def unit_of(name: object) -> str | None:
    """W, kW, VA, kVA, Wh, kWh or var, where the name ends in one."""
    found = [UNITS[word] for word in words(name) if word in UNITS]
    return found[-1] if found else None


def power_of(name: object) -> str | None:
    """ "active" or "apparent", where the name says so."""
    said = set(words(name))
    if "apparent" in said or said & {"va", "kva"}:
        return "apparent"
    return "active" if said & {"active", "real"} else None


def listed(names: object) -> str:
    """'a', 'b' and 5 more."""
    every = [repr(str(name)) for name in names]  # type: ignore[attr-defined]
    return ", ".join(every[:12]) + (f" and {len(every) - 12} more" if len(every) > 12 else "")
