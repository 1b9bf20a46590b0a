"""A disaggregator without a network: its members are the metered parts, made uncertain on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from diffx.noise import derive
from diffx_nilm.appliances import DEFAULT
from diffx_nilm.calibration import Calibration
from diffx_nilm.config import PowerConfig
from diffx_nilm.face import Disaggregator, Opened
from diffx_nilm.household import Household
from diffx_nilm.result import Piece
from diffx_nilm.usage import Home

CONFUSED = 0.25  # share of members that take the washing machine for the dishwasher, by day


def piece(house: Household, n: int = 16, seed: int = 0, calibration: Calibration | None = None) -> Piece:
    """Members that are the metered parts up to some per cent and half a minute, with runs left out and confused."""
    parts = house.of([a.key for a in DEFAULT])
    members = np.stack([_member(parts, house, seed, m) for m in range(n)])
    members[:, :, np.isnan(house.mains)] = np.nan
    calibration = calibration or Calibration.none(len(DEFAULT))
    return Piece(house, DEFAULT, members, calibration.bounds(members))


def _member(parts: np.ndarray, house: Household, seed: int, m: int) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=derive("fake", seed, m, house.start.isoformat())))
    out = np.nan_to_num(parts) * rng.normal(1, 0.04, (len(parts), 1))
    for day in np.unique(house.dates()):
        at = house.dates() == day
        if rng.random() < CONFUSED:
            out[1, at], out[2, at] = out[2, at].copy(), out[1, at].copy()
        if rng.random() < 0.2:
            out[int(rng.integers(4)), at] = 0
    return np.roll(out, int(rng.integers(-1, 2)), axis=1).astype(np.float32)


class Fake(Disaggregator):
    """Takes the place of the trained one in the command line."""

    def __init__(self) -> None:
        self.config, self.meta = PowerConfig(), {"path": "fake.safetensors", "step": 7, "sha256": "0" * 64}
        self.appliances, self.calibration = DEFAULT, Calibration.none(len(DEFAULT))

    @classmethod
    def load(cls, source: Any = None, device: str = "auto", extensions: Any = ()) -> Fake:
        return cls()

    def open(self, source: Any, reading: Any = None, usage: Mapping[str, float] | None = None, **rest: Any) -> Opened:
        return super().open(source, reading, {a.key: 1.0 for a in DEFAULT} | dict(usage or {}), **rest)

    def adapted(self, mains: Any, seed: int, usage: Mapping[str, float]) -> Home:
        return Home([usage[a.key] for a in DEFAULT])

    def pieces(self, opened: Opened, n: int = 32, seed: int = 0, options: Any = None) -> Iterator[Piece]:
        for house in opened.households():
            yield piece(house, n, seed, self.calibration)
