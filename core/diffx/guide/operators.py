"""Linear measurements y = A x of states [B, C, *S], each with its exact adjoint."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffx.guide.algebra import conjugate_gradient


class Operator(ABC):
    """A, its adjoint, and (s A A^T + n I)^-1.

    <A x, y> = <x, A^T y> in the real inner product, for complex y too.
    """

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x: state [B, C, *S] -> measurement [B, ...]."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y: measurement -> state."""

    def measured(self, y: Tensor) -> Tensor:
        """y with zeros where A measures nothing, whatever stood there."""
        return y

    def solve(self, v: Tensor, s: float | Tensor, n: float) -> Tensor:
        """(s A A^T + n I)^-1 v on the range of A; s a float or [B, 1, ...], s + n > 0. In closed form where there is
        one, otherwise by conjugate gradients."""
        return conjugate_gradient(lambda u: s * self(self.adjoint(u)) + n * u, v, iterations=20)


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """The elements where ``mask`` is True (inpainting); y has the shape of x, and its other elements are ignored.

    Args:
        mask: bool, broadcast against [B, C, *S].
    """

    mask: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.where(self.mask, x, 0.0)

    def adjoint(self, y: Tensor) -> Tensor:
        return self(y)

    def measured(self, y: Tensor) -> Tensor:
        return self(y)

    def solve(self, v: Tensor, s: float | Tensor, n: float) -> Tensor:
        return self(v) / (s + n)


@dataclass(frozen=True)
class Downsample(Operator):
    """Means of boxes (super-resolution; (1, 1, 5) are thick slices of a volume), [B, C, *S] -> [B, C, *S / factors].

    Args:
        factors: one for each axis of S, or one for all.
    """

    factors: int | tuple[int, ...]

    def _each(self, x: Tensor) -> tuple[int, ...]:
        factors = (self.factors,) * (x.ndim - 2) if isinstance(self.factors, int) else self.factors
        if len(factors) != x.ndim - 2:
            raise ValueError(f"{len(factors)} factors for {x.ndim - 2} axes")
        return factors

    def __call__(self, x: Tensor) -> Tensor:
        factors = self._each(x)
        if any(size % f for size, f in zip(x.shape[2:], factors)):
            raise ValueError(f"axes of {tuple(x.shape[2:])} do not divide by {factors}")
        for axis, f in enumerate(factors, start=2):
            x = x.unflatten(axis, (-1, f)).mean(axis + 1) if f > 1 else x
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        factors = self._each(y)
        for axis, f in enumerate(factors, start=2):
            y = y.repeat_interleave(f, axis) if f > 1 else y
        return y / math.prod(factors)

    def solve(self, v: Tensor, s: float | Tensor, n: float) -> Tensor:
        return v / (s / math.prod(self._each(v)) + n)


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Circular convolution of each channel with ``kernel`` [*K], its centre at K // 2 (deblurring); K <= S."""

    kernel: Tensor

    def _transfer(self, shape: Sequence[int]) -> Tensor:
        padded = self.kernel.new_zeros(tuple(shape))
        padded[tuple(slice(k) for k in self.kernel.shape)] = self.kernel
        centre = [-(k // 2) for k in self.kernel.shape]
        return torch.fft.rfftn(padded.roll(centre, tuple(range(padded.ndim))))

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        axes = tuple(range(2, x.ndim))
        return torch.fft.irfftn(torch.fft.rfftn(x, dim=axes) * transfer, s=x.shape[2:], dim=axes)

    def __call__(self, x: Tensor) -> Tensor:
        return self._filter(x, self._transfer(x.shape[2:]))

    def adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._transfer(y.shape[2:]).conj())

    def solve(self, v: Tensor, s: float | Tensor, n: float) -> Tensor:
        power = self._transfer(v.shape[2:]).abs().square()
        # a frequency that the kernel removes is in no measurement: without noise it is left at 0
        gain = s * power + n
        return self._filter(v, torch.where(gain > 1e-12 * (s + n), 1 / gain, 0.0))


@dataclass(frozen=True, eq=False)
class Projection(Operator):
    """A dense matrix.

    Args:
        matrix: [M, C], mixes channels: y [B, M, *S] (a row of ones: the sum of the parts is measured); or, with
            ``shape``, [M, prod(shape)], mixes all elements: y [B, M] (rays through an image).
        shape: of one state, where the matrix acts on all its elements.
    """

    matrix: Tensor
    shape: tuple[int, ...] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.einsum("mc,bc...->bm...", self.matrix, x if self.shape is None else x.flatten(1))

    def adjoint(self, y: Tensor) -> Tensor:
        x = torch.einsum("mc,bm...->bc...", self.matrix, y)
        return x if self.shape is None else x.unflatten(1, self.shape)

    def solve(self, v: Tensor, s: float | Tensor, n: float) -> Tensor:
        power, basis = torch.linalg.eigh(self.matrix @ self.matrix.mT)
        gain = s * power.view(-1, *(1,) * (v.ndim - 2)) + n
        # rows that repeat others say nothing new
        inverse = torch.where(gain > 1e-6 * (s * power.max() + n), 1 / gain, 0.0)
        return torch.einsum("mk,bk...->bm...", basis, inverse * torch.einsum("mk,bm...->bk...", basis, v))


@dataclass(frozen=True, eq=False)
class Fourier(Operator):
    """The spatial frequencies where ``mask`` is True (undersampled MR), by the unitary transform of each channel: y is
    complex, of the shape of x.

    Args:
        mask: bool [*S], in the order of ``torch.fft.fftn`` (zero frequency first).
    """

    mask: Tensor

    def measured(self, y: Tensor) -> Tensor:
        return torch.where(self.mask, y, 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        return self.measured(torch.fft.fftn(x, dim=tuple(range(2, x.ndim)), norm="ortho"))

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifftn(self.measured(y), dim=tuple(range(2, y.ndim)), norm="ortho").real
