"""Made lesions: shapes, of real masks or drawn from noise, and how they look in a slice and its neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from diffx.data import cache_key
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError
from diffx.io.cache import cache_path
from diffx.noise import derive

from ..volume import load
from .stack import BRIGHTEST

SIZE, SPACING = 128, 2.0
_FORMAT = "lesion shapes 1"
_LARGEST = 60  # of 2 mm: shapes beyond 12 cm are no lesion but a mistake


@dataclass(frozen=True)
class Look:
    """How lesions of a contrast look beside healthy tissue, which is about 1.

    Args:
        bright: share that is brighter than the tissue.
        high: least and largest intensity of the bright ones.
        low: of the dark ones.
    """

    bright: float
    high: tuple[float, float]
    low: tuple[float, float]


LOOKS = {"FLAIR": Look(0.92, (1.2, 2.4), (0.15, 0.7)), "T1w": Look(0.2, (1.15, 1.9), (0.15, 0.85))}


class Shapes:
    """Masks of lesions [Z, X, Y], uint8, on 2 mm. Made by :meth:`read`.

    Args:
        masks: of single lesions, each cut to its bounding box.
    """

    def __init__(self, masks: Sequence[np.ndarray]):
        self.masks = [torch.from_numpy(np.ascontiguousarray(mask)) for mask in masks]
        weight = np.sqrt([float(mask.sum()) for mask in masks])  # large ones are rare, and take more to learn
        self.chance = weight / weight.sum()

    @classmethod
    def read(
        cls, folder: str | Path, part: str = "train", cache: str | None = None,
        log: Callable[[str], None] = lambda text: None,
    ) -> Shapes:  # fmt: skip
        """The connected parts of every NIfTI mask below a folder; kept in a cache.

        Args:
            folder: of masks, of any grid.
            part: "train" or "val", as :func:`kept_from_training` says.
            cache: where; None: the user's cache folder.
            log: is told of files that cannot be read.

        Raises:
            DataError: no folder, or no mask in it.
        """
        files = sorted(path for path in Path(folder).rglob("*.nii*") if path.is_file())
        file = cache_path(cache, f"{cache_key(_FORMAT, files=files)}.safetensors", plugin="mri_anomaly")
        if not file.is_file():
            _pack(files, file, log)
        found = read_arrays(file, _FORMAT)
        flat, index = found.arrays["masks"].numpy(), found.index["shapes"]
        masks = [
            flat[one["first"] : one["first"] + math.prod(one["shape"])].reshape(one["shape"])
            for one in index
            if kept_from_training(one["name"]) == (part != "train")
        ]
        if not masks:
            raise DataError(f"{folder}: no lesion mask (*.nii, *.nii.gz) to take shapes from")
        return cls(masks)

    def draw(self, rng: np.random.Generator, gaps: Sequence[float], scale: float = 1.0) -> np.ndarray:
        """One shape about the middle of slices [len(gaps), 128, 128], 0 to 1, turned, scaled, sometimes melted.

        gaps: where the slices lie, in mm from the middle one.
        """
        mask = self.masks[rng.choice(len(self.masks), p=self.chance)]
        zoom = scale * math.exp(rng.normal(0.1, 0.45))
        layers = np.flatnonzero(mask.numpy().any((1, 2)))
        at = float(rng.choice(layers))
        angle = rng.uniform(0, 2 * math.pi)
        field = _cut(mask.float(), at, angle, zoom, rng.random() < 0.5, gaps)
        if rng.random() < 0.5:  # melted: its outline forgets the voxels of the mask
            soft = ndimage.gaussian_filter(field, (0, *[rng.uniform(1.0, 3.0)] * 2))
            field = np.clip((soft - rng.uniform(0.2, 0.5)) * 6 + 0.5, 0, 1) if soft.max() > 0.3 else field
        return field


class Blobs:
    """Shapes that are one to three ellipsoids with an uneven surface, 4 to 70 mm across, small ones most often."""

    def draw(self, rng: np.random.Generator, gaps: Sequence[float], scale: float = 1.0) -> np.ndarray:
        """As of :class:`Shapes`."""
        radius = scale * math.exp(rng.uniform(math.log(1.0), math.log(18.0)))  # pixels
        x, y = np.meshgrid(np.arange(SIZE) - SIZE / 2, np.arange(SIZE) - SIZE / 2, indexing="ij")
        uneven = rng.uniform(0.1, 0.5) * smooth_noise(rng, max(radius / 1.5, 1.0), len(gaps))
        out = np.zeros((len(gaps), SIZE, SIZE), np.float32)
        for _ in range(rng.choice([1, 1, 2, 3])):
            centre = rng.normal(0, 0.5 * radius, 3)
            angle, stretch = rng.uniform(0, math.pi), math.exp(rng.normal(0, 0.35))
            along = (x - centre[0]) * math.cos(angle) + (y - centre[1]) * math.sin(angle)
            across = -(x - centre[0]) * math.sin(angle) + (y - centre[1]) * math.cos(angle)
            plane = (along / (radius * stretch)) ** 2 + (across * stretch / radius) ** 2
            depth = ((np.array(gaps) / SPACING - 0.5 * centre[2]) / radius) ** 2
            inside = 1 - np.sqrt(plane + depth[:, None, None]) + uneven
            out = np.maximum(out, np.clip(inside * radius + 0.5, 0, 1))
        return out.astype(np.float32)


def kept_from_training(name: str) -> bool:
    """Whether the shapes in a file of masks are for evaluation alone: a quarter of the files, by their names."""
    return derive("shape", name) % 4 == 0


def smooth_noise(rng: np.random.Generator, width: float, count: int = 1) -> np.ndarray:
    """Noise [count, 128, 128] of unit deviation, roughly, whose grains are ``width`` pixels wide."""
    nodes = max(3, math.ceil(SIZE / max(width, 1.0)) + 3)
    coarse = torch.from_numpy(rng.standard_normal((1, count, nodes, nodes)).astype(np.float32))
    size = int(nodes * max(width, 1.0)) + 1
    fine = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)[0]
    first = rng.integers(0, max(size - SIZE, 0) + 1, 2)
    return fine[:, first[0] : first[0] + SIZE, first[1] : first[1] + SIZE].numpy() * 1.5


def insert(
    rng: np.random.Generator,
    slices: np.ndarray,
    brain: np.ndarray,
    shapes: Shapes | Blobs,
    look: Look,
    gaps: Sequence[float],
    scale: float = 1.0,
    contrast: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A lesion put into slices about a random place of the brain.

    Args:
        rng: decides everything.
        slices: [n, 128, 128], a slice with its neighbours; the middle one counts.
        brain: bool, alike: where a lesion may lie.
        shapes: what lesions are shaped like.
        look: of the contrast.
        gaps: where the slices lie, in mm from the middle one.
        scale: multiplies the size.
        contrast: intensity beside the tissue; None: drawn from ``look``.

    Returns:
        the slices with the lesion, and how much of each voxel it is, 0 to 1.
    """
    middle = len(slices) // 2
    places = np.argwhere(brain[middle])
    if not len(places):
        return slices, np.zeros_like(slices)
    centre = places[rng.integers(len(places))]
    share = _moved(shapes.draw(rng, gaps, scale), centre)
    share = ndimage.gaussian_filter(share, (0, *[math.exp(rng.uniform(math.log(0.3), math.log(2.0)))] * 2))
    share *= brain
    if rng.random() < 0.6:  # it grows in tissue, not in the fluid beside it
        share *= np.clip(slices * 4 - 1.4, 0, 1)
    if contrast is None:
        bright = rng.random() < look.bright
        low, high = look.high if bright else look.low
        contrast = math.exp(rng.uniform(math.log(low), math.log(high)))
    made = _textured(rng, slices, share, contrast)
    return slices + share * (made - slices), share


