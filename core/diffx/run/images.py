"""Pictures as text that a page can hold."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

BIG = 1_000_000  # bytes of PNG above which WebP is used, near-lossless to the eye at a fraction of the size


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
        image.savefig(buffer, format="png", dpi=160, bbox_inches="tight")
        return Image.open(buffer)
    if hasattr(image, "__array_interface__"):
        if str(image.dtype) != "uint8":
            raise ValueError(f"a picture must be uint8, 0..255, not {image.dtype}")
        return Image.fromarray(image)
    raise TypeError(f"a picture must be a Pillow image, an array, a Matplotlib figure or a path, not {type(image)}")


def data_uri(image: Any) -> tuple[str, int, int]:
    """`(uri, width, height)` of a Pillow image, encoded as PNG, or as WebP when that would be big."""
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGB")
    kind, content = "png", _encode(image, format="PNG", optimize=True)
    if len(content) > BIG:
        kind, content = "webp", _encode(image, format="WEBP", quality=92, method=4)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}", image.width, image.height


def _encode(image: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **how)
    return buffer.getvalue()
