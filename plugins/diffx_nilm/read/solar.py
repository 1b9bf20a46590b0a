"""Homes with solar power: what the household draws is what it buys and produces, less what it sells."""

from __future__ import annotations

from collections.abc import Sequence

from .words import words

# fmt: off
_PRODUCED = {"solar", "pv", "gen", "generation", "generated", "generator", "production", "produced", "photovoltaic",
             "photovoltaik", "photovoltaics", "inverter", "erzeugung", "produktion", "produzione", "prodotta", "opwek",
             "fotovoltaico", "wechselrichter", "producción", "solaire"}
_SOLD = {"export", "exported", "returned", "return", "injection", "injected", "einspeisung", "netzeinspeisung",
         "feedin", "immessa", "immissione", "teruglevering", "surplus", "sold"}
_BOUGHT = {"import", "imported", "grid", "delivered", "bezug", "netzbezug", "soutirage", "prelievo", "prelevata",
           "afname", "purchased", "bought", "net", "netz", "réseau", "rete"}
_DRAWN = {"use", "usage", "consumption", "consumed", "load", "demand", "house", "household", "home", "verbrauch",
          "hausverbrauch", "last", "consumo", "consommation", "verbruik"}
_NOT = {"thermal", "pump", "heating", "water", "hours", "irradiance", "radiation"}
# fmt: on


def is_produced(name: object) -> bool:
    spoken = set(words(name))
    return bool(spoken & _PRODUCED) and not spoken & (_NOT | _DRAWN | _SOLD)


def is_sold(name: object) -> bool:
    spoken = set(words(name))
    return bool(spoken & _SOLD or {"feed", "in"} <= spoken) and not spoken & (_NOT | _DRAWN)


def is_drawn(name: object) -> bool:
    """Whether a name says that it is all the household draws, wherever it comes from."""
    spoken = set(words(name))
    return bool(spoken & _DRAWN) and not spoken & (_BOUGHT | _SOLD | _PRODUCED)


def total(bought: str, produced: Sequence[str], sold: Sequence[str]) -> str:
    """What to type for the sum: "import+solar-export"."""
    return bought + "".join(f"+{name}" for name in produced) + "".join(f"-{name}" for name in sold)
