"""What a stage is: from which voxels to which, and how its training crops are made."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = 2.0  # mm, of the posed scans that all stages learn from


@dataclass(frozen=True)
class Stage:
    """A stage that halves the edge of a voxel.

    Args:
        spacing: edge of the voxels it draws, mm; the coarse ones are twice as wide.
        margin: voxels of its own by which a crop may reach beyond the brain.
        deform: whether crops are seen through small deformations. At 8 mm a hundred brains are few, and interpolation
            blurs nothing that can be seen there.
    """

    spacing: float
    margin: int = 4
    deform: bool = False

    @property
    def pool(self) -> int:
        """Source voxels along the edge of one of its own."""
        return round(self.spacing / SOURCE)


STAGES = {
    "16to8": Stage(8.0, margin=1, deform=True),
    "8to4": Stage(4.0),
    "4to2": Stage(2.0),
}
