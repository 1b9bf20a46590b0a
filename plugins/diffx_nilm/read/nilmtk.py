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
from .values import Meter

_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def of_nilmtk(path: Path, options: Options, note: Notes, rows: int | None) -> Recording:
    """One building: its site meter, else meter 1, and the meters of the appliances that its metadata name."""
    where = f"{path.name}/building{options.building}"
    with _opened(path) as file:
        buildings = sorted(name for name in file if name.startswith("building"))
        name = f"building{options.building}"
        if name not in file or "elec" not in file[name]:
            raise DataError(f"{path.name}: no /{name}/elec; data.building= is one of {', '.join(buildings) or 'none'}")
        facts = _facts(file[name])
        meters = {int(meter[5:]): file[name]["elec"][meter] for meter in file[name]["elec"] if meter[5:].isdigit()}
        sites = [int(m) for m, fact in (facts.get("elec_meters") or {}).items() if (fact or {}).get("site_meter")]
        sites = [number for number in sites if number in meters] or [1]
        if sites[0] not in meters:
            raise DataError(f"{where}: no meter1, and no metadata that name the site meter")
        power = options.power or _either(_columns(meters[sites[0]], where))
        chosen = [(MAINS, number, power) for number in sites]
        for appliance in facts.get("appliances") or []:
            own = called(str((appliance or {}).get("type", "")), options.appliances)
            for number in (appliance or {}).get("meters") or []:
                if own is not None and int(number) in meters:
                    chosen.append((own.key, int(number), _either(_columns(meters[int(number)], where))))
        zone = options.timezone or _facts(file).get("timezone") or facts.get("timezone")
        for _, number, kind in chosen:
            if kind not in _columns(meters[number], where):
                raise DataError(f"{where}: meter{number} has no {kind} power, only {_names(meters[number], where)}")
    note(f"{where}: the mains are meter {' + '.join(map(str, sites))}, {power} power")
    for key, number, kind in chosen[len(sites) :]:
        note(f"{where}: meter {number} is the metered {key}, {kind} power")
    timezone = str(zone or "UTC")
    feeds = tuple(_feed(path, where, key, number, kind, options, note, rows) for key, number, kind in chosen)
    return Recording(where, feeds, lambda: timezone, lambda: power)


def _feed(
    path: Path, where: str, key: str, number: int, kind: str, options: Options, note: Notes, rows: int | None
) -> Feed:
    where = f"{where}/meter{number}"

    def pieces() -> Iterator[Rows]:
        meter = Meter(where, options, note, "W")
        with _opened(path) as file:
            group = file[f"building{options.building}/elec/meter{number}"]
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


def _either(columns: dict[str, tuple[str, int]]) -> str:
    return "active" if "active" in columns or "apparent" not in columns else "apparent"


def _names(group: Any, where: str) -> str:
    return ", ".join(_columns(group, where)) or "none"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
