"""What a stage is: from which voxels to which, and how its training crops are made."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = 2.0  # mm, of the posed scans that stages learn from, and of what the prior draws


@dataclass(frozen=True)
class Stage:
    """A stage that halves the edge of a voxel.

    Args:
        spacing: edge of the voxels it draws, mm; the coarse ones are twice as wide.
        margin: voxels of its own by which a crop may reach beyond the brain.
        deform: whether crops are seen through small deformations. At 8 mm a hundred brains are few, and interpolation
            blurs nothing that can be seen there.
        source: edge of the voxels of the posed scans it learns from, mm.
        gamma: range of the power by which intensities of crops are changed.
    """

    spacing: float
    margin: int = 4
    deform: bool = False
    source: float = SOURCE
    gamma: tuple[float, float] = (0.93, 1.07)

    @property
    def pool(self) -> int:
        """Source voxels along the edge of one of its own."""
        return round(self.spacing / self.source)


STAGES = {
    "16to8": Stage(8.0, margin=1, deform=True),
    "8to4": Stage(4.0),
    "4to2": Stage(2.0),
    # learned from another scanner, whose grey matter is darker: that of IXI is it to the power 0.78
    "2to1": Stage(1.0, source=1.0, gamma=(0.7, 1.1)),
}
