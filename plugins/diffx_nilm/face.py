"""Disaggregation for a notebook or a script; the command line calls the same methods.

from diffx_nilm import Disaggregator
result = Disaggregator.load().disaggregate("house.csv")
result.energy   # kWh of each appliance and day, with 90 % intervals
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from diffx.errors import DataError, UsageError, did_you_mean
from diffx.noise import derive
from diffx.pipeline import Pipeline

from .appliances import Appliance, choose
from .calibration import Calibration
from .config import PowerSampling
from .ensemble import Ensemble
from .household import DAY, Household
from .mix import place
from .read import Options, stream
from .recurring import Recurring, settled
from .result import Piece, Result, joined
from .usage import Home, adapted

PLUGIN = "nilm"
WEIGHTS = "nilm-homes"  # shipped with the package
DAYS = 7.0  # of a piece

Source: TypeAlias = str | Path | pd.DataFrame | pd.Series | Household


@dataclass(frozen=True)
class Opened:
    """A household that was read once: ``usage`` in activations a day, stretches as often as wanted, ``days``, and the
    events of one size that ``recurring`` says are an appliance's."""

    usage: Mapping[str, float]
    households: Callable[[], Iterator[Household]]
    days: float
    recurring: Mapping[str, Recurring] = field(default_factory=dict)


