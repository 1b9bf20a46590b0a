"""KL autoencoder for signals, images and volumes: the space in which latent diffusion works.

Everything in it is local. Normalisation is over the channels of each position, and there is no attention, so that a
latent depends on a neighbourhood of known size alone: a volume that is decoded window by window comes out as if it
were decoded whole, without seams and without a change of tone from one window to the next.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffx.nets.blocks import CONV, Upsample, silu, zero
from diffx.noise import Noise
from diffx.tiling.blend import Tile, tiled

Window = int | Sequence[int]


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mean, exp(log_var)), each [B, Z, *S] in fp32 (Kingma and Welling 2014)."""

    mean: Tensor
    log_var: Tensor

    @property
    def mode(self) -> Tensor:
        """What to store for a diffusion to learn: a sample would carry noise that has nothing to do with the data."""
        return self.mean

    def sample(self, noise: Noise) -> Tensor:
        """mean + std z, with z of the samples' own seeds."""
        return self.mean + (0.5 * self.log_var).exp() * noise["posterior"].normal(*self.mean.shape[1:])

    def kl(self) -> Tensor:
        """KL(q || N(0, 1)) of each sample in nats, summed over its elements: [B]."""
        return 0.5 * (self.mean.square() + self.log_var.exp() - 1 - self.log_var).flatten(1).sum(1)


class ChannelNorm(nn.Module):
    """x / rms(x) over the channels of each position, times a learned gain (RMSNorm; Zhang and Sennrich 2019)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, *S] -> the same, in x's dtype."""
        power = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).square() / x.shape[1]
        return x * (power + 1e-6).rsqrt().to(x.dtype) * self.weight.to(x.dtype).view(-1, *(1,) * (x.ndim - 2))


