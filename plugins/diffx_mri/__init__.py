"""Brain MRI for diffx: synthesis of T1-weighted volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["BrainSynth", "Person"]

if TYPE_CHECKING:
    from diffx_mri.synth.face import BrainSynth as BrainSynth
    from diffx_mri.synth.face import Person as Person


def __getattr__(name: str) -> Any:
    if name in __all__:
        from diffx_mri.synth import face

        return getattr(face, name)
    raise AttributeError(f"module 'diffx_mri' has no attribute {name!r}")
