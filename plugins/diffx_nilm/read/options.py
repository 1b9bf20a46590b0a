"""How to read a household, and what was said while reading it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from diffx.errors import UsageError

from ..appliances import KNOWN, Appliance


@dataclass(frozen=True)
class Options:
    """What a file does not say by itself; None is guessed, and what was guessed is said.

    Args:
        time: column of times (in a file without a header: its number, from 1); two of them as "Date + Time".
        mains: what the household draws: a column, a sum such as "L1+L2+L3" or "grid+solar" or "import-export+solar";
            in a long table also labels of its meters; in NILMTK, UK-DALE and REDD numbers of meters or channels.
        unit: "W" or "kW" of the power columns.
        power: "active" or "apparent", which of the two to read, or which of the two it is.
        timezone: of times without offset, and of the days that energy is counted in; None: such times stay naive.
        separator: between the columns of a text file.
        decimal: "." or "," in numbers; the other one then groups thousands.
        day_first: whether 01/02/2014 is in February.
        period: seconds of the grid.
        gap: seconds that the last value holds for at most when no row follows.
        coarsest: seconds between rows that are refused.
        building: which home, of a NILMTK file (by default the first) or of a table with a column of homes.
        appliances: the columns to look for.
        prefix: what goes before an option's name where errors say what to type: "data." on the command line, "" in
            Python.
    """

    time: str | None = None
    mains: str | None = None
    unit: str | None = None
    power: str | None = None
    timezone: str | None = None
    separator: str | None = None
    decimal: str | None = None
    day_first: bool | None = None
    period: float = 30.0
    gap: float = 120.0
    coarsest: float = 60.0
    building: int | str | None = None
    appliances: tuple[Appliance, ...] = KNOWN
    prefix: str = "data."

    def __post_init__(self) -> None:
        for name, allowed in (("unit", ("W", "kW")), ("power", ("active", "apparent")), ("decimal", (".", ","))):
            if getattr(self, name) not in (None, *allowed):
                raise UsageError(f"{self.prefix}{name} is {' or '.join(allowed)}, not {getattr(self, name)!r}")
        if not 0 < self.period <= 86_400 or self.gap < 0:
            raise UsageError(
                f"{self.prefix}period is up to 86400 s and {self.prefix}gap not negative, not {self.period}, {self.gap}"
            )
        if self.timezone:
            import zoneinfo

            try:
                zoneinfo.ZoneInfo(self.timezone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError):
                raise UsageError(
                    f"no time zone {self.timezone!r}; they are called Europe/London, America/Denver, UTC, ..."
                ) from None

    def spelt(self, name: str, value: object = None) -> str:
        """What to type for an option: "data.mains=grid+solar" in a shell, 'mains="grid+solar"' in Python."""
        if value is None:
            return f"{self.prefix}{name}="
        if self.prefix:
            return shlex.quote(f"{self.prefix}{name}={value}")
        return f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"


@dataclass
class Notes:
    """What was guessed or mended, said once each."""

    say: Callable[[str], None] = lambda line: None
    lines: list[str] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)
            self.say(line)
