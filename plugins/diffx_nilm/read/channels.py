"""UK-DALE and REDD: a folder of labels.dat and channel_N.dat, each "seconds since 1970, power" without a header.

labels.dat says "N label" a line. REDD's two channels "mains" are its two phases, each measured as apparent power, and
are added (Kolter and Johnson 2011). UK-DALE's channel "aggregate" is apparent power too; where mains.dat lies beside
it, that has time, active power, apparent power and volts once a second (Kelly and Knottenbelt 2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from diffx.errors import DataError

from ..appliances import called
from .columns import terms
from .grid import Rows
from .options import Notes, Options
from .recording import MAINS, Feed, Recording
from .times import Clock
from .values import Drawn, Meter

_WHOLE = ("mains", "aggregate", "site_meter", "whole_house")


def is_channels(folder: Path) -> bool:
    return (folder / "labels.dat").is_file()


def of_channels(folder: Path, options: Options, note: Notes, rows: int | None) -> Recording:
    """The mains and the appliances that the labels name; channels of one appliance are added."""
    labels = _labels(folder)
    whole = [number for number, label in labels.items() if label.rstrip("0123456789") in _WHOLE]
    if options.mains is not None:
        found = terms(options.mains, list(map(str, labels)))
        if found is None or any(factor < 0 for factor, _ in found):
            raise DataError(
                f"{folder / 'labels.dat'}: {options.spelt('mains')} takes a channel or a sum (1+2) of "
                f"{', '.join(map(str, labels))}, not {options.mains!r}"
            )
        whole = [int(name) for _, name in found]
    power = "apparent"
    clock = Clock(folder.name, options, note)
    if options.power == "active" and (folder / "mains.dat").is_file():
        power, whole = "active", []
        feeds = [_feed(folder / "mains.dat", MAINS, clock, options, note, rows)]
        note(f"{folder.name}: the mains are the active power of mains.dat")
    elif not whole:
        raise DataError(
            f"{folder / 'labels.dat'}: no channel is called mains or aggregate; {options.spelt('mains')} takes a number"
        )
    elif options.power == "active":
        raise DataError(f"{folder}: its mains are apparent power, and there is no mains.dat with active power")
    else:
        alone = len(whole) == 1
        feeds = [_feed(folder / f"channel_{n}.dat", MAINS, clock, options, note, rows, alone) for n in whole]
        note(f"{folder.name}: the mains are channel {' + '.join(map(str, whole))}, apparent power (VA)")
    for number, label in labels.items():
        appliance = called(label, options.appliances)
        if appliance is not None and number not in whole:
            feeds.append(_feed(folder / f"channel_{number}.dat", appliance.key, clock, options, note, rows))
            note(f"{folder.name}: channel {number} ({label}) is the metered {appliance.key}")
    return Recording(folder.name, tuple(feeds), lambda: clock.timezone, lambda: power)


def _labels(folder: Path) -> dict[int, str]:
    labels = {}
    for line in (folder / "labels.dat").read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        number, _, label = line.strip().partition(" ")
        if not number.isdigit() or not label.strip():
            raise DataError(f"{folder / 'labels.dat'}: {line.strip()!r} is not a channel's number and label")
        labels[int(number)] = label.strip().lower()
    return labels


def _feed(
    path: Path, column: str, clock: Clock, options: Options, note: Notes, rows: int | None, alone: bool = True
) -> Feed:
    """``alone``: its power is not one of several that are added."""
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise DataError(f"{path}: no such file, though labels.dat names it")

    def pieces() -> Iterator[Rows]:
        meter = Meter(where, options, note, "W", drawn=Drawn(where, note) if alone else None, sure=True)
        try:
            with pd.read_csv(
                path, sep=r"\s+", header=None, names=["time", "power"], usecols=[0, 1], chunksize=rows or 1 << 62
            ) as reader:
                for piece in reader:
                    times, good = clock.read(piece["time"])
                    power = piece["power"][good].rename(where)
                    yield times, (meter.mains(power) if column == MAINS else meter.part(power, "W"))[:, None]
        except ValueError as error:
            raise DataError(f"{path}: not 'seconds since 1970, power' lines ({' '.join(str(error).split())})") from None

    return Feed(where, (column,), pieces())
