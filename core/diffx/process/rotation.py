"""Rotation vectors and rotation matrices, sound in value and gradient at no rotation and at half a turn.

Products are written out by elements: an accelerator's matrix product may run in TF32, which is too coarse for a
rotation, and may round differently in a batch of another size, whereas a sample must not depend on its neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b of matrices [..., 3, 3]."""
    first, second, third = (a[..., :, k, None] * b[..., None, k, :] for k in range(3))
    return first + second + third


def norm(v: Tensor) -> Tensor:
    """|v| over the last dimension of three, which is kept: [..., 1]. The gradient at 0 is 0."""
    x, y, z = v.unbind(-1)
    square = (x * x + y * y + z * z)[..., None]
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


def exp(v: Tensor) -> Tensor:
    """Matrix [..., 3, 3] of the rotation by |v| radians about v [..., 3] (Rodrigues).

    I + sin(w)/w K + (1 - cos(w))/w^2 K^2, where K u = v x u and w = |v|.
    """
    x, y, z = v.unbind(-1)
    angle = norm(v)
    a = torch.sinc(angle / math.pi)[..., None]
    b = 0.5 * torch.sinc(angle / (2 * math.pi))[..., None] ** 2
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=v.dtype, device=v.device) + a * k + b * product(k, k)


def log(r: Tensor) -> Tensor:
    """Rotation vector [..., 3] of a rotation matrix [..., 3, 3], |v| in [0, pi].

    By way of the unit quaternion q: 4 q q^T is linear in the matrix, and its row with the largest diagonal entry is q
    up to a factor that is never small (Shepperd 1978).
    """
    (a, b, c), (d, e, f), (g, h, i) = ([r[..., m, n] for n in range(3)] for m in range(3))
    rows = [
        [1 + a + e + i, h - f, c - g, d - b],
        [h - f, 1 + a - e - i, b + d, c + g],
        [c - g, b + d, 1 - a + e - i, f + h],
        [d - b, c + g, f + h, 1 - a - e + i],
    ]
    outer = torch.stack([torch.stack(row, -1) for row in rows], -2)
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = outer.gather(-2, largest.expand(*largest.shape[:-1], 4))
    q = (row / row.gather(-1, largest).sqrt() / 2).squeeze(-2)
    q = torch.where(q[..., :1] < 0, -q, q)
    real, imaginary = q[..., :1], q[..., 1:]
    length = norm(imaginary)
    tiny = length < 1e-4  # there atan2(l, r) / l = 1/r - l^2 / 3 r^3 to rounding
    safe = torch.where(tiny, 1.0, length)
    scale = torch.where(tiny, (1 - (length / real) ** 2 / 3) / real, torch.atan2(safe, real) / safe)
    return 2 * scale * imaginary


def orthogonal(r: Tensor) -> Tensor:
    """The rotation near a matrix [..., 3, 3] that is one up to rounding: a Newton step to the polar factor.

    r (3 I - r^T r) / 2 squares the deviation from orthogonality (Higham 2008, section 8.3).
    """
    return 1.5 * r - 0.5 * product(r, product(r.transpose(-1, -2), r))


def from_quaternion(q: Tensor) -> Tensor:
    """Matrix [..., 3, 3] of a quaternion [..., 4] (real part first) of any length but 0; q and -q are one rotation."""
    w, x, y, z = q.unbind(-1)
    s = 2 / (w * w + x * x + y * y + z * z)
    entries = [
        1 - s * (y * y + z * z),
        s * (x * y - z * w),
        s * (x * z + y * w),
        s * (x * y + z * w),
        1 - s * (x * x + z * z),
        s * (y * z - x * w),
        s * (x * z - y * w),
        s * (y * z + x * w),
        1 - s * (x * x + y * y),
    ]
    return torch.stack(entries, -1).unflatten(-1, (3, 3))
