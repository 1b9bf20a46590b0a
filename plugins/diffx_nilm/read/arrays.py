"""NumPy archives of one appliance beside the mains: arrays ``aggregate`` and ``power``, W, negative where not known.

Such an archive has no times. How long a period is, and which appliance it is of, are said by the name of the file:
``ukdale_house1_5_kettle_1min.npz``.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from diffx.errors import DataError

from ..appliances import Appliance, called
from .grid import Rows
from .options import Notes, Options
from .recording import MAINS, Feed, Recording
from .times import SECOND

_UNITS = {"s": 1, "sec": 1, "min": 60}
_START = int(np.datetime64("2000-01-01", "ns").astype(np.int64))


def of_arrays(path: Path, options: Options, note: Notes) -> Recording:
    """The mains and one appliance, from midnight of 1 January 2000 on.

    DataError where the file is no such archive, or its name says no appliance or no period.
    """
    seconds, appliance = _period(path), _appliance(path, options)
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name], np.float64) for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name}: not readable as a NumPy archive ({' '.join(str(error).split())})") from None
    if missing := {"aggregate", "power"} - set(found):
        raise DataError(f"{path.name}: no array {', '.join(sorted(missing))}; there are {', '.join(sorted(found))}")
    mains, part = found["aggregate"], found["power"]
    if mains.ndim != 1 or mains.shape != part.shape:
        raise DataError(f"{path.name}: aggregate and power are not one number a period each")
    note(f"{path.name}: no times; taken as one row every {seconds} s from 2000-01-01, W, power of the {appliance.name}")

    def rows() -> Iterator[Rows]:
        values = np.stack([mains, part], axis=1)
        yield _START + np.arange(len(values)) * seconds * SECOND, np.where(values < 0, np.nan, values)

    return Recording(path.stem, (Feed(path.name, (MAINS, appliance.key), rows()),), lambda: None, lambda: "unknown")


def _period(path: Path) -> int:
    said = re.search(r"(\d+)_?(s|sec|min)(?![a-z])", path.stem.lower())
    if said is None:
        raise DataError(
            f"{path.name}: a NumPy archive has no times; its name has to say the period, as kettle_1min.npz"
        )
    return int(said[1]) * _UNITS[said[2]]


def _appliance(path: Path, options: Options) -> Appliance:
    """The appliance that a name says, in one or two of its words."""
    spoken = re.findall(r"[a-z]+", path.stem.lower())
    names = [*spoken, *(" ".join(pair) for pair in pairwise(spoken))]
    for name in names:
        if (appliance := called(name, options.appliances)) is not None:
            return appliance
    known = ", ".join(a.key for a in options.appliances)
    raise DataError(f"{path.name}: a NumPy archive whose name says no appliance of {known}")
