"""REFIT, CLEAN_HouseN.csv: Time, Unix, Aggregate, Appliance1 ... Appliance9, Issues (Murray et al. 2017)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diffx.errors import DataError

from .guess import Layout
from .options import Notes, Options
from .recording import Recording
from .table import of_csv

# House -> which of its nine sensors are on the four appliances, from the read-me of the data. House 21's kettle shares
# its plug with a toaster, and house 4 has two washing machines.
SENSORS: dict[int, dict[str, tuple[int, ...]]] = {
    1: {"washing_machine": (5,), "dishwasher": (6,)},
    2: {"washing_machine": (2,), "dishwasher": (3,), "microwave": (5,), "kettle": (8,)},
    3: {"dishwasher": (5,), "washing_machine": (6,), "microwave": (8,), "kettle": (9,)},
    4: {"washing_machine": (4, 5), "microwave": (8,), "kettle": (9,)},
    5: {"washing_machine": (3,), "dishwasher": (4,), "microwave": (7,), "kettle": (8,)},
    6: {"washing_machine": (2,), "dishwasher": (3,), "microwave": (6,), "kettle": (7,)},
    7: {"washing_machine": (5,), "dishwasher": (6,), "kettle": (9,)},
    8: {"washing_machine": (4,), "microwave": (8,), "kettle": (9,)},
    9: {"washing_machine": (3,), "dishwasher": (4,), "microwave": (6,), "kettle": (7,)},
    10: {"washing_machine": (5,), "dishwasher": (6,), "microwave": (8,)},
    11: {"washing_machine": (3,), "dishwasher": (4,), "microwave": (6,), "kettle": (7,)},
    12: {"microwave": (3,), "kettle": (4,)},
    13: {"washing_machine": (3,), "dishwasher": (4,), "microwave": (8,), "kettle": (9,)},
    15: {"washing_machine": (3,), "dishwasher": (4,), "microwave": (7,), "kettle": (8,)},
    16: {"washing_machine": (5,), "dishwasher": (6,)},
    17: {"washing_machine": (4,), "microwave": (7,), "kettle": (8,)},
    18: {"washing_machine": (5,), "dishwasher": (6,), "microwave": (9,)},
    19: {"washing_machine": (2,), "microwave": (4,), "kettle": (5,)},
    20: {"washing_machine": (4,), "dishwasher": (5,), "microwave": (8,), "kettle": (9,)},
    21: {"washing_machine": (3,), "dishwasher": (4,), "kettle": (7,)},
}


def is_refit(names: Sequence[str]) -> bool:
    return {"Unix", "Aggregate", "Appliance1"} <= set(names)


def of_refit(path: Path, names: Sequence[str], options: Options, note: Notes, rows: int | None) -> Recording:
    """Times are those of Unix; days are those of Great Britain unless the options say otherwise."""
    number = re.search(r"house_?(\d+)", path.name.lower())
    house = int(number[1]) if number else None
    sensors = SENSORS.get(house, {}) if house else {}
    if not sensors:
        note(f"{path.name}: which REFIT house this is cannot be told from its name; only the mains are read")
    wanted = {appliance.key for appliance in options.appliances}
    parts = {key: tuple(f"Appliance{n}" for n in which) for key, which in sensors.items() if key in wanted}
    missing = [column for columns in parts.values() for column in columns if column not in names]
    if missing:
        raise DataError(f"{path.name}: a REFIT file without {', '.join(missing)}")
    note(f"{path.name}: REFIT house {house or '?'}: active power, times of the column Unix")
    layout = Layout(
        ("Unix",), ((1.0, "Aggregate"),), parts, unit="W", power="active", doubt="Issues" if "Issues" in names else None
    )
    return of_csv(path, replace(options, timezone=options.timezone or "Europe/London"), note, rows, layout)
