"""NILMTK's HDF5: pandas tables /buildingN/elec/meterM with columns (power, active), (power, apparent), ...

Read with h5py rather than pandas, which would unpickle the attributes of the file: of these only plain lists and names
are understood here (:mod:`.plain`), and nothing in the file is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffx.errors import DataError

from ..appliances import called
from .grid import Rows
from .options import Notes, Options
from .plain import plain_values
from .recording import MAINS, Feed, Recording
from .sites import POWERS, disabled, site_meters
from .values import Drawn, Meter

_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def of_nilmtk(path: Path, options: Options, note: Notes, rows: int | None) -> Recording:
    """One building: its site meters, and the meters of the appliances that its metadata name."""
    with _opened(path) as file:
        name = _building(file, path, options, note)
        where = f"{path.name}/{name}"
        facts = _facts(file[name])
        meters = {int(meter[5:]): file[name]["elec"][meter] for meter in file[name]["elec"] if meter[5:].isdigit()}
        kinds = {number: tuple(_columns(group, where)) for number, group in meters.items()}
        sites, power = site_meters(facts, kinds, where, options)
        chosen = [(MAINS, number, power) for number in sites]
        for appliance in facts.get("appliances") or []:
            own = called(str((appliance or {}).get("type", "")), options.appliances)
            for number in map(int, (appliance or {}).get("meters") or []):
                if own is None or number not in kinds or number in sites or disabled(facts, number):
                    continue
                if not set(POWERS) & set(kinds[number]):
                    note(f"{where}: meter {number} of the {own.key} has no active or apparent power, and is left out")
                    continue
                chosen.append((own.key, number, "active" if "active" in kinds[number] else "apparent"))
        zone = options.timezone or _facts(file).get("timezone") or facts.get("timezone")
    note(f"{where}: the mains are meter {' + '.join(map(str, sites))}, {power} power")
    for key, number, kind in chosen[len(sites) :]:
        note(f"{where}: meter {number} is the metered {key}, {kind} power")
    timezone = str(zone or "UTC")
    alone = len(sites) == 1
    feeds = tuple(_feed(path, name, key, number, kind, options, note, rows, alone) for key, number, kind in chosen)
    return Recording(where, feeds, lambda: timezone, lambda: power)


def _building(file: Any, path: Path, options: Options, note: Notes) -> str:
    """The group of the building that is asked for, else of the first."""
    buildings = [name for name in file if name.startswith("building") and "elec" in file[name]]
    buildings.sort(key=lambda name: (len(name), name))
    asked = str(options.building if options.building is not None else 1).removeprefix("building")
    name = f"building{asked}"
    if options.building is None and len(buildings) == 1:
        name = buildings[0]
    if name not in buildings:
        raise DataError(
            f"{path.name}: no /{name}/elec; {options.spelt('building')} is one of {', '.join(buildings) or 'none'}"
        )
    if options.building is None and len(buildings) > 1:
        note(f"{path.name}: {name} of {len(buildings)} buildings ({options.spelt('building')} takes another)")
    return name


def _feed(
    path: Path,
    building: str,
    key: str,
    number: int,
    kind: str,
    options: Options,
    note: Notes,
    rows: int | None,
    alone: bool,
) -> Feed:
    """``alone``: its power is not one of several that are added."""
    where = f"{path.name}/{building}/meter{number}"

    def pieces() -> Iterator[Rows]:
        meter = Meter(where, options, note, "W", drawn=Drawn(where, note) if alone else None, sure=True)
        with _opened(path) as file:
            group = file[f"{building}/elec/meter{number}"]
            table = group["table"]
            block, column = _columns(group, where)[kind]
            unit = _NS.get((_text(table.attrs.get("index_kind")).partition("[")[2] or "ns]").rstrip("]"), 1)
            step = rows or max(len(table), 1)
            for first in range(0, len(table), step):
                piece = table[first : first + step]
                power = pd.Series(piece[block][:, column].astype(np.float64), name=where)
                values = meter.mains(power) if key == MAINS else meter.part(power, "W")
                yield piece["index"].astype(np.int64) * unit, values[:, None]

    return Feed(where, (key,), pieces())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
        import hdf5plugin  # noqa: F401  NILMTK compresses with Blosc, which h5py alone cannot undo
    except ImportError as error:
        raise DataError(f"{path.name}: HDF5 needs {error.name} (pip install 'diffx-suite[nilm]')") from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path.name}: not readable as HDF5 ({' '.join(str(error).split())})") from None
    with file:
        yield file


def _facts(group: Any) -> dict[str, Any]:
    """The NILM Metadata that NILMTK keeps with a group; {} where there are none that are plain."""
    raw = group.attrs.get("metadata")
    found = plain_values(bytes(raw)) if raw is not None else None
    return found if isinstance(found, dict) else {}


def _columns(group: Any, where: str) -> dict[str, tuple[str, int]]:
    """Kind of power -> (block of the table, column in it)."""
    if "table" not in group or "index" not in (group["table"].dtype.names or ()):
        raise DataError(f"{where}: {group.name} is no pandas table with an index of times")
    table = group["table"]
    found: dict[str, tuple[str, int]] = {}
    for block in table.dtype.names:
        labels = plain_values(bytes(table.attrs.get(f"{block}_kind", b""))) if block != "index" else None
        for i, label in enumerate(labels if isinstance(labels, list) else []):
            if isinstance(label, tuple) and len(label) == 2 and label[0] == "power":
                found.setdefault(str(label[1]), (block, i))
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
