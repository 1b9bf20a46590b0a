"""How to read a household, and what was said while reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from diffx.errors import UsageError

from ..appliances import DEFAULT, Appliance


@dataclass(frozen=True)
class Options:
    """What a file does not say by itself; None is guessed, and what was guessed is said.

    ``time``, ``mains``: columns (in a file without a header: their number, from 1). ``unit``: "W" or "kW" of the power
    columns. ``power``: "active" or "apparent", which of the two to read, or which of the two it is. ``timezone``: of
    times without offset, and of the days that energy is counted in; without it such times stay naive. ``separator``:
    between columns. ``day_first``: whether 01/02/2014 is in February. ``period``: seconds of the grid. ``gap``: seconds
    that the last value holds for at most when no row follows. ``coarsest``: seconds between rows that are refused.
    ``building``: of NILMTK files. ``appliances``: the columns to look for.
    """

    time: str | None = None
    mains: str | None = None
    unit: str | None = None
    power: str | None = None
    timezone: str | None = None
    separator: str | None = None
    day_first: bool | None = None
    period: float = 30.0
    gap: float = 120.0
    coarsest: float = 60.0
    building: int = 1
    appliances: tuple[Appliance, ...] = DEFAULT

    def __post_init__(self) -> None:
        for name, allowed in (("unit", (None, "W", "kW")), ("power", (None, "active", "apparent"))):
            if getattr(self, name) not in allowed:
                raise UsageError(f"data.{name} is {' or '.join(map(str, allowed[1:]))}, not {getattr(self, name)!r}")
        if not 0 < self.period <= 86_400 or self.gap < 0:
            raise UsageError(f"data.period is up to 86400 s and data.gap not negative, not {self.period}, {self.gap}")
        if self.timezone:
            import zoneinfo

            try:
                zoneinfo.ZoneInfo(self.timezone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError):
                raise UsageError(
                    f"no time zone {self.timezone!r}; they are called Europe/London, America/Denver, UTC, ..."
                ) from None


@dataclass
class Notes:
    """What was guessed or mended, said once each."""

    say: Callable[[str], None] = lambda line: None
    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)
            self.say(line)
