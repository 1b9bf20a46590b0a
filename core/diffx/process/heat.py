"""Heat kernels of the circle and of SO(3): where Brownian motion is after a while, and the score of that.

``sigma`` is the spread: the kernel at "time" sigma^2 of dp/d(sigma^2) = 1/2 Laplacian p, so that for small sigma the
displacement is N(0, sigma^2 I) in radians. (Leach et al. 2022, and with them the first release of DiffDock, write
exp(-l (l + 1) eps^2) on SO(3): there sigma = sqrt(2) eps.)

Each kernel has two exact series, one the Poisson resummation of the other: over windings (Gaussians that went round
k times), which converges the faster the smaller sigma, and over frequencies, which converges the faster the larger.
A handful of terms of the right one is exact to float64's rounding, and both stay accurate in float32.

Angles and sigmas are tensors that broadcast against one another, sigma > 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: sigma at which the series change over; within a factor 1.3 of it both are exact to 1e-10.
TORUS_SWITCH, SO3_SWITCH = 1.7, 1.4
_WINDINGS, _TORUS_FREQUENCIES, _SO3_DEGREES = 3, 6, 9
# Power series in a^2, to float64's rounding for a < 0.5
_SINHC = (1.0, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880, 1 / 39916800)  # sinh(a) / a
_BEND = (1 / 3, 1 / 30, 1 / 840, 1 / 45360, 1 / 3991680, 1 / 518918400)  # (cosh(a) - sinh(a) / a) / a^2
_COTANGENT = (1 / 12, 1 / 720, 1 / 30240, 1 / 1209600, 1 / 47900160, 691 / 1307674368000)  # (1/a - cot(a/2) / 2) / a
_LOG_2PI = math.log(2 * math.pi)


def wrapped_normal(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, score d/d theta of it) of the circle's kernel at angle theta in [-pi, pi].

    The density is with respect to d theta (Mardia and Jupp 2000, section 3.5.7).
    """
    near = torus_by_windings(theta, sigma.clamp(max=TORUS_SWITCH))
    far = torus_by_frequencies(theta, sigma.clamp(min=TORUS_SWITCH))
    return _switched(sigma < TORUS_SWITCH, near, far)


def igso3(omega: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, d/d omega of it over omega) of SO(3)'s kernel at a rotation by omega in [0, pi].

    The density is relative to the uniform distribution on SO(3); the angle's own is p (1 - cos omega) / pi (Nikolayev
    and Savyolova 1997; Leach et al. 2022). The second is finite at 0: times the rotation vector it is the score.
    """
    near = so3_by_windings(omega, sigma.clamp(max=SO3_SWITCH))
    far = so3_by_degrees(omega, sigma.clamp(min=SO3_SWITCH))
    return _switched(sigma < SO3_SWITCH, near, far)


def torus_by_windings(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, score): p = sum_k N(theta + 2 pi k; 0, sigma^2)."""
    turns = 2 * math.pi * torch.arange(-_WINDINGS, _WINDINGS + 1, dtype=theta.dtype, device=theta.device)
    x, s = theta[..., None] + turns, sigma[..., None] ** 2
    exponent = -(x**2) / (2 * s)
    log_density = exponent.logsumexp(-1) - sigma.log() - 0.5 * _LOG_2PI
    return log_density, -(exponent.softmax(-1) * x / s).sum(-1)


def torus_by_frequencies(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, score): p = (1 + 2 sum_n exp(-n^2 sigma^2 / 2) cos(n theta)) / 2 pi."""
    n = torch.arange(1, _TORUS_FREQUENCIES + 1, dtype=theta.dtype, device=theta.device)
    weight, angle = 2 * torch.exp(-0.5 * (n * sigma[..., None]) ** 2), n * theta[..., None]
    excess = (weight * angle.cos()).sum(-1)  # over the uniform density
    return torch.log1p(excess) - _LOG_2PI, -(n * weight * angle.sin()).sum(-1) / (1 + excess)


def so3_by_windings(omega: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, score / omega), with s = sigma^2:

    p = sqrt(2 pi) exp(s/8) s^(-3/2) sum_k (-1)^k (omega - 2 pi k) exp(-(omega - 2 pi k)^2 / 2s) / sin(omega/2).

    The term k = 0 is taken out, and k and -k are joined, so that nothing cancels as omega goes to 0.
    """
    s = sigma**2
    rest, slope = torch.zeros_like(omega + s), torch.zeros_like(omega + s)  # of terms k != 0, relative to k = 0
    for k in range(1, _WINDINGS + 1):
        rate, scale = 2 * math.pi * k / s, 2 * (2 * math.pi * k) ** 2 / s
        # exp(-E) times cosh a, sinh(a) / a and (cosh a - sinh(a) / a) / a^2, where a < E = 2 pi^2 k^2 / s
        a, least = rate * omega, torch.exp(-math.pi * k * rate)
        grown, shrunk = torch.exp(rate * (omega - math.pi * k)), torch.exp(-rate * (omega + math.pi * k))
        cosh = (grown + shrunk) / 2
        low, square, high = _halves(a)
        sinhc = torch.where(low, least * _power_series(square, _SINHC), (grown - shrunk) / (2 * high))
        bend = torch.where(low, least * _power_series(square, _BEND), (cosh - sinhc) / high**2)
        sign = (-1) ** k
        rest = rest + sign * (2 * cosh - scale * sinhc)
        slope = slope + sign * (2 * rate**2 * sinhc - scale * rate**2 * bend)
    log_density = 0.5 * _LOG_2PI + s / 8 - 1.5 * s.log() - omega**2 / (2 * s)
    log_density = log_density + math.log(2) - torch.sinc(omega / (2 * math.pi)).log() + torch.log1p(rest)
    return log_density, -1 / s + _cotangent(omega) + slope / (1 + rest)


def so3_by_degrees(omega: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(log density, score / omega): p = sum_l (2l + 1) exp(-l (l + 1) sigma^2 / 2) chi_l(omega).

    The character chi_l = sin((l + 1/2) omega) / sin(omega / 2) is summed as 1 + 2 sum_m=1^l cos(m omega).
    """
    l = torch.arange(1, _SO3_DEGREES + 1, dtype=omega.dtype, device=omega.device)
    weight = (2 * l + 1) * torch.exp(-0.5 * l * (l + 1) * sigma[..., None] ** 2)
    tail = weight.flip(-1).cumsum(-1).flip(-1)  # of cos(m omega): sum of weights of l >= m
    angle = l * omega[..., None]
    excess = weight.sum(-1) + 2 * (tail * angle.cos()).sum(-1)
    slope = -2 * (tail * l**2 * torch.sinc(angle / math.pi)).sum(-1)
    return torch.log1p(excess), slope / (1 + excess)


def _cotangent(omega: Tensor) -> Tensor:
    """(1/omega - cot(omega/2) / 2) / omega, on [0, pi]."""
    low, square, high = _halves(omega)
    return torch.where(low, _power_series(square, _COTANGENT), (1 / high - 0.5 / torch.tan(high / 2)) / high)


def _halves(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a is small, its square there (else 0), and a where it is not (else 1): neither branch meets its pole."""
    low = a < 0.5
    return low, torch.where(low, a, torch.zeros_like(a)) ** 2, torch.where(low, torch.ones_like(a), a)


def _power_series(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    total = torch.zeros_like(x)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def _switched(condition: Tensor, near: tuple[Tensor, Tensor], far: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.where(condition, near[0], far[0]), torch.where(condition, near[1], far[1])
