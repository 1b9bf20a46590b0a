"""Brain MRI for diffx: synthesis of T1-weighted volumes, translation between contrasts, detection of anomalies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_FACES = {
    "AnomalyDetector": "anomaly",
    "BrainSynth": "synth",
    "Detection": "anomaly",
    "Person": "synth",
    "Translation": "translate",
    "Translator": "translate",
}
__all__ = ["AnomalyDetector", "BrainSynth", "Detection", "Person", "Translation", "Translator"]

if TYPE_CHECKING:
    from diffx_mri.anomaly.face import AnomalyDetector as AnomalyDetector
    from diffx_mri.anomaly.face import Detection as Detection
    from diffx_mri.synth.face import BrainSynth as BrainSynth
    from diffx_mri.synth.face import Person as Person
    from diffx_mri.translate.face import Translation as Translation
    from diffx_mri.translate.face import Translator as Translator


def __getattr__(name: str) -> Any:
    if name in _FACES:
        return getattr(import_module(f"diffx_mri.{_FACES[name]}.face"), name)
    raise AttributeError(f"module 'diffx_mri' has no attribute {name!r}")