class Disaggregator:
    """A trained model of households; made by :meth:`load`.

    Args:
        pipeline: draws the parts of windows of mains.
        meta: facts of the weights; None: those of the pipeline.
    """

    def __init__(self, pipeline: Pipeline, meta: Mapping[str, Any] | None = None):
        self.pipeline, self.config = pipeline, pipeline.config
        self.meta = meta = dict(pipeline.meta if meta is None else meta)
        described = meta.get("appliances")
        self.appliances = tuple(map(Appliance.of_json, described)) if described else choose(self.config.appliances)
        facts = meta.get("calibration")
        self.calibration = Calibration.of_json(facts) if facts else Calibration.none(len(self.appliances))

    @classmethod
    def load(
        cls, source: str | Path | None = None, device: str = "auto", extensions: Sequence[str] = ()
    ) -> Disaggregator:
        """Shipped weights, or those of an id, a file or a run folder; extensions bring further samplers and networks.

        Raises:
            DataError: missing, damaged or foreign weights.
        """
        pipeline = Pipeline.load(source or WEIGHTS, device, plugin=PLUGIN, extensions=extensions)
        return cls(pipeline, {**pipeline.meta, "path": str(pipeline.path)})

    @property
    def period(self) -> float:
        """Seconds of the grid that it works on."""
        return self.config.data.period

    def disaggregate(
        self, source: Source, n: int = 32, seed: int = 0, usage: Mapping[str, float] | None = None, **reading: Any
    ) -> Result:
        """All of a household.

        Args:
            source: CSV, TSV, Parquet, REFIT, UK-DALE or REDD, NILMTK HDF5; a DataFrame of times and mains in W, or a
                Series of mains with a time index.
            n: number of samples, from which medians and bands are computed.
            seed: the same seed gives the same result.
            usage: activations a day of appliances, where they are known; the others are learnt from the mains.
            reading: how to read the source: ``time``, ``mains``, ``unit``, ``power``, ``timezone``, ... of
                :class:`diffx_nilm.read.Options`.

        Raises:
            DataError: one line that says what is wrong with the source.
        """
        began = time.perf_counter()
        opened = self.open(source, self.reading(**reading), usage=usage, seed=seed)
        pieces = list(self.pieces(opened, n, seed))
        facts = {"weights": self.meta["path"], "samples": n, "seconds": time.perf_counter() - began}
        return joined(pieces, self.calibration, opened.usage, facts)

    def stream(self, source: Source, n: int = 32, seed: int = 0, **reading: Any) -> Iterator[Piece]:
        """The same, a week at a time, for what is longer than memory."""
        yield from self.pieces(self.open(source, self.reading(**reading), seed=seed), n, seed)

    def reading(self, **options: Any) -> Options:
        """How to read a source for these weights. UsageError for an option that there is not."""
        try:
            return Options(**{"appliances": self.appliances, "period": self.period, "prefix": "", **options})
        except TypeError:
            known = [f.name for f in fields(Options) if f.name not in ("appliances", "prefix")]
            wrong = next(name for name in options if name not in known)
            raise UsageError(
                f"reading a household: no argument {wrong!r}{did_you_mean(wrong, known)} ({', '.join(known)})"
            ) from None

    def open(
        self,
        source: Source,
        reading: Options | None = None,
        usage: Mapping[str, float] | None = None,
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> Opened:
        """Look a household over, once, for how often it uses each appliance. DataError where it cannot be read."""
        reading = reading or self.reading()
        if reading.period != self.period:
            raise UsageError(f"{reading.prefix}period={reading.period:g}: these weights work on {self.period:g} s")
        if unknown := set(usage or {}) - {a.key for a in self.appliances}:
            raise UsageError(f"usage: these weights do not know {', '.join(sorted(unknown))}")

        def households(say: Callable[[str], None] = lambda line: None) -> Iterator[Household]:
            yield from parts(source) if isinstance(source, Household) else stream(source, reading, say, DAYS)

        if isinstance(source, Household) and source.period != self.period:
            raise DataError(
                f"{source.name}: a grid of {source.period:g} s, and these weights work on {self.period:g} s"
            )
        mains = np.concatenate([house.mains for house in households(say)])
        home = self.adapted(mains, seed, usage or {})
        rates = {a.key: float(rate) for a, rate in zip(self.appliances, home.usage, strict=True)}
        return Opened(rates, households, len(mains) * self.period / DAY, home.recurring)

    def adapted(self, mains: np.ndarray, seed: int, usage: Mapping[str, float]) -> Home:
        """What mains [T], W, say of their home; ``usage``: what is known of it."""
        return adapted(self.ensemble(), mains, seed, usage)

    def pieces(
        self, opened: Opened, n: int = 32, seed: int = 0, options: PowerSampling | None = None
    ) -> Iterator[Piece]:
        """A week after the other; each sees a little of its neighbours, and depends on nothing else."""
        ensemble = self.ensemble(options)
        usage = place([opened.usage[a.key] for a in self.appliances], self.appliances)
        for before, house, after in neighbours(opened.households(), ensemble.window // 2):
            mains = np.concatenate([before, house.mains, after])
            seeds = [derive(seed, "member", i, house.start.isoformat()) for i in range(n)]
            members = ensemble.members(mains, usage, seeds)
            members = settled(members, mains, opened.recurring, self.appliances, self.period, seed)
            members = members[:, :, len(before) : len(before) + len(house)]
            said = self.calibration.said(members, self.appliances)
            yield Piece(house, self.appliances, members, self.calibration.bounds(members), said)

    def ensemble(self, options: PowerSampling | None = None) -> Ensemble:
        """The model, and how it is asked. UsageError for an unknown sampler."""
        options, window = options or PowerSampling(), self.config.net.window
        self.pipeline.plan(options)
        return Ensemble(self.pipeline, options, self.appliances, window, self.period, window // 5)


def parts(house: Household, days: float = DAYS) -> Iterator[Household]:
    """A household in consecutive stretches."""
    length = round(days * 86_400 / house.period)
    for first in range(0, len(house), length):
        yield house.cut(first, first + length)


def neighbours(houses: Iterator[Household], reach: int) -> Iterator[tuple[np.ndarray, Household, np.ndarray]]:
    """Each stretch with the mains of ``reach`` periods before and after it, as far as there are any."""
    before, house = np.zeros(0, np.float32), next(houses, None)
    while house is not None:
        following = next(houses, None)
        after = following.mains[:reach] if following is not None else np.zeros(0, np.float32)
        yield before, house, after
        before, house = np.concatenate([before, house.mains])[-reach:], following
