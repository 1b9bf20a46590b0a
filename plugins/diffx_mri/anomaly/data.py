"""What training reads: healthy slices that were made ill, and what has to be taken away to heal them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from diffx.data import assign, cache_key
from diffx.errors import DataError, UsageError
from diffx.io.cache import cache_path
from diffx.noise import derive

from ..bids import tables_of
from ..contrast import Contrast, find_contrast
from ..packed_once import packed_once
from .augment import Strength, moved, other_mask, rescanned, thicker
from .config import PLUGIN, AnomalyConfig
from .lesions import LOOKS, Blobs, Shapes, insert, smooth_noise
from .pack import FORMAT, STEPS, Slices, pack, read_slices
from .stack import BRIGHTEST, GRIDS
from .strip import compact

ROUNDS = 1000  # versions of every slice in one epoch
_VALIDATED = 64
_CENTRE, _WIDTH = 0.5, 0.7
_SHOWS = 0.04  # of the brain's median: a smaller change of intensity, over 2 mm or so, cannot be seen


def seen(slices: np.ndarray) -> np.ndarray:
    """Normalised intensity as the network sees it: about zero mean and unit variance."""
    return (slices - _CENTRE) / _WIDTH


def unseen(state: np.ndarray) -> np.ndarray:
    """Inverse of :func:`seen`."""
    return state * _WIDTH + _CENTRE


class Made:
    """Items ``{"x": [2, 128, 128], "source": [3, 128, 128]}``, each a function of (seed, its number).

    ``source`` is a slice that was made ill between its neighbours, as :func:`seen`, NaN beyond the ends of the scan.
    ``x`` is what the illness changed in its intensity, and where it lies, 1 in a made lesion and 0 elsewhere.
    For "train" every healthy slice in many versions, for "val" 64 of them.

    Args:
        slices: packed.
        split: "train" or "val".
        shapes: of the lesions; blobs take turns with them.
        method: "diffusion" and "regression" put in lesions and weak coarse noise; "autoencoder" strong coarse noise
            alone (Kascenas et al. 2022).
        seed: of everything random.
    """

    def __init__(self, slices: Slices, split: str, shapes: Shapes | Blobs, method: str = "diffusion", seed: int = 0):
        self.slices, self.split, self.shapes, self.method, self.seed = slices, split, shapes, method, seed
        self.strength, self.look = Strength(), LOOKS[slices.contrast]
        self.gap = GRIDS[slices.contrast].gap
        rows = slices.select(split)
        self.places = [(row, k) for row in rows for k in (*row["healthy"], *row["whole"])]  # brains twice

    def __len__(self) -> int:
        return len(self.places) * ROUNDS if self.split == "train" else min(_VALIDATED, len(self.places))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.made(index)[0]

    def made(self, index: int) -> tuple[dict[str, Any], np.ndarray]:
        """An item, and where its brain is, bool [128, 128]; nowhere where that is not known."""
        spread = 1 if self.split == "train" else max(1, len(self.places) // _VALIDATED)
        row, k = self.places[index * spread % len(self.places)]
        rng = np.random.default_rng(derive(self.seed, self.split, index))
        healthy, brain, gaps, known = self.healthy(rng, row, k)
        ill, lesion = self.fall_ill(rng, healthy, brain, gaps)
        source = np.where(known[:, None, None], seen(ill), np.nan)
        x = np.stack([ill[1] - healthy[1], lesion])
        return {"x": torch.from_numpy(x).float(), "source": torch.from_numpy(source).float()}, brain[1]

    def healthy(
        self, rng: np.random.Generator, row: dict[str, Any], k: int
    ) -> tuple[np.ndarray, np.ndarray, tuple[float, ...], np.ndarray]:
        """A slice between its neighbours [3, 128, 128] as some scanner may show it.

        Returns:
            intensity, and brain, where it is known; where the slices lie, in mm from the middle one; which there are.
        """
        slices, brain, gap, known = thicker(rng, *self.slices.stored(row), k, row["thickness"], self.gap)
        slices = slices / STEPS
        slices, brain = moved(rng, slices, brain, self.strength)
        kept = slices > 0 if row["stripped"] else np.ones_like(brain)  # what was cut away stays black
        if not (row["stripped"] or compact(brain[1])):
            brain = np.zeros_like(brain)
        elif not row["stripped"] and rng.random() < self.strength.stripped:
            brain = kept = other_mask(rng, brain)
        slices = rescanned(rng, slices * kept, self.strength) * kept
        return slices, brain, (-gap, 0.0, gap), known

    def fall_ill(
        self, rng: np.random.Generator, healthy: np.ndarray, brain: np.ndarray, gaps: tuple[float, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slices [3, 128, 128] with lesions and coarse noise, and the lesions' mask in the middle one, 0 or 1.

        Only what shows counts as lesion: a dark one in a ventricle looks like a ventricle, and is not to be learnt.
        """
        ill, share = healthy, np.zeros_like(healthy)
        if self.method == "autoencoder":
            noise = rng.uniform(0.05, 0.35) * smooth_noise(rng, 8.0)
            return np.clip(healthy + noise * (healthy > 0.1), 0, BRIGHTEST), share[1]
        if brain[1].any():
            number = int(rng.choice([0, 1, 1, 1, 2, 3, 6, 12]))
            for _ in range(number):
                shapes = self.shapes if rng.random() < 0.5 else Blobs()
                ill, more = insert(rng, ill, brain, shapes, self.look, gaps, scale=1.0 if number < 6 else 0.5)
                share = np.maximum(share, more)
        shows = np.abs(ndimage.gaussian_filter(ill[1] - healthy[1], 1.0)) > _SHOWS
        if rng.random() < 0.5:
            noise = rng.uniform(0.02, 0.1) * smooth_noise(rng, rng.uniform(6.0, 16.0))
            ill = np.clip(ill + noise * (healthy > 0.1), 0, BRIGHTEST)
        return ill, ((share[1] > 0.4) & shows).astype(np.float32)


def prepare(
    cfg: AnomalyConfig,
    log: Callable[[str], None] = lambda text: None,
    fail: Callable[[str, str], None] = lambda item, reason: None,
) -> Slices:
    """The slices of ``data.root``, packed now unless that was done before. Raises DataError, UsageError."""
    contrast = cfg.contrast or "FLAIR"
    if contrast not in GRIDS:
        raise UsageError(f"contrast={contrast}: {', '.join(GRIDS)}")
    slices, file = packed_once(
        cfg.data.root,
        partial(packed_file, cfg, contrast),
        lambda root, file: pack(root, file, contrast, log, fail),
        read_slices,
        log,
        fail,
    )
    if slices.contrast != contrast:
        raise DataError(f"{file} holds {slices.contrast}, not {contrast}; say so with contrast=")
    assign(slices.rows, cfg.data.split, cfg.seed)
    return slices


def packed_file(cfg: AnomalyConfig, contrast: str, root: Path) -> Path:
    """Where the packed slices of this folder lie."""
    paths = find_contrast(root, Contrast.of(contrast)).values()
    key = cache_key(FORMAT, str(GRIDS[contrast]), files=[*paths, *tables_of(root)])
    return cache_path(cfg.data.cache, f"{key}.safetensors", plugin=PLUGIN)