class LocalBlock(nn.Module):
    """Residual block of two convolutions that sees two elements to each side; starts as the identity."""

    def __init__(self, dims: int, channels: int):
        super().__init__()
        conv = CONV[dims]
        self.norm1, self.conv1 = ChannelNorm(channels), conv(channels, channels, 3, padding=1)
        self.norm2, self.conv2 = ChannelNorm(channels), zero(conv(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(silu(self.norm1(x)))
        return x + self.conv2(silu(self.norm2(h)))


class Shrink(nn.Module):
    """Strided convolution by a whole factor, its kernel reaching half a cell into each neighbour."""

    def __init__(self, dims: int, channels: int, out_channels: int, factor: int):
        super().__init__()
        beyond = factor // 2
        self.conv = CONV[dims](channels, out_channels, factor + 2 * beyond, stride=factor, padding=beyond)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Grow(nn.Module):
    """Nearest-neighbour interpolation by a whole factor, then a convolution."""

    def __init__(self, dims: int, channels: int, out_channels: int, factor: int):
        super().__init__()
        self.factor, self.up = factor, Upsample(dims, channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x, [self.factor * n for n in x.shape[2:]])


class AutoencoderKL(nn.Module):
    """Variational autoencoder with a weak KL term (Rombach et al. 2022, sec. 3.1) in one, two or three dimensions.

    Args:
        dims: 1, 2 or 3 spatial dimensions.
        in_channels: of the data.
        latent_channels: Z.
        channels: width of each resolution, finest first.
        factors: by how much each resolution is coarser than the one before it; one fewer than ``channels``. Sizes are
            multiples of their product, ``factor``.
        blocks: residual blocks a resolution, in the encoder and in the decoder.
        checkpointing: recompute activations in the backward pass.

    Attributes:
        latent_mean, latent_std: buffers [Z], set by :meth:`calibrate`, between which and unit variance
            :meth:`normalise` and :meth:`denormalise` go.
        receptive_field: how far beyond its own cell an encoded latent sees, in elements of the data, and how far
            beyond its latent a decoded element sees, in latents.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        dims: int,
        in_channels: int,
        latent_channels: int = 4,
        channels: Sequence[int] = (32, 64, 128),
        factors: Sequence[int] | None = None,
        blocks: int = 2,
        checkpointing: bool = False,
    ):
        super().__init__()
        factors = tuple(factors or (2,) * (len(channels) - 1))
        if dims not in CONV:
            raise ValueError(f"an autoencoder has 1, 2 or 3 spatial dimensions, not {dims}")
        if len(factors) != len(channels) - 1 or min(factors, default=1) < 1:
            raise ValueError(f"between {len(channels)} resolutions lie {len(channels) - 1} factors, not {factors}")
        self.dims, self.factor, self.checkpointing = dims, math.prod(factors), checkpointing
        conv = CONV[dims]

        def same(c: int) -> list[nn.Module]:
            return [LocalBlock(dims, c) for _ in range(blocks)]

        down: list[nn.Module] = []
        up: list[nn.Module] = []
        sees, seen = 1 + 2 * blocks, 1 + 2 * blocks  # from a latent back to the data, and from the data to the latents
        steps = list(zip(channels, channels[1:], factors))
        for c, coarser, f in steps:
            down += [*same(c), Shrink(dims, c, coarser, f)]
            seen = math.ceil((seen + 1) / f) + 2 * blocks
        for c, coarser, f in reversed(steps):
            up += [*same(coarser), Grow(dims, coarser, c, f)]
            sees = sees * f + f // 2 + 2 * blocks
        self.receptive_field = (sees + 1, seen + 1)
        finest, coarsest = channels[0], channels[-1]
        self.encoder = _layers(
            conv(in_channels, finest, 3, padding=1),
            [*down, *same(coarsest), ChannelNorm(coarsest), nn.SiLU()],
            conv(coarsest, 2 * latent_channels, 3, padding=1),
        )
        self.decoder = _layers(
            conv(latent_channels, coarsest, 3, padding=1),
            [*up, *same(finest), ChannelNorm(finest), nn.SiLU()],
            conv(finest, in_channels, 3, padding=1),
        )
        self.register_buffer("latent_mean", torch.zeros(latent_channels))
        self.register_buffer("latent_std", torch.ones(latent_channels))

    def _run(self, layers: nn.Module, x: Tensor) -> Tensor:
        for layer in layers.children():
            if self.checkpointing and self.training and isinstance(layer, LocalBlock):
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return x.float()

    def encode(self, x: Tensor, window: Window | None = None, overlap: Window = 0) -> Posterior:
        """Data [B, C, *S] -> posterior over latents [B, Z, *S / factor].

        ``window`` and ``overlap`` as in :meth:`decode`, in elements of the data: multiples of ``factor``.
        """
        if any(n % self.factor for n in x.shape[2:]):
            raise ValueError(f"sizes are multiples of the factor {self.factor}, not {list(x.shape[2:])}")
        moments = _windowed(lambda v: self._run(self.encoder, v), x, window, overlap, Fraction(1, self.factor))
        mean, log_var = moments.chunk(2, dim=1)
        return Posterior(mean, log_var.clamp(-30, 20))  # within which exp neither vanishes nor overflows

    def decode(self, z: Tensor, window: Window | None = None, overlap: Window = 0) -> Tensor:
        """Latents [B, Z, *S] -> data [B, C, *S factor], fp32.

        Args:
            window: latents along each axis that are decoded at once; None: all.
            overlap: latents that neighbouring windows share. Of these, the third nearest to the edge of a window is
                context that is thrown away, and the middle third is blended. From 3 ``receptive_field`` on, the result
                is that of decoding all at once.
        """
        return _windowed(lambda v: self._run(self.decoder, v), z, window, overlap, Fraction(self.factor))

    def loss(self, x: Tensor, noise: Noise, beta: float = 1e-6) -> Tensor:
        """Mean absolute error of the reconstruction + beta KL / (elements of x), for each sample: [B].

        The negative evidence bound per element, times beta, for a Laplace likelihood of scale beta.
        """
        posterior = self.encode(x)
        error = (self.decode(posterior.sample(noise)) - x).abs().flatten(1).mean(1)
        return error + beta * posterior.kl() / x[0].numel()

    def normalise(self, z: Tensor) -> Tensor:
        """Latents as encoded -> latents of zero mean and unit variance a channel, for a diffusion."""
        return (z - self._column(self.latent_mean)) / self._column(self.latent_std)

    def denormalise(self, z: Tensor) -> Tensor:
        """The inverse of :meth:`normalise`: what a diffusion made -> what :meth:`decode` takes."""
        return z * self._column(self.latent_std) + self._column(self.latent_mean)

    def _column(self, values: Tensor) -> Tensor:
        return values.view(-1, *(1,) * self.dims)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor], window: Window | None = None, overlap: Window = 0) -> None:
        """Set ``latent_mean`` and ``latent_std`` to those of the posterior modes of data [B, C, *S]."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for x in batches:
            z = self.encode(x, window, overlap).mode.double().transpose(0, 1).flatten(1)
            count, total, squares = count + z.shape[1], total + z.sum(1), squares + z.square().sum(1)
        if not count:
            raise ValueError("there is no data to measure the latents of")
        mean = total / count
        std = (squares / count - mean.square()).clamp_min(0).sqrt()
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(torch.where(std > 0, std, 1.0))


def _layers(conv_in: nn.Module, inner: Sequence[nn.Module], conv_out: nn.Module) -> nn.Sequential:
    """The layers by name: ``conv_in``, those within by their number from 1 on, ``conv_out``."""
    named = {str(number): layer for number, layer in enumerate(inner, 1)}
    return nn.Sequential(OrderedDict(conv_in=conv_in, **named, conv_out=conv_out))


def _windowed(
    f: Callable[[Tensor], Tensor], x: Tensor, window: Window | None, overlap: Window, scale: Fraction
) -> Tensor:
    """f(x), or f of overlapped windows of x whose outer parts are context only."""
    axes, sizes = x.ndim - 2, x.shape[2:]
    if window is None:
        return f(x)
    windows, overlaps = ((v,) * axes if isinstance(v, int) else tuple(v) for v in (window, overlap))
    if all(n <= w for n, w in zip(sizes, windows, strict=True)):
        return f(x)
    cell = scale.denominator  # windows begin where a cell does
    halos = [o // 3 // cell * cell for o in overlaps]

    def inner(_: Tensor, tiles: Sequence[Tile]) -> Tensor:
        pieces = []
        for tile in tiles:
            around = [slice(max(r.start - h, 0), r.stop + h) for r, h in zip(tile.region, halos, strict=True)]
            y = f(x[tile.sample, None][:, :, *around])
            inside = [
                slice(int((r.start - a.start) * scale), int((r.stop - a.start) * scale))
                for r, a in zip(tile.region, around, strict=True)
            ]
            pieces.append(y[:, :, *inside])
        return torch.cat(pieces)

    core = [w - 2 * h for w, h in zip(windows, halos, strict=True)]
    return tiled(inner, x, core, [o - 2 * h for o, h in zip(overlaps, halos, strict=True)], scale)
