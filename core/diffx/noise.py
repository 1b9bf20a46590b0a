"""Randomness addressed by name: (seed of the sample, leaf, step, element) -> variate.

Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") is a bijection of a counter, so a
variate needs no state: the same sample comes out whatever the batch it sits in, the chunk, the worker or the device.
"""

from __future__ import annotations

import copy
import hashlib
import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Noise", "derive", "philox4x32"]

_M0, _M1 = 0xD2511F53, 0xCD9E8D57  # multipliers and Weyl constants of the paper's table 2
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF

# The noise of a small state costs what starting sixty operations costs, so many steps of it are drawn at once.
_AHEAD, _SMALL = 32, 256


def _mulhilo(constant: int, x: Tensor) -> tuple[Tensor, Tensor]:
    product = x * constant  # wraps modulo 2**64, and both halves survive the wrap
    return (product >> 32) & _MASK, product & _MASK


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Ten rounds of Philox4x32 (Salmon et al. 2011).

    Args:
        counter: four int64 tensors holding 32-bit words; broadcast against the key.
        key: two int64 tensors holding 32-bit words.

    Returns:
        four int64 tensors of 32-bit words.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        hi0, lo0 = _mulhilo(_M0, c0)
        hi1, lo1 = _mulhilo(_M1, c2)
        c0, c1, c2, c3 = hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def derive(*parts: int | str) -> int:
    """A 63-bit seed from any mixture of integers and names; distinct parts give distinct seeds."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Noise:
    """Variates of a batch of samples, each sample with its own seed.

    Args:
        seeds: one integer in [0, 2**63) for each sample of the batch.
        device: where the variates are computed; the integers are equal on every device, the normals up to rounding.
        leaf: name of the part of the state; parts with different names are independent.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu", leaf: str = "x"):
        self.seeds = tuple(int(s) for s in seeds)
        if any(not 0 <= s < 2**63 for s in self.seeds):
            raise ValueError("a seed is an integer from 0 to 2**63 - 1")
        self.device = torch.device(device)
        self.leaf = leaf
        words = torch.tensor(self.seeds, dtype=torch.int64, device=self.device)
        self._key = ((words & _MASK)[:, None], (words >> 32)[:, None])
        self._leaf_word = zlib.crc32(leaf.encode())
        self._drawn: dict[tuple[int, ...], tuple[int, Tensor]] = {}  # shared by the parts

    def __getitem__(self, leaf: str) -> Noise:
        """The noise of a part of the state, independent of every other part's."""
        part = copy.copy(self)  # shares the key on the device: nothing to copy there, nothing to wait for
        part.leaf = f"{self.leaf}.{leaf}"
        part._leaf_word = zlib.crc32(part.leaf.encode())
        return part

    def _words(self, count: int, steps: range, stream: int) -> Tensor:
        """[len(steps), B, count], each in [0, 2**32)."""
        blocks = torch.arange(-(-count // 4), dtype=torch.int64, device=self.device)
        step = torch.arange(steps.start, steps.stop, dtype=torch.int64, device=self.device)[:, None, None] & _MASK
        leaf, kind = (torch.full_like(blocks, w) for w in (self._leaf_word, stream))
        words = philox4x32((blocks, step, leaf, kind), self._key)
        return torch.stack(words, dim=-1).flatten(2)[..., :count]

    def _draw(self, kind: int, count: int, step: int) -> Tensor:
        """[B, count] variates of stream ``kind`` at a step; of a small state, those of the steps to come as well."""
        draw = (self._uniform, self._normal)[kind]
        if step == 0 or count * len(self.seeds) > _SMALL:
            return draw(count, range(step, step + 1))[0]
        key = (self._leaf_word, kind, count)
        first, ahead = self._drawn.get(key, (-1, torch.empty(0)))
        if not 0 <= step - first < len(ahead):
            first, ahead = self._drawn[key] = step, draw(count, range(step, step + _AHEAD))
        return ahead[step - first].clone()  # the caller may write on it

    def _uniform(self, count: int, steps: range) -> Tensor:
        words = self._words(count, steps, stream=0)
        return ((words >> 9).to(torch.float32) + 0.5).mul_(2.0**-23)

    def _normal(self, count: int, steps: range) -> Tensor:
        words = self._words(count + count % 2, steps, stream=1)
        u = ((words >> 8).to(torch.float32) + 0.5).mul_(2.0**-24)
        radius = u[..., 0::2].log().mul_(-2).sqrt_()
        angle = u[..., 1::2] * (2 * math.pi)
        return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=-1).flatten(2)[..., :count]

    def uniform(self, *shape: int, step: int = 0) -> Tensor:
        """Uniform variates in the open interval (0, 1), float32 of shape [B, *shape]."""
        return self._draw(0, math.prod(shape), step).reshape(len(self.seeds), *shape)

    def normal(self, *shape: int, step: int = 0) -> Tensor:
        """Standard normal variates (Box-Muller), float32 of shape [B, *shape], |z| < 5.9."""
        return self._draw(1, math.prod(shape), step).reshape(len(self.seeds), *shape)
