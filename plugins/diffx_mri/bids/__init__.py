"""BIDS, read and written: the one place that knows what files are called, where they lie and whose they are.

Weightless: neither torch nor nibabel is imported, so that a mistyped folder is said at once. Why there is no pybids
here stands in docs/bids.md.
"""

from .name import Name
from .people import Session, known, tables_of
from .scans import Scan, find_lesions, find_scans, find_segmentations, is_lesion_mask
from .tree import check_file, check_folder, derived, images, in_scan_space, sessions, stated_licence
from .writer import Derivatives, write_with_sidecar

__all__ = [
    "Derivatives", "Name", "Scan", "Session", "check_file", "check_folder", "derived", "find_lesions", "find_scans",
    "find_segmentations", "images", "in_scan_space", "is_lesion_mask", "known",
    "sessions", "stated_licence", "tables_of", "write_with_sidecar",
]  # fmt: skip
