"""Pictures as bytes: of a page, and of the files beside it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffx.run.figures import DPI

BIG = 1_000_000  # bytes of PNG above which WebP is used, near-lossless to the eye at a fraction of the size
LEGIBLE = 0.7  # of its own width a picture can shrink to before its words are too small


@dataclass(frozen=True)
class Encoded:
    """``content`` of kind "png" or "webp"; ``width`` and ``height`` in CSS pixels, as it is meant to be seen."""

    kind: str
    content: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """For the ``src`` of an image on a page."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode()}"

    @property
    def least(self) -> int:
        """CSS pixels of width below which its words cannot be read."""
        return round(LEGIBLE * self.width)


def open_picture(image: Any) -> Any:
    """A Pillow image from a Pillow image, an array, a Matplotlib figure or the path of an image file.

    Arrays are [H, W] (grey), [H, W, 3] or [H, W, 4], of dtype uint8. Raises TypeError or ValueError for the rest.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | Path):
        with Image.open(image) as opened:
            opened.load()
            return opened
    if hasattr(image, "savefig"):
        buffer = io.BytesIO()
        image.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
        return Image.open(buffer)
    if hasattr(image, "__array_interface__"):
        if str(image.dtype) != "uint8":
            raise ValueError(f"a picture must be uint8, 0..255, not {image.dtype}")
        return Image.fromarray(image)
    raise TypeError(f"a picture must be a Pillow image, an array, a Matplotlib figure or a path, not {type(image)}")


def encode(image: Any) -> Encoded:
    """Anything that :func:`open_picture` takes, as PNG, or as WebP when that would be big."""
    scale = 96 / DPI if hasattr(image, "savefig") else 1.0
    image = open_picture(image)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
    kind, content = "png", _saved(image, format="PNG", optimize=True)
    if len(content) > BIG:
        kind, content = "webp", _saved(image, format="WEBP", quality=92, method=4)
    return Encoded(kind, content, round(image.width * scale), round(image.height * scale))


def _saved(image: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **how)
    return buffer.getvalue()
