"""Anomaly detection for a notebook or a script; the command line calls the same methods.

from diffx_mri import AnomalyDetector
found = AnomalyDetector.load("flair").detect("patient_FLAIR.nii.gz", fpr=0.005)
found.anomaly, found.mask, found.healthy, found.certainty   # nibabel images on the voxels of the scan
found.lesions                                               # volume, place, scores and certainty of each
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from diffx.data import Brief
from diffx.errors import DataError, UsageError

from ..overlay import Say, on_grid, warn
from ..stored import Stored
from ..volume import Source, Volume, opened
from . import calibrate
from .calibrate import Thresholds
from .components import Lesion, lesions, marked, voxels_of
from .config import WEIGHTS
from .inputs import weights_for
from .model import HealthyModel
from .score import Settings, score
from .stack import Stack

_SUREST = 1 - 1e-6  # score: beyond it odds mean nothing
_LARGEST = 400.0  # mm, the field of view of a head scan; a body is longer
_DRAWN = 2  # healthy images where no thresholds say how many: of the scan and of its mirror image
_LEAST = 60.0  # mm: less shows no brain


@dataclass(frozen=True, repr=False)
class Maps(Brief):
    """What a model says of a scan, on the scan's voxels in RAS order, [X, Y, Z] each.

    ``scan``: as it was read; ``anomaly``: score from 0 to less than 1, 0 outside the region; ``certainty``: share of
    the drawn healthy images that find something there, 0 to 1; ``healthy``: the pseudo-healthy image, in the scan's
    intensities and as sharp as the scan, from which only what was drawn as changed is taken; ``region``: bool, the
    head or the brain, in which anomalies are looked for; ``stripped``: whether the skull is off; ``seconds`` it took.
    """

    scan: Volume
    anomaly: np.ndarray
    certainty: np.ndarray
    healthy: np.ndarray
    region: np.ndarray
    stripped: bool
    seconds: float


@dataclass(frozen=True, repr=False)
class Detection(Brief):
    """What is not healthy in a scan, on the scan's voxels and in its space.

    ``anomaly``, ``mask`` (0 and 1), ``healthy``, ``certainty``: nibabel images with the geometry of the scan's header;
    ``lesions``: the regions of the mask, the largest first; ``threshold`` of the mask, the share ``fpr`` of healthy
    voxels that it marks and the ``false_lesions`` that it shows in a healthy scan; ``maps``: the arrays behind it.
    """

    anomaly: nib.Nifti1Image
    mask: nib.Nifti1Image
    healthy: nib.Nifti1Image
    certainty: nib.Nifti1Image
    lesions: list[Lesion]
    threshold: float
    fpr: float
    false_lesions: float
    maps: Maps
    marked: np.ndarray


class AnomalyDetector:
    """A model of healthy scans of one contrast, and thresholds from healthy scans; made by :meth:`load`."""

    def __init__(self, model: HealthyModel, calibration: Thresholds | None = None):
        self.model, self.calibration, self.contrast = model, calibration, model.contrast

    @classmethod
    def load(
        cls,
        source: str | Path = "flair",
        device: str = "auto",
        extensions: Sequence[str] = (),
        calibration: str | Path | None = None,
        say: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=4),
    ) -> AnomalyDetector:
        """The shipped weights of a contrast, or those of an id, a file or a run folder.

        Args:
            source: "flair" or "t1w", or what names weights.
            device: "auto", "cpu" or "cuda".
            extensions: plugins that bring further samplers and networks.
            calibration: the file of thresholds that task=calibrate wrote; None: those in the weights.
            say: is told the licence of the weights, once in a process.

        Raises:
            DataError: missing, damaged or foreign weights or thresholds.
        """
        contrast = {name.lower(): name for name in WEIGHTS}.get(str(source).lower())
        reference = weights_for(contrast) if contrast else source
        model = HealthyModel.load(reference, device, extensions=extensions)
        model.pipeline.announce(say, reference)
        if calibration is not None:
            return cls(model, calibrate.read(calibration, model.meta.get("sha256", "")))
        known = model.meta.get("calibration")
        return cls(model, Thresholds.from_json(known) if known else None)

    @property
    def licence(self) -> str:
        """What the weights may be used for; "" where nobody stated it."""
        return self.model.pipeline.licence

    @property
    def samples(self) -> int:
        """Healthy images of a scan that the thresholds were counted with; rates hold for as many."""
        known = self.calibration.known if self.calibration else []
        return next((int(one.made_with["n"]) for one in known if "n" in one.made_with), _DRAWN)

    def threshold(self, fpr: float = 0.005, false_lesions: float | None = None, stripped: bool = False) -> float:
        """The threshold of the anomaly map at a rate of false positives in healthy scans.

        Args:
            fpr: share of the voxels of a healthy head or brain that are marked.
            false_lesions: marked regions in a healthy scan, on average; takes the place of ``fpr``.
            stripped: whether the scan is a brain without its skull.

        Raises:
            UsageError: a rate that the healthy scans cannot tell, or weights without thresholds.
        """
        if self.calibration is None:
            raise UsageError("these weights have no thresholds: run task=calibrate on healthy scans, give calibration=")
        own = self.calibration.of(stripped)
        return own.at(fpr) if false_lesions is None else own.at_lesions(false_lesions)

    def check_rate(self, fpr: float = 0.005, false_lesions: float | None = None) -> None:
        """Raise UsageError for a rate that the healthy scans cannot tell, before anything is read; as :meth:`threshold`
        does, of heads and of brains."""
        for stripped in (False, True):
            self.threshold(fpr, false_lesions, stripped)

    def maps(
        self,
        scan: Volume,
        brain: Volume | None = None,
        n: int | None = None,
        seed: int = 0,
        settings: Settings | None = None,
        vote: Callable[[bool], float] | None = None,
        **options: Any,
    ) -> Maps:
        """The anomaly map of a scan that has been read, without a threshold.

        Args:
            scan: in RAS order.
            brain: mask on the same voxels; None: the whole head is looked at, or the brain where the skull is off.
            n: healthy images that are drawn; None: :attr:`samples`.
            seed: image i has seed + i, in all slices, so that neighbouring slices go together.
            settings: filters of the map.
            vote: from whether the skull is off to the score from which a single draw counts as finding something; None:
                that of the settings.
            options: steps, sampler, grid, eta, batch, as ``sample.*`` on the command line.

        Raises:
            DataError: an image that shows no head.
            UsageError: an unknown sampler.
        """
        began = time.perf_counter()
        check_field(scan)
        stack = Stack.of(scan, brain, self.contrast)
        sampling = replace(self.model.config.sample, **options)
        count = (n or self.samples) if self.model.draws else 1
        drawn = self.model.draw(stack, range(seed, seed + count), sampling)
        settings = settings or Settings()
        found = score(stack, drawn, replace(settings, vote=vote(stack.stripped)) if vote else settings)
        region = stack.restore(stack.region, 0) > 0.5
        return Maps(
            scan,
            np.where(region, np.clip(stack.restore(found.anomaly), 0, _SUREST), 0).astype(np.float32),
            np.where(region, np.clip(stack.restore(found.certainty), 0, 1), 0).astype(np.float32),
            np.maximum(scan.data - stack.restore(found.difference * stack.scale), min(0.0, float(scan.data.min()))),
            region,
            stack.stripped,
            time.perf_counter() - began,
        )

    def detect(
        self,
        scan: Source,
        mask: Source | None = None,
        fpr: float = 0.005,
        false_lesions: float | None = None,
        smallest: float = 0.1,
        n: int | None = None,
        seed: int = 0,
        settings: Settings | None = None,
        say: Say = warn,
        **options: Any,
    ) -> Detection:
        """What is not healthy in a scan: maps, a mask at a rate of false positives, and a table of lesions.

        Args:
            scan: path or nibabel image; any orientation and voxel size, with the skull or without.
            mask: of the brain, on any grid of the scan's space; None: the whole head is looked at, or the brain where
                the skull is off.
            fpr: share of the voxels of a healthy scan that the mask may mark.
            false_lesions: regions that it may mark in a healthy scan, on average; takes the place of ``fpr``.
            smallest: volume in ml below which a marked region is dropped.
            n: healthy images that are drawn, None: :attr:`samples`; the certainty is the share of them that find
                something.
            seed: image i has seed + i.
            settings: filters of the map, as ``score.*`` on the command line.
            say: is told of a mask that has the scan's voxels but by its header lies elsewhere; by default a warning.
            options: steps, sampler, grid, eta, batch, as ``sample.*`` on the command line.

        Raises:
            DataError: a file that cannot be used, or that shows no head.
            UsageError: a rate that the healthy scans cannot tell, an unknown sampler.
        """
        self.check_rate(fpr, false_lesions)
        stored = Stored.read(scan)
        brain = on_grid(mask, stored.volume, say) if mask is not None else None
        try:
            vote = partial(self.threshold, fpr, false_lesions)
            maps = self.maps(stored.volume, brain, n, seed, settings, vote, **options)
        except DataError as error:
            raise DataError(f"{opened(scan)[1]}: {error}") from None
        assert self.calibration is not None
        if lacking := self.calibration.lacks(maps.stripped):
            say(lacking)
        threshold = self.threshold(fpr, false_lesions, maps.stripped)
        where = marked(maps.anomaly, threshold, voxels_of(smallest, maps.scan.spacing))
        rates = self.calibration.of(maps.stripped).rates(threshold)
        return Detection(
            stored.image(maps.anomaly, f"diffx anomaly score of {self.contrast}"),
            stored.image(where, f"diffx anomaly mask, score > {threshold:.4g}", np.uint8),
            stored.image(maps.healthy, f"diffx pseudo-healthy {self.contrast}"),
            stored.image(maps.certainty, "diffx certainty of the anomaly"),
            lesions(maps.anomaly, maps.certainty, where, maps.scan.affine),
            threshold,
            *rates,
            maps,
            where,
        )


def check_field(scan: Volume) -> None:
    """Raises DataError where a field of view is not that of a head."""
    extent = scan.spacing * scan.data.shape
    said = " x ".join(f"{side:.0f}" for side in extent)
    if extent.max() > _LARGEST:
        raise DataError(f"a field of view of {said} mm is that of a body; cut out the head first")
    if extent.min() < _LEAST:
        raise DataError(f"a field of view of {said} mm does not hold a brain")
