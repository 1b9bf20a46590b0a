"""A sound as the user gets it: samples, rate, and how it came about."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffx.data import Brief
from diffx.io.files import write_json

from .files import resampled, write_sound
from .loudness import faded, loudness, true_peak, with_loudness

__all__ = ["Sound"]


@dataclass(frozen=True, repr=False)
class Sound(Brief):
    """``samples`` [channels, n] float32 at ``rate`` Hz; ``facts``: what was asked, the seed, the weights."""

    samples: np.ndarray
    rate: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples.shape[1] / self.rate

    def at(self, rate: int) -> Sound:
        """The same at another rate."""
        return self if rate == self.rate else Sound(resampled(self.samples, self.rate, rate), rate, self.facts)

    def loud(self, lufs: float | None) -> Sound:
        """The same at a loudness in LUFS, with true peaks of at most -1 dBTP; None: only the peaks are lowered."""
        return Sound(with_loudness(self.samples, self.rate, lufs), self.rate, self.facts)

    def faded(self, seconds: float = 0.004) -> Sound:
        """The same with a short fade at both ends, so that they do not click."""
        return Sound(faded(self.samples, round(seconds * self.rate)), self.rate, self.facts)

    def save(self, path: str | Path, depth: str = "PCM_24") -> Path:
        """Write .wav or .flac with tags, and a sidecar .json that says how it was made; the sound file's path."""
        title = str(self.facts.get("prompt") or self.facts.get("task", "sound"))
        made = {key: value for key, value in self.facts.items() if key != "licence"}
        tags = {"title": title, "software": "diffx", "comment": json.dumps(made, ensure_ascii=True, default=str)}
        if self.facts.get("licence"):
            tags["license"] = str(self.facts["licence"])
        written = write_sound(path, self.samples, self.rate, depth, tags)
        measured = {
            "rate": self.rate,
            "seconds": round(self.seconds, 4),
            "lufs": loudness(self.samples, self.rate),
            "true_peak_dbtp": true_peak(self.samples, self.rate),
        }
        write_json(written.with_suffix(".json"), {**self.facts, **measured})
        return written

    def wav(self) -> bytes:
        """The bytes of a 16-bit WAV file."""
        buffer = io.BytesIO()
        soundfile.write(buffer, self.samples.T, self.rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue()

    def player(self) -> str:
        """An HTML audio element that holds the sound."""
        content = base64.b64encode(self.wav()).decode()
        return f'<audio controls preload="metadata" src="data:audio/wav;base64,{content}"></audio>'

    def _repr_html_(self) -> str:
        title = html.escape(str(self.facts.get("prompt") or ""))
        return f"<div>{title} ({self.seconds:.2f} s, {self.rate} Hz)<br>{self.player()}</div>"