def _textured(rng: np.random.Generator, slices: np.ndarray, share: np.ndarray, contrast: float) -> np.ndarray:
    """The lesion's own intensity [n, 128, 128]."""
    texture = 1 + rng.uniform(0, 0.25) * smooth_noise(rng, rng.uniform(1.5, 8), len(slices))
    if rng.random() < 0.5:  # mixed with the tissue it lies in
        keep = rng.uniform(0, 0.6)
        made = (keep * slices + (1 - keep) * contrast) * texture
    else:  # added to it
        made = slices + (contrast - 1) * rng.uniform(0.7, 1.2) * texture
    if contrast > 1 and rng.random() < 0.25 and share[len(share) // 2].sum() > 60:  # a core, dark or as the tissue
        inside = ndimage.gaussian_filter(share, (0, 3, 3))
        core = np.clip((inside - rng.uniform(0.6, 0.9)) * 8, 0, 1)
        made = made + core * (rng.uniform(0.2, 1.1) - made)
    return np.clip(made, 0, BRIGHTEST)


def _cut(mask: torch.Tensor, at: float, angle: float, zoom: float, mirrored: bool, gaps: Sequence[float]) -> np.ndarray:
    """Planes [len(gaps), 128, 128] through a mask [Z, X, Y] about its middle, turned by ``angle``, ``zoom`` larger."""
    half = torch.arange(SIZE) - SIZE / 2
    x, y = torch.meshgrid(half, half, indexing="ij")
    u = (x * math.cos(angle) - y * math.sin(angle)) / zoom * (-1 if mirrored else 1)
    v = (x * math.sin(angle) + y * math.cos(angle)) / zoom
    depth, *sides = mask.shape
    w = at + torch.tensor(list(gaps)) / SPACING / zoom
    place = torch.stack(
        [
            (2 * v / sides[1]).expand(len(gaps), SIZE, SIZE),
            (2 * u / sides[0]).expand(len(gaps), SIZE, SIZE),
            ((2 * w + 1) / depth - 1)[:, None, None].expand(len(gaps), SIZE, SIZE).float(),
        ],
        -1,
    )
    return F.grid_sample(mask[None, None], place[None].float(), align_corners=False)[0, 0].numpy()


def _moved(field: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """A field about the middle [n, 128, 128] about another pixel; what leaves the image is lost."""
    out = np.zeros_like(field)
    shift = [int(c) - SIZE // 2 for c in centre]
    to = tuple(slice(max(s, 0), SIZE + min(s, 0)) for s in shift)
    start = tuple(slice(max(-s, 0), SIZE + min(-s, 0)) for s in shift)
    out[:, to[0], to[1]] = field[:, start[0], start[1]]
    return out


def _pack(files: Sequence[Path], file: Path, log: Callable[[str], None]) -> None:
    masks: list[np.ndarray] = []
    index: list[dict] = []
    first = 0
    for path in files:
        try:
            volume = load(path)
        except DataError as error:
            log(str(error))
            continue
        inside = ndimage.zoom((volume.data > 0.5).astype(np.float32), volume.spacing / SPACING, order=1) > 0.5
        parts, _ = ndimage.label(inside)
        for number, box in enumerate(ndimage.find_objects(parts), 1):
            part = parts[box] == number
            if part.sum() >= 4 and max(part.shape) <= _LARGEST:
                mask = np.moveaxis(part, 2, 0).astype(np.uint8)
                masks.append(mask.ravel())
                index.append({"name": path.name, "shape": list(mask.shape), "first": first})
                first += mask.size
    if not masks:
        raise DataError("none of the files holds a lesion mask")
    pack_arrays(file, _FORMAT, {"masks": torch.from_numpy(np.concatenate(masks))}, {"shapes": index})
