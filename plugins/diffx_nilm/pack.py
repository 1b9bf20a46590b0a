"""Metered households in the form that training reads: fifths of a watt in 16 bits, all in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError

from .activations import activations
from .appliances import Appliance
from .household import DAY, Household

_UNIT = 0.2  # W
_UNKNOWN = 2**16 - 1
KIND = "nilm houses 3"


@dataclass(frozen=True)
class Packed:
    """One household.

    ``mains`` uint16 [T] and ``parts`` uint16 [A, T]: fifths of a watt, to 13106.8 W, and 65535 where not known. Where
    the mains or a metered part are not known, none is; an appliance that was not metered is known nowhere.
    ``activations``: of each appliance, int64 [n, 2]. ``unknown``: how many periods before each position are not known,
    int32 [T + 1]. ``metered``: which appliances were, bool [A].
    """

    name: str
    mains: np.ndarray
    parts: np.ndarray
    activations: tuple[np.ndarray, ...]
    unknown: np.ndarray
    metered: np.ndarray

    def __len__(self) -> int:
        return len(self.mains)

    def clear(self, first: int, width: int) -> bool:
        """Whether all of ``width`` periods from ``first`` are known."""
        return bool(self.unknown[first + width] == self.unknown[first])

    def window(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """(mains [n], parts [A, n]), float32, W; NaN of appliances that were not metered."""
        unit = np.float32(_UNIT)
        parts = self.parts[:, first:stop] * unit
        parts[~self.metered] = np.nan
        return self.mains[first:stop] * unit, parts

    def known_days(self, period: float) -> float:
        """Days in which the mains and what was metered are known."""
        return (len(self) - int(self.unknown[-1])) * period / DAY

    def a_day(self, period: float) -> list[float]:
        """Activations of each appliance in a day of known mains; 0 where nothing is known, NaN of one not metered."""
        days = self.known_days(period)
        rates = [len(own) / days if days else 0.0 for own in self.activations]
        return [rate if metered else np.nan for rate, metered in zip(rates, self.metered, strict=True)]

    def split(self, periods: int) -> tuple[Packed, Packed]:
        """(what comes before the last ``periods``, those)."""
        edge = max(len(self) - periods, 0)
        return self._cut(0, edge), self._cut(edge, len(self))

    def _cut(self, first: int, stop: int) -> Packed:
        whole = tuple(r[(r[:, 0] >= first) & (r[:, 1] <= stop)] - first for r in self.activations)
        unknown = self.unknown[first : stop + 1] - self.unknown[first]
        return Packed(self.name, self.mains[first:stop], self.parts[:, first:stop], whole, unknown, self.metered)


def pack_house(house: Household, appliances: Sequence[Appliance]) -> Packed:
    """A household with those of the appliances that it has a meter of. DataError where it has none."""
    keys = [appliance.key for appliance in appliances]
    own = {key: part for key, part in house.parts.items() if key in keys and np.isfinite(part).any()}
    if not own:
        raise DataError(f"{house.name}: no meter of {', '.join(keys)}")
    known = replace(house, parts=own).known
    whole = replace(house, parts=own).as_far_as_metered(keys)
    mains, parts = (np.where(known, v, np.nan) for v in (house.mains, whole))
    return _made(house.name, _coded(mains), _coded(parts), appliances, house.period)


def save_packed(path: str | Path, houses: Sequence[Packed], appliances: Sequence[Appliance], period: float) -> None:
    """Write them as one safetensors file: about 12 bytes a period for five appliances."""
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
    codes = np.rint(np.clip(power, 0, None) / _UNIT)
    return np.where(np.isnan(codes), _UNKNOWN, np.minimum(codes, _UNKNOWN - 1)).astype(np.uint16)


def _made(name: str, mains: np.ndarray, parts: np.ndarray, appliances: Sequence[Appliance], period: float) -> Packed:
    watts = np.where(parts == _UNKNOWN, np.nan, parts * np.float32(_UNIT))
    own = tuple(activations(part, appliance, period) for part, appliance in zip(watts, appliances, strict=True))
    unknown = np.concatenate([[0], np.cumsum(mains == _UNKNOWN)]).astype(np.int32)
    return Packed(name, mains, parts, own, unknown, (parts != _UNKNOWN).any(1))
