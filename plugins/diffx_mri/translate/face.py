"""Translation for a notebook or a script; the command line calls the same methods.

from diffx_mri import Translator
result = Translator.load().translate("sub-01_FLAIR.nii.gz", source="FLAIR", target="T1ce")
result.image, result.uncertainty   # nibabel images on the voxels of the scan
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from diffx.data import Brief
from diffx.errors import DataError, UsageError
from diffx.io.checkpoint import under
from diffx.pipeline import Pipeline

from ..contrast import Contrast, check_known
from ..slice_net import Regression
from ..slices import SliceGrid
from ..stored import Stored
from ..volume import Source, opened
from .config import PLUGIN, WEIGHTS, SliceSampling
from .data import grid_of
from .intensity import from_state, normalise
from .mean_model import MeanModel, Stack
from .sampling import ResidualSampler
from .uncertainty import ESTIMATES, estimated, spread_of


@dataclass(frozen=True, repr=False)
class Translation(Brief):
    """A synthesised contrast, on the voxels of its source.

    ``image``: what was estimated, in units of the robust mean of a head; ``uncertainty``: the samples' standard
    deviation about each voxel, in the same units, None of a single sample; ``source``, ``estimate`` and ``spread``
    [Z, size, size] and ``samples`` [n, Z, size, size]: these, normalised, on the grid of the network; ``seconds`` it
    took.
    """

    image: nib.Nifti1Image
    uncertainty: nib.Nifti1Image | None
    source: np.ndarray
    estimate: np.ndarray
    spread: np.ndarray | None
    samples: np.ndarray
    seconds: float


class Translator:
    """A trained model of contrasts given another; made by :meth:`load`.

    ``regressor`` says what is expected, ``residual`` draws what may differ from it. Weights of a regression alone have
    no such model: there is one answer then, and no uncertainty.
    """

    def __init__(self, regressor: MeanModel, meta: Mapping[str, Any], residual: ResidualSampler | None = None):
        self.regressor, self.residual, self.meta = regressor, residual, meta
        self.config = residual.pipeline.config if residual else regressor.config
        self.contrasts = [Contrast.of(name).name for name in self.config.data.contrasts]

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        device: str = "auto",
        extensions: Sequence[str] = (),
        say: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=4),
    ) -> Translator:
        """Shipped weights, or those of an id, a file or a run folder; extensions bring further samplers and networks.

        say: is told the licence of the weights, once in a process.

        Raises:
            DataError: missing, damaged or foreign weights.
        """
        pipeline = Pipeline.load(source or WEIGHTS, device, plugin=PLUGIN, extensions=extensions)
        path, meta, extra = pipeline.path, pipeline.meta, pipeline.extra
        if any(f"quantiles.{Contrast.of(name).name}" not in extra for name in pipeline.config.data.contrasts):
            raise DataError(f"{path} has no intensities of its contrasts; train with task=train of {PLUGIN}")
        pipeline.announce(say, source or WEIGHTS)
        quantiles = {name: values.numpy() for name, values in under(extra, "quantiles").items()}
        facts = {**meta, "licence": pipeline.licence, "quantiles": quantiles}
        if isinstance(pipeline.process, Regression):
            return cls(MeanModel(pipeline), facts)
        if "regression" not in meta:
            raise DataError(
                f"{path} lacks the regression that its diffusion corrects; train with task=train of {PLUGIN}"
            )
        assert path is not None
        regressor = MeanModel.from_tensors(under(extra, "regression"), meta["regression"], path, device)
        return cls(regressor, facts, ResidualSampler(pipeline, float(extra["spread"])))

    @property
    def licence(self) -> str:
        """What the weights may be used for; "" where nobody stated it."""
        return self.meta["licence"]

    @property
    def quantiles(self) -> Mapping[str, np.ndarray]:
        """Of each contrast [101]: the mean distribution in the heads of the training set."""
        return self.meta["quantiles"]

    @property
    def grid(self) -> SliceGrid:
        """The slices that the network sees."""
        return grid_of(self.config)

    def check(self, source: str, target: str) -> tuple[str, str]:
        """The names of both contrasts as the weights know them. UsageError where they do not, or where both are one."""
        return check_known(source, target, self.contrasts)

    def translate(
        self,
        scan: Source,
        source: str,
        target: str,
        n: int = 8,
        seed: int = 0,
        estimate: str = "regression",
        **options: Any,
    ) -> Translation:
        """The contrast ``target`` of the head that a NIfTI file, or an image at hand, shows in the contrast ``source``.

        Args:
            scan: path or nibabel image; any orientation and voxel size.
            n: samples; their spread is the uncertainty. n=1 of estimate="regression" draws none and takes a tenth of
                the time.
            seed: sample i has seed + i, in all slices of the volume, so that neighbouring slices go together.
            estimate: "regression", what is expected of the scan; "mean" or "median" of the samples.
            options: steps, sampler, grid, eta, batch, as ``sample.*`` on the command line.

        Raises:
            UsageError: contrasts the weights do not know, an unknown sampler.
            DataError: a file that cannot be used.
        """
        began = time.perf_counter()
        given, wanted = self.check(source, target)
        stored = Stored.read(scan)
        try:
            slices, mask, _ = normalise(self.grid.slices(stored.volume))
        except DataError as error:
            raise DataError(f"{opened(scan)[1]}: {error}") from None
        stack = Stack(slices, mask, float(stored.volume.spacing[2]))
        if estimate not in ESTIMATES:
            raise UsageError(f"estimate={estimate}: {', '.join(ESTIMATES)}")
        needed = 0 if n == 1 and estimate == "regression" else n  # nothing would be made of a single one
        drawn, expected = self.draw(stack, given, wanted, needed, seed, replace(SliceSampling(), **options))
        middle, spread = estimated(drawn, expected, estimate), spread_of(drawn)

        def placed(values: np.ndarray, what: str) -> nib.Nifti1Image:
            return stored.image(self.grid.back(values, stored.volume), f"diffx {what} {wanted} of {given}")

        uncertainty = None if spread is None else placed(spread, "SD of synthetic")
        image, took = placed(middle, "synthetic"), time.perf_counter() - began
        return Translation(image, uncertainty, slices, middle, spread, drawn, took)

    def draw(
        self, stack: Stack, given: str, wanted: str, n: int, seed: int, options: SliceSampling
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples [n, Z, size, size] of a scan's slices, normalised, and what the regression expects [Z, size, size].

        Slices without head stay black. Where nothing is drawn, the regression's answer is the one sample: for n = 0,
        and with weights of a regression alone.
        """
        expected = self.regressor(stack, self.grid, given, wanted, options.batch)
        if self.residual is None or not n:
            return from_state(expected)[None], from_state(expected)
        return from_state(self.residual.draw(stack, expected, given, wanted, n, seed, options)), from_state(expected)
