"""Tissue classes of a brain, from MUSE region maps (Doshi et al. 2016) as DLMUSE writes them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from diffx.errors import DataError

from ...bids import Scan, Session, find_segmentations
from ...volume import Volume, load

CLASSES = ("background", "grey matter", "white matter", "ventricles", "other brain")
GREY, WHITE, VENTRICLES, OTHER = 1, 2, 3, 4
MAPPING = "muse_mapping_derived.csv"
_ROWS = {701: OTHER, 601: GREY, 604: WHITE, 509: VENTRICLES}  # derived regions; of two, the later names the class


def lookup(mapping: str | Path) -> np.ndarray:
    """Class of each region number, uint8 [256], from the table of derived regions (row 601 grey matter, 604 white
    matter, 509 ventricles, 701 brain). Fluid around the brain, which 701 leaves out, is background.

    Raises DataError where the file or a row is missing.
    """
    path = Path(mapping)
    if not path.is_file():
        raise DataError(f"{path}: no such file; it says which regions are grey matter, white matter and ventricles")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = {row[0]: row[2:] for row in csv.reader(file) if row}
    table = np.zeros(256, np.uint8)
    for number, tissue in _ROWS.items():
        if str(number) not in rows:
            raise DataError(f"{path}: row {number} is missing")
        table[[int(region) for region in rows[str(number)] if region.strip()]] = tissue
    return table


def region_maps(root: str | Path, scans: Iterable[Scan]) -> tuple[dict[Session, Path], np.ndarray | None]:
    """The region map of each scan, of the derivatives that have a table of derived regions, and that table."""
    tables = sorted(Path(root).glob(f"derivatives/*/{MAPPING}"))
    if not tables:
        return {}, None
    return find_segmentations(root, scans, tables[0].parent), lookup(tables[0])


def read_tissues(path: Path, table: np.ndarray) -> Volume:
    """Classes, as floats, of a region map. Raises DataError for one whose numbers are no regions."""
    regions = load(path)
    numbers = np.rint(regions.data).astype(int)
    if numbers.min() < 0 or numbers.max() >= len(table) or not table[numbers].any():
        raise DataError(f"{path}: its numbers are not MUSE regions")
    return Volume(table[numbers].astype(np.float32), regions.affine)
