"""Audio from words, labels, pitches and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .face import AudioGenerator

__all__ = ["AudioGenerator"]


def __getattr__(name: str) -> Any:
    if name == "AudioGenerator":  # needs torch; the configuration, which is beside it, does not
        from .face import AudioGenerator

        return AudioGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
