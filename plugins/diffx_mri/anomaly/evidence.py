"""What speaks for a lesion in a voxel, and how much each of it is worth."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

FEATURES = ("lesion", "brighter", "darker", "bright")
_FLOOR = 0.002  # of a probability, before its log-odds are taken
_FLUID = 0.6  # of the brain's median: darker is no tissue
_NEAR = 4.0  # pixels, standard deviation of what is around
_CEILING = 1.5  # of differences in intensity, in units of the brain's median: a brighter voxel is as ill as that


# What the features are worth beside each other, in heads with their skull and in brains without. A logistic regression
# on made lesions would trust the network alone, on scanners where it is wrong; docs/experiments tells.
WORTH = {
    "FLAIR": ((1.0, 0.0, 0.0, 0.0), (0.45, 0.0, 0.0, 4.0)),
    "T1w": ((1.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)),
}


@dataclass(frozen=True)
class Evidence:
    """How the features of :func:`features` add up to log-odds; none of them ever speaks for health.

    Args:
        weights: float32 [2, len(FEATURES) + 1]: of scans with their skull, and of brains without; the last is the bias.
    """

    weights: np.ndarray = field(default_factory=lambda: np.array([[*one, -6.0] for one in WORTH["FLAIR"]], np.float32))

    def odds(self, features: np.ndarray, stripped: bool) -> np.ndarray:
        """Log-odds [...] of features [len(FEATURES), ...]."""
        *each, bias = self.weights[int(stripped)]
        return np.tensordot(np.array(each, np.float32), features, 1) + bias


def brightness(slices: np.ndarray) -> np.ndarray:
    """How much brighter than the brain's median each voxel of slices [Z, X, Y] is, where there is tissue all around.

    Beside fluid and at the surface healthy cortex is bright, too: what lies there counts less, down to nothing.
    """
    dark = ndimage.gaussian_filter((slices < _FLUID).astype(np.float32), (0, _NEAR, _NEAR))
    return np.clip(slices - 1, 0, None) * np.clip(1 - 3 * dark, 0, 1)


def features(probability: np.ndarray, difference: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """What speaks for a lesion, [len(FEATURES), ...], each growing with it.

    Args:
        probability: of a lesion, drawn.
        difference: of the scan to its healthy images, in units of the brain's median.
        bright: :func:`brightness` of the scan, in the same unit.
    """
    p = np.clip(probability, _FLOOR, 1 - _FLOOR)
    return np.stack(
        [
            np.log(p / (1 - p)) - np.log(_FLOOR / (1 - _FLOOR)),
            np.clip(difference, 0, _CEILING),
            np.clip(-difference, 0, _CEILING),
            np.clip(bright, 0, _CEILING),
        ]
    ).astype(np.float32)
