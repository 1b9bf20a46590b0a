"""Files of power and energy: written stretch by stretch, there whole or not at all, gaps as empty cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from diffx.errors import ExtraError
from diffx.run import atomic

Add = Callable[[pd.DataFrame], None]


@contextmanager
def power_file(path: Path) -> Iterator[Add]:
    """Yield what appends a frame (Time, then columns in W, and ``*_on`` from 0 to 1) to a ``.csv`` or ``.parquet``.

    W are written to a tenth and probabilities to a hundredth. A time with a zone keeps its offset in CSV and its zone
    in Parquet. The file takes its name when the block ends; one that was interrupted leaves nothing.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"power is written as .csv or .parquet, not as {path.name}")
    with atomic(path) as part, (_csv if path.suffix == ".csv" else _parquet)(part) as add:
        yield lambda frame: add(_rounded(frame)) if len(frame) else None


def write_energy(path: Path, table: pd.DataFrame) -> None:
    """Write :meth:`diffx_nilm.result.Energies.table` as CSV, to a watt-hour."""
    out = table.round({"known": 3, **{name: 3 for name in table.columns if "kWh" in name}})
    out["Date"] = out["Date"].dt.strftime("%Y-%m-%d")
    with atomic(path) as part:
        out.to_csv(part, index=False)


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    places = {name: 2 if str(name).endswith("_on") else 1 for name in frame.columns if name != "Time"}
    return frame.round(places)


@contextmanager
def _csv(path: Path) -> Iterator[Add]:
    with open(path, "w", encoding="utf-8", newline="") as file:

        def add(frame: pd.DataFrame) -> None:
            # to_csv would leave out the hours of a stretch that has nothing but midnights
            times = [time.isoformat(sep=" ") for time in frame["Time"]]
            # to six digits a tenth of a watt is exact up to 100 kW, and what is off is "0"
            frame.assign(Time=times).to_csv(file, index=False, header=file.tell() == 0, float_format="%.6g")

        yield add


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise ExtraError("Parquet needs pyarrow: pip install pyarrow, or format=csv") from None
    writer: parquet.ParquetWriter | None = None

    def add(frame: pd.DataFrame) -> None:
        nonlocal writer
        table = pa.Table.from_pandas(frame, preserve_index=False)  # NaN becomes null
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield add
    finally:
        if writer is not None:
            writer.close()
