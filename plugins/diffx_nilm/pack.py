"""Metered households in the form that training reads: tenths of a watt in 16 bits, all in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from diffx.data.packed import pack_arrays, read_arrays

from .activations import activations
from .appliances import Appliance
from .household import DAY, Household

_UNIT = 0.1  # W
_UNKNOWN = 2**16 - 1
KIND = "nilm houses 2"


@dataclass(frozen=True)
class Packed:
    """One household.

    ``mains`` uint16 [T] and ``parts`` uint16 [A, T]: tenths of a watt, to 6553.4 W, and 65535 where not known. Where
    one of them is not known, none is. ``activations``: of each appliance, int64 [n, 2]. ``unknown``: how many
    periods before each position are not known, int32 [T + 1].
    """

    name: str
    mains: np.ndarray
    parts: np.ndarray
    activations: tuple[np.ndarray, ...]
    unknown: np.ndarray

    def __len__(self) -> int:
        return len(self.mains)

    def clear(self, first: int, width: int) -> bool:
        """Whether all of ``width`` periods from ``first`` are known."""
        return bool(self.unknown[first + width] == self.unknown[first])

    def window(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(mains [n], parts [A, n]), float32, W."""
        unit = np.float32(_UNIT)
        return self.mains[first:stop] * unit, self.parts[:, first:stop] * unit

    def a_day(self, period: float) -> list[float]:
        """Activations of each appliance in a day of known mains; 0 where nothing is known."""
        days = (len(self) - int(self.unknown[-1])) * period / DAY
        return [len(own) / days if days else 0.0 for own in self.activations]

    def split(self, periods: int) -> tuple[Packed, Packed]:
        """(what comes before the last ``periods``, those)."""
        edge = max(len(self) - periods, 0)
        return self._cut(0, edge), self._cut(edge, len(self))

    def _cut(self, first: int, stop: int) -> Packed:
        whole = tuple(r[(r[:, 0] >= first) & (r[:, 1] <= stop)] - first for r in self.activations)
        unknown = self.unknown[first : stop + 1] - self.unknown[first]
        return Packed(self.name, self.mains[first:stop], self.parts[:, first:stop], whole, unknown)


def pack_house(house: Household, appliances: Sequence[Appliance]) -> Packed:
    """DataError where an appliance was not metered."""
    parts = house.of([appliance.key for appliance in appliances])
    known = house.known
    mains, parts = (np.where(known, v, np.nan) for v in (house.mains, parts))
    return _made(house.name, _coded(mains), _coded(parts), appliances, house.period)


def save_packed(path: str | Path, houses: Sequence[Packed], appliances: Sequence[Appliance], period: float) -> None:
    """Write them as one safetensors file: about 10 bytes a period for four appliances."""
    arrays = {f"{i}.mains": house.mains for i, house in enumerate(houses)}
    arrays |= {f"{i}.parts": house.parts for i, house in enumerate(houses)}
    names = [house.name for house in houses]
    pack_arrays(path, KIND, arrays, {"houses": names, "period": period, "appliances": list(map(asdict, appliances))})


def load_packed(path: str | Path) -> tuple[tuple[Packed, ...], tuple[Appliance, ...], float]:
    """(houses, appliances, period). Raises DataError for a file that is missing, damaged or something else."""
    found = read_arrays(path, KIND)
    appliances = tuple(map(Appliance.of_json, found.index["appliances"]))
    period = float(found.index["period"])
    houses = tuple(
        _made(name, found.arrays[f"{i}.mains"].numpy(), found.arrays[f"{i}.parts"].numpy(), appliances, period)
        for i, name in enumerate(found.index["houses"])
    )
    return houses, appliances, period


def _coded(power: np.ndarray) -> np.ndarray:
    tenths = np.rint(np.clip(power, 0, None) / _UNIT)
    return np.where(np.isnan(tenths), _UNKNOWN, np.minimum(tenths, _UNKNOWN - 1)).astype(np.uint16)


def _made(name: str, mains: np.ndarray, parts: np.ndarray, appliances: Sequence[Appliance], period: float) -> Packed:
    watts = np.where(parts == _UNKNOWN, np.nan, parts * np.float32(_UNIT))
    own = tuple(activations(part, appliance, period) for part, appliance in zip(watts, appliances, strict=True))
    unknown = np.concatenate([[0], np.cumsum(mains == _UNKNOWN)]).astype(np.int32)
    return Packed(name, mains, parts, own, unknown)
