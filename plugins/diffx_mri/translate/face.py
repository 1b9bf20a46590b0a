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
import torch
from torch import Tensor

from diffx import plugins
from diffx.build import restore
from diffx.errors import DataError, UsageError
from diffx.model import Model
from diffx.noise import Noise
from diffx.process import Gaussian
from diffx.sample import sample as run_plan
from diffx.selfcondition import clean
from diffx.state import each
from diffx.tasks import plan_of, predictor, ready
from diffx.weights import resolve_weights, shipped

from ..stored import Stored
from .config import SliceSampling, TranslateConfig
from .contrast import Contrast
from .data import grid_of
from .grid import SliceGrid, heights
from .intensity import from_state, normalise, to_state
from .native import image_on
from .regression import Regression

PLUGIN = "mri_translate"
WEIGHTS = "mri-translate-lgg"  # shipped with the package
_said: set[str] = set()  # licences this process has been told of


@dataclass(frozen=True)
class Translation:
    """A synthesised contrast, on the voxels of its source.

    ``image``: mean or median of the samples, in units of the robust mean of a head; ``uncertainty``: their standard
    deviation voxel by voxel, in the same units, None of a single sample; ``source`` [Z, size, size] and ``samples``
    [n, Z, size, size], normalised, on the grid of the network; ``seconds`` it took.
    """

    image: nib.Nifti1Image
    uncertainty: nib.Nifti1Image | None
    source: np.ndarray
    samples: np.ndarray
    seconds: float


