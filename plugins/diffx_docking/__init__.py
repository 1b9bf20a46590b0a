"""Molecular docking: where a small molecule sits in the pocket of a protein."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .face import Docker

__all__ = ["Docker"]


def __getattr__(name: str) -> Any:
    if name == "Docker":  # needs torch and RDKit; the configuration, which is beside it, does not
        from .face import Docker

        return Docker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
