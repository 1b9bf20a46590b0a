"""What the network sees of a sound: the logarithm of its spectrogram's magnitude, and the way back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .phase import integrated, refined

__all__ = ["Spectrogram"]


@dataclass(frozen=True)
class Spectrogram:
    """Sound [n] <-> state [F, T]; nothing in it is learned.

    The state is the magnitude in dB below the loudest bin of the sound, cut at ``-depth`` and scaled to [-1, 1]; so it
    does not tell how loud the sound is. The bin at half the rate is left out. Frames are centred on multiples of the
    hop, so n samples have ceil(n / hop) frames and the frame k lies at k hop / rate seconds.

    Args:
        rate: samples a second.
        window: length of the Hann window and of the transform, in samples.
        hop: from frame to frame, in samples.
        depth: dB from the loudest bin down to what counts as silence.
        refine: projections of fast Griffin-Lim after the heap integration.
    """

    rate: int
    window: int
    hop: int
    depth: float = 70.0
    refine: int = 32
    pitched: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        """F."""
        return self.window // 2

    @property
    def silence(self) -> Tensor:
        """State of a silent frame, [F]."""
        return torch.full((self.channels,), -1.0)

    def frames(self, samples: int) -> int:
        """T of so many samples."""
        return max(-(-samples // self.hop), 1)

    def spectrum(self, sound: Tensor) -> Tensor:
        """Magnitude [F + 1, T] of sound [n]."""
        whole = torch.stft(
            sound.float(), self.window, self.hop, window=self._hann, pad_mode="constant", return_complex=True
        )
        return whole.abs()[:, : self.frames(len(sound))]

    def encode(self, sound: Tensor, midi: float | None = None) -> Tensor:
        """State [F, T] in [-1, 1] of sound [n]; its pitch does not matter."""
        magnitude = self.spectrum(sound)[:-1]
        below = 20 * torch.log10(magnitude.clamp_min(1e-12) / magnitude.max().clamp_min(1e-12))
        return 1 + 2 * below.clamp(-self.depth, 0) / self.depth

    def decode(self, state: Tensor, samples: int | None = None, seed: int = 0, midi: float | None = None) -> Tensor:
        """Sound [samples] of state [F, T], its loudest bin at a magnitude of a quarter of the window's length.

        Args:
            state: values beyond [-1, 1] are cut.
            samples: None: T hop.
            seed: of the phases of what is nearly silent.
            midi: does not matter.
        """
        samples = state.shape[-1] * self.hop if samples is None else samples
        magnitude = self._magnitude(state, samples) * self.window / 4
        phase = torch.from_numpy(integrated(magnitude.numpy(), self.window, self.hop, seed))
        return refined(magnitude.float(), phase.float(), self._hann, self.hop, samples, self.refine)

    def reach(self, midi: float | None = None) -> int:
        """Samples to either side that a frame looks at."""
        return self.window // 2

    def fill(
        self, state: Tensor, sound: Tensor, first: int, last: int, seed: int = 0, midi: float | None = None
    ) -> Tensor:
        """What lies from sample ``first`` to ``last`` [last - first], so that it continues the sound on both sides.

        The phases are those whose signal agrees with the sound around the gap: each projection of Griffin and Lim is
        followed by putting the known samples back.

        Args:
            state: [F, T] of the whole, as loud as :meth:`encode` of the sound without the gap would have it.
            sound: [n]; what it holds in the gap is never looked at.
            first: sample.
            last: the first sample after the gap.
            seed: as of :meth:`decode`.
            midi: does not matter.
        """
        around = sound.float().clone()
        around[first:last] = 0
        loudest = float(self.spectrum(around)[:-1].max())
        magnitude = (self._magnitude(state, len(sound)) * max(loudest, 1e-9)).float()
        phase = torch.from_numpy(integrated(magnitude.numpy(), self.window, self.hop, seed)).float()
        outside = torch.ones(len(sound), dtype=torch.bool)
        outside[first:last] = False
        steps = max(4 * self.refine, 64)
        return refined(magnitude, phase, self._hann, self.hop, len(sound), steps, known=(outside, around))[first:last]

    def _magnitude(self, state: Tensor, samples: int) -> Tensor:
        """[F + 1, 1 + samples // hop] of a state, its loudest bin at most 1, float64."""
        below = (state.double().clamp(-1, 1) - 1) * self.depth / 2
        magnitude = torch.where(below > -self.depth, 10 ** (below / 20), 0.0)
        # the bin at half the rate, and as many frames as cover the last sample
        return torch.nn.functional.pad(magnitude, (0, 1 + samples // self.hop - magnitude.shape[1], 0, 1))

    @property
    def _hann(self) -> Tensor:
        return torch.hann_window(self.window)

    def to_json(self) -> dict[str, Any]:
        """The arguments of the class."""
        return asdict(self)