class Translator:
    """A trained model of contrasts given another; made by :meth:`load`."""

    def __init__(self, model: Model, process: Gaussian, config: TranslateConfig, extra: dict[str, Tensor], meta: dict):
        self.model, self.process, self.config, self.meta = model, process, config, meta
        self.contrasts = [Contrast.of(name).name for name in config.data.contrasts]
        self.quantiles = {name: extra[f"quantiles.{name}"].numpy() for name in self.contrasts}

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        device: str = "auto",
        extensions: Sequence[str] = (),
        say: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=3),
    ) -> Translator:
        """Shipped weights, or those of an id, a file or a run folder; extensions bring further samplers and networks.

        say: is told the licence of the weights, once in a process.

        Raises:
            DataError: missing, damaged or foreign weights.
        """
        path = resolve_weights(source or WEIGHTS, PLUGIN)
        model, process, config, _, extra, meta = restore(plugins.load(PLUGIN, tuple(extensions)), TranslateConfig, path)
        if not all(f"quantiles.{Contrast.of(name).name}" in extra for name in config.data.contrasts):
            raise DataError(f"{path} has no intensities of its contrasts; train with task=train of {PLUGIN}")
        licence = licence_of(path, meta)
        if licence and str(path) not in _said:
            _said.add(str(path))
            say(f"licence of {source or WEIGHTS}: {licence}")
        facts = {**meta, "path": str(path), "licence": licence}
        return cls(model, process, replace(config, device=device), extra, facts)

    @property
    def licence(self) -> str:
        """What the weights may be used for; "" where nobody stated it."""
        return self.meta["licence"]

    @property
    def grid(self) -> SliceGrid:
        """The slices that the network sees."""
        return grid_of(self.config)

    def check(self, source: str, target: str) -> tuple[str, str]:
        """The names of both contrasts as the weights know them. UsageError where they do not, or where both are one."""
        names = tuple(Contrast.of(name).name for name in (source, target))
        for name in names:
            if name not in self.contrasts:
                raise UsageError(f"these weights know {', '.join(self.contrasts)}, not {name}; train on {name} for it")
        if names[0] == names[1]:
            raise UsageError(f"source and target are both {names[0]}")
        return names[0], names[1]

    def translate(
        self,
        scan: str | Path,
        source: str,
        target: str,
        n: int = 8,
        seed: int = 0,
        estimate: str = "mean",
        **options: Any,
    ) -> Translation:
        """The contrast ``target`` of the head that a NIfTI file shows in the contrast ``source``.

        Args:
            scan: the file; any orientation and voxel size.
            n: samples; their spread is the uncertainty. One sample is sharp, their mean is nearest in squared error.
            seed: sample i has seed + i, in all slices of the volume, so that neighbouring slices go together.
            estimate: "mean" or "median" of the samples.
            options: steps, sampler, grid, eta, batch, as ``sample.*`` on the command line.

        Raises:
            UsageError: contrasts the weights do not know, an unknown sampler. DataError: a file that cannot be used.
        """
        began = time.perf_counter()
        given, wanted = self.check(source, target)
        stored = Stored.read(scan)
        try:
            slices, mask, _ = normalise(self.grid.slices(stored.volume))
        except DataError as error:
            raise DataError(f"{scan}: {error}") from None
        thickness = float(stored.volume.spacing[2])
        drawn = self.draw(slices, mask, thickness, given, wanted, n, seed, replace(SliceSampling(), **options))
        middle, spread = summary(drawn, estimate)

        def placed(values: np.ndarray, what: str) -> nib.Nifti1Image:
            return image_on(stored, self.grid.back(values, stored.volume), f"diffx {what} {wanted} of {given}")

        uncertainty = None if spread is None else placed(spread, "SD of synthetic")
        return Translation(placed(middle, "synthetic"), uncertainty, slices, drawn, time.perf_counter() - began)

    def draw(
        self,
        slices: np.ndarray,
        mask: np.ndarray,
        thickness: float,
        given: str,
        wanted: str,
        n: int,
        seed: int,
        options: SliceSampling,
        advance: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Samples [n, Z, size, size] of normalised slices [Z, size, size] with head mask, ``thickness`` mm apart.

        Slices without head are left black. A regression (trained with ``regression=true``) gives n times its answer.
        """
        plan = plan_of(plugins.load(PLUGIN, tuple(self.config.extensions)), self.process, self._with(options))
        device = ready(self.model, self.config.device)
        around = to_state(self.grid.neighbours(slices, thickness))
        where = heights(mask)
        filled = [k for k in range(len(slices)) if mask[k].any()]
        told = {"given": given, "wanted": wanted}
        records = [{"source": image, "height": float(at), **told} for image, at in zip(around, where, strict=True)]
        values = self.model.conditioning.collate(records)
        out = np.zeros((n, *slices.shape), np.float32)
        single = isinstance(self.process, Regression)
        jobs = [(i, k) for i in range(1 if single else n) for k in filled]
        for first in range(0, len(jobs), options.batch):
            part = jobs[first : first + options.batch]
            chosen = [k for _, k in part]
            seen = each(lambda field, chosen=chosen: field[chosen], values)
            predict, condition = predictor(self.model, seen, options.guidance)
            seeds, shape = [seed + i for i, _ in part], (1, *slices.shape[1:])
            if single:
                time_seen = self.process.schedule.t_max
                with torch.no_grad():
                    x = predict(self.process.prior(shape, Noise(seeds, device)), time_seen, condition)
            else:
                x = clean(self.process, run_plan(predict, self.process, plan, shape, seeds, condition, device=device))
            for (i, k), one in zip(part, x[:, 0].float().cpu().numpy(), strict=True):
                out[i, k] = from_state(one)
            advance(len(part))
        if single:
            out[1:] = out[:1]
        return out

    def _with(self, options: SliceSampling) -> TranslateConfig:
        return replace(self.config, sample=options)


def summary(samples: np.ndarray, estimate: str = "mean") -> tuple[np.ndarray, np.ndarray | None]:
    """Mean or median over samples [n, ...], and their standard deviation (n - 1 degrees of freedom); None of one."""
    middle = samples.mean(0) if estimate == "mean" else np.median(samples, 0)
    return middle, samples.std(0, ddof=1) if len(samples) > 1 else None


def licence_of(path: Path, meta: Mapping[str, Any]) -> str:
    """The licence of weights, as the catalogue states it, or else their training data; "" where neither does."""
    return next((w.entry.licence for w in shipped() if w.path == path), "") or meta.get("licence", "")
