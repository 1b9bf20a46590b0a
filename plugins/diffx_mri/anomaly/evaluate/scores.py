"""What is counted of one scan whose lesions are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..calibrate import clear_of
from ..components import components, marked
from ..face import Maps
from .ranking import Ranked

OWN = "mri_anomaly"
INTENSITY = "intensity"


@dataclass(frozen=True)
class Found:
    """A true lesion: its ``volume`` in ml, and its ``dice`` with the marked regions that touch it; 0 is missed."""

    volume: float
    dice: float


@dataclass(frozen=True)
class Counted:
    """What is counted of a scan.

    ``ranked``: voxels by score, of each method, over the whole head or brain; ``true``, ``marked`` and ``both``: ill
    voxels, voxels of the mask, and those that are both; ``healthy`` and ``healthy_marked``: voxels of lesion-free
    slices, and those of the mask among them; ``lesions``; ``false_lesions``: regions of the mask that touch none;
    ``strict``: lesions and false ones of the mask at a rate of false lesions, where that is known.
    """

    ranked: Mapping[str, Ranked]
    true: int
    marked: int
    both: int
    voxels: int
    healthy: int
    healthy_marked: int
    lesions: list[Found]
    false_lesions: int
    strict: tuple[list[Found], int] | None = None

    @property
    def dice(self) -> float:
        """Of the mask as it is written."""
        return 2 * self.both / (self.marked + self.true) if self.marked + self.true else 1.0


def count(
    maps: Maps,
    mask: np.ndarray,
    truth: np.ndarray,
    least: int,
    others: Mapping[str, np.ndarray],
    contrast: str,
    strict: float | None = None,
) -> Counted:
    """Counts of a scan.

    Args:
        maps: of the scan.
        mask: what is marked, bool [X, Y, Z].
        truth: lesion mask, bool [X, Y, Z]. What lies outside the region of the maps is counted as missed.
        least: voxels of the smallest true lesion that is counted as one.
        others: scores [X, Y, Z] of other methods, on any scale.
        contrast: whose lesions are bright (FLAIR), or may be dark as well.
        strict: the threshold of a rate of false lesions.
    """
    domain = maps.region | truth
    scores = {OWN: odds(maps.anomaly), INTENSITY: intensity(maps, contrast), **others}
    clear = maps.region & clear_of(truth, float(maps.scan.spacing[2]))
    lesions, false = found_lesions(mask, truth, maps.scan.spacing, least)
    sure = None if strict is None else marked(maps.anomaly, strict, least)
    return Counted(
        {name: Ranked.of(values[domain], truth[domain]) for name, values in scores.items()},
        int(truth.sum()),
        int(mask.sum()),
        int((mask & truth).sum()),
        int(domain.sum()),
        int(clear.sum()),
        int((mask & clear).sum()),
        lesions,
        false,
        None if sure is None else found_lesions(sure, truth, maps.scan.spacing, least),
    )


def odds(score: np.ndarray) -> np.ndarray:
    """p / (1 - p): the same order, told apart near 1 as finely as near 0."""
    return score / (1 - score)


def of_odds(value: float) -> float:
    """The score of odds."""
    return value / (1 + value)


def intensity(maps: Maps, contrast: str) -> np.ndarray:
    """The trivial score [X, Y, Z]: standard deviations from the mean of the region; in FLAIR brighter is worse, in
    other contrasts either way is. The lowest score outside the region."""
    inside = maps.scan.data[maps.region]
    z = (maps.scan.data - inside.mean()) / max(float(inside.std()), 1e-12)
    z = z if contrast == "FLAIR" else np.abs(z)
    return np.where(maps.region, z, z[maps.region].min())


def found_lesions(mask: np.ndarray, truth: np.ndarray, spacing: np.ndarray, least: int) -> tuple[list[Found], int]:
    """Each true lesion of at least so many voxels with its Dice, and how many marked regions touch no true voxel.

    A lesion is compared with all of the marked regions that touch it.
    """
    parts, sizes = components(truth, least)
    regions, areas = components(mask)
    found = []
    for k, size in enumerate(sizes, 1):
        touching = np.unique(regions[parts == k])
        touching = touching[touching > 0]
        if not touching.size:
            found.append(Found(float(size * np.prod(spacing) / 1000), 0.0))
            continue
        area = int(areas[touching - 1].sum())
        both = int(((parts == k) & np.isin(regions, touching)).sum())
        found.append(Found(float(size * np.prod(spacing) / 1000), 2 * both / (area + int(size))))
    hit = np.unique(regions[truth])
    return found, len(areas) - int((hit > 0).sum())
