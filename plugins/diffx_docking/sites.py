"""The part of a receptor that the networks see: what lies in and around the box that is searched."""

from __future__ import annotations

from .pocket import Box
from .receptor import Receptor

AROUND = 5.0  # Å beyond the box, so 9 Å beyond the ligand it was drawn around


def pocket_of(receptor: Receptor, box: Box) -> Receptor:
    """The atoms within 5 Å of a box; the rule is the box's, so that it says no more of the ligand than the box does."""
    return receptor.select(receptor.near_box(box.low, box.high, AROUND))
