"""Pictures of samples by the number of their axes - waves, images, volumes, tables - for plugins that bring none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from diffx.run.figures import GREYS, PALETTE, sheet

__all__ = ["Picture", "gallery", "grey", "window"]

MOST = {"waves": 8, "images": 16, "volumes": 4, "columns": 12}
SMALL = 128  # pixels below which the longest edge is enlarged
GAP = 2  # pixels between two images


class Picture(NamedTuple):
    """What `Report.picture` takes."""

    title: str
    image: Any
    caption: str = ""


def gallery(samples: Any) -> list[Picture]:
    """Pictures of samples [n, C, *S] with at most three axes *S, or of a mapping of such leaves and of columns [n, C].

    Numbers are drawn as waves, images, three planes of a volume or histograms; categories (whole numbers) as bars.
    """
    if isinstance(samples, Mapping):
        return [picture for name, leaf in samples.items() for picture in _of(name, np.asarray(leaf))]
    return list(_of("Samples", np.asarray(samples)))


def grey(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of an image [C, H, W] of 1 or 3 channels, black at low and white at high: [H, W] or [H, W, 3]."""
    scaled = np.nan_to_num((image.astype(np.float64) - low) / max(high - low, 1e-12)).clip(0, 1)
    seen = np.round(255 * scaled).astype(np.uint8)
    return seen[0] if len(seen) == 1 else np.moveaxis(seen, 0, -1)


def window(values: np.ndarray) -> tuple[float, float]:
    """What is shown black and white: the 0.5th and 99.5th percentile of the finite values; (0, 1) without any."""
    finite = values[np.isfinite(values)]
    return (0.0, 1.0) if not finite.size else tuple(np.percentile(finite, (0.5, 99.5)).tolist())  # type: ignore[return-value]


def _of(name: str, values: np.ndarray) -> Iterator[Picture]:
    if values.ndim == 2 or values.dtype.kind in "biu":
        if len(values) > 1:
            yield Picture(name, _columns(values.reshape(len(values), -1)), f"Each value over {len(values)} samples.")
    elif values.ndim == 3:
        yield Picture(name, _waves(values[: MOST["waves"]]))
    elif values.ndim in (4, 5):
        shown = values[: MOST["images" if values.ndim == 4 else "volumes"]]
        low, high = window(shown)
        caption = f"Black is {low:.3g}, white {high:.3g}."
        if values.ndim == 4:
            images = [_planes(one, low, high) for one in shown]
            yield Picture(name, _montage(images, max(1, 4 // len(images[0]))), caption)
        else:
            rows = [[grey(plane[None], low, high) for plane in _middle(one[0])] for one in shown]
            yield Picture(name, _montage(rows, 1), f"The planes through the middle of each volume. {caption}")


def _waves(values: np.ndarray) -> Any:
    """A plot a sample [C, L], a line a channel, all on one scale."""
    n, _, length = values.shape
    with sheet(8.6, 0.5 + 1.1 * ((n + 1) // 2)) as figure:
        axes = figure.subplots((n + 1) // 2, min(n, 2), sharex=True, sharey=True, squeeze=False).ravel()
        for place, one in zip(axes, values, strict=False):
            for number, wave in enumerate(one):
                place.plot(wave, color=PALETTE[number % len(PALETTE)], linewidth=0.9)
            place.set_xlim(0, max(length - 1, 1))
        for place in axes[n:]:
            place.axis("off")
        return figure


def _columns(values: np.ndarray) -> Any:
    """A histogram a column of numbers, bars of how often each category comes."""
    shown = values[:, : MOST["columns"]]
    n, across = shown.shape[1], min(shown.shape[1], 4)
    with sheet(2.15 * across, 1.5 * -(-n // across)) as figure:
        axes = figure.subplots(-(-n // across), across, squeeze=False).ravel()
        for number, (place, column) in enumerate(zip(axes, shown.T, strict=False)):
            finite = column[np.isfinite(column)]
            if values.dtype.kind in "biu":
                kinds, counts = np.unique(finite.astype(int), return_counts=True)
                place.bar(kinds, counts, color=GREYS[2])
            else:
                place.hist(finite, bins=min(30, max(5, len(finite) // 4)), color=PALETTE[0])
            place.set_title(f"{number}")
            place.set_yticks([])
        for place in axes[n:]:
            place.axis("off")
        return figure


def _planes(image: np.ndarray, low: float, high: float) -> list[np.ndarray]:
    """An image [C, H, W] as one of grey or colour, or as C grey ones."""
    return [grey(part, low, high) for part in ([image] if len(image) in (1, 3) else image[:, None])]


def _middle(volume: np.ndarray) -> list[np.ndarray]:
    """The planes [.., ..] across the three axes of [D, H, W], through its middle."""
    return [np.take(volume, volume.shape[axis] // 2, axis) for axis in range(3)]


def _montage(samples: list[list[np.ndarray]], across: int) -> np.ndarray:
    """Samples of images beside each other, `across` of them in a row, on white; small ones enlarged, all alike."""
    times = -(-SMALL // max(max(image.shape[:2]) for image in samples[0]))
    samples = [[image.repeat(times, 0).repeat(times, 1) for image in images] for images in samples]
    colour = any(image.ndim == 3 for images in samples for image in images)
    height = max(image.shape[0] for images in samples for image in images)
    width = max(image.shape[1] for images in samples for image in images)
    rows, columns, each = -(-len(samples) // across), min(across, len(samples)), len(samples[0])
    ground = (rows * (height + GAP) - GAP, columns * each * (width + GAP) - GAP, *((3,) if colour else ()))
    sheet_of_all = np.full(ground, 255, np.uint8)
    for number, images in enumerate(samples):
        top = number // across * (height + GAP)
        for part, image in enumerate(images):
            left = (number % across * each + part) * (width + GAP)
            image = image[..., None] if colour and image.ndim == 2 else image
            sheet_of_all[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet_of_all
