"""The three ways in which a sound becomes the state of the network, and back."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import Tensor

from .config import CodecConfig
from .harmonic import Harmonic
from .spectrogram import Spectrogram
from .vocoder import Vocoder

__all__ = ["Codec", "codec_of"]


class Codec(Protocol):
    """What all of them can do; nothing in them is learned."""

    #: whether a sound needs a pitch
    pitched: ClassVar[bool]

    @property
    def rate(self) -> int:
        """Samples a second."""

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""

    @property
    def channels(self) -> int:
        """C of the state."""

    @property
    def silence(self) -> Tensor:
        """State of a silent frame, [C]."""

    def frames(self, samples: int) -> int:
        """T of so many samples."""

    def encode(self, sound: Tensor, midi: float | None = None) -> Tensor:
        """Sound [n] -> state [C, T], in [-1, 1] for the most part, -1 in silence; ValueError without a pitch."""

    def decode(self, state: Tensor, samples: int | None = None, seed: int = 0, midi: float | None = None) -> Tensor:
        """State [C, T] -> sound [samples]; ValueError without a pitch."""

    def reach(self, midi: float | None = None) -> int:
        """Samples to either side that a frame looks at."""

    def fill(
        self, state: Tensor, sound: Tensor, first: int, last: int, seed: int = 0, midi: float | None = None
    ) -> Tensor:
        """From the state [C, T] of a whole sound, samples ``first`` to ``last`` that continue what lies around them."""

    def to_json(self) -> dict[str, Any]:
        """The arguments of the class."""


def codec_of(options: CodecConfig) -> Codec:
    """The codec that ``codec.*`` describes."""
    if options.kind == "harmonic":
        return Harmonic(options.rate, options.hop, options.depth)
    if options.kind == "vocoder":
        return Vocoder(options.rate, options.hop, options.depth)
    return Spectrogram(options.rate, options.window, options.hop, options.depth, options.refine)
