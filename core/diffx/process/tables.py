"""What the heat kernels have no closed form for: the angle of a draw from IGSO(3), and the mean square of a score.

Made at first use, and kept: in memory, and the larger one in the user's cache folder.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from diffx.io.cache import Arrays, cached
from diffx.process.heat import igso3, wrapped_normal
from diffx.process.rotation import norm

# log sigma and the radius r are even on the table; bilinear interpolation of it errs by less than 1e-4 of the angle.
# Below SIGMA_MIN the ratio is 1 to 3e-5, above SIGMA_MAX the kernel is uniform to 1e-15, and r is beyond R_MAX with
# probability 3e-10.
SIGMA_MIN, SIGMA_MAX, R_MAX, SIZE = 0.01, 6.0, 7.0, 640
_CELLS = 512  # of the integral over the angle
_KEY = f"1: angle / (sigma r), sigma {SIGMA_MIN}..{SIGMA_MAX}, r 0..{R_MAX}, {SIZE} of each"
#: Beyond this sigma a kernel is uniform for all that a network can learn (score^2 < 1e-20), and its score's mean square
#: is taken to fall no further, so that dividing by it stays within float32.
FLAT_TORUS, FLAT_SO3 = 7.0, 5.0


def so3_draw(z: Tensor, sigma: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of exact draws from IGSO(3), made of standard normal ``z`` [..., 3].

    The direction of z is kept and its length r moved by the monotone map that takes chi(3) to the law of the angle,
    which is r sigma for small sigma and bends towards the uniform rotation's for large.

    Args:
        sigma: broadcasts against ``z``, last dimension 1; on the device of z.
    """
    table = _on_device(z.device)
    r = norm(z)
    sigma = sigma.to(z.dtype).clamp(max=SIGMA_MAX)
    row = (sigma.log() - math.log(SIGMA_MIN)) * ((SIZE - 1) / math.log(SIGMA_MAX / SIGMA_MIN))
    i, u = _cell(row)
    j, v = _cell(r * ((SIZE - 1) / R_MAX))
    i, j = torch.broadcast_tensors(i, j)
    low = table[i, j] * (1 - v) + table[i, j + 1] * v
    high = table[i + 1, j] * (1 - v) + table[i + 1, j + 1] * v
    return z * (sigma * (low * (1 - u) + high * u).to(z.dtype))


def _cell(place: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the cell and the position in it, in [0, 1]."""
    place = place.clamp(0, SIZE - 1)
    number = place.floor().clamp(max=SIZE - 2)
    return number.long(), place - number


def torus_norm(sigma: float | np.ndarray) -> np.ndarray:
    """E[score^2] of the wrapped normal: 1 / sigma^2 for small sigma, 2 exp(-sigma^2) for large. Host float64."""
    return _norm(sigma, *_torus_norms())


def so3_norm(sigma: float | np.ndarray) -> np.ndarray:
    """E[|score|^2] / 3 of IGSO(3): 1 / sigma^2 for small sigma, 3 exp(-2 sigma^2) for large. Host float64."""
    return _norm(sigma, *_so3_norms())


def _norm(sigma: float | np.ndarray, knots: np.ndarray, logs: np.ndarray) -> np.ndarray:
    sigma = np.minimum(np.asarray(sigma, dtype=np.float64), knots[-1])
    return np.exp(np.interp(sigma, knots, logs)) / sigma**2


def _knots(top: float) -> np.ndarray:
    """Even in log sigma where the norm is nearly 1 / sigma^2, even in sigma where it falls as exp(-sigma^2)."""
    return np.concatenate([np.geomspace(1e-4, 0.25, 256, endpoint=False), np.linspace(0.25, top, 1024)])


def _angles(sigma: np.ndarray, cells: int) -> tuple[Tensor, Tensor]:
    """Nodes [N, cells, 2] and weights [N, 1, 1] of Gauss's rule in each cell of [0, min(pi, 8 sigma)]."""
    width = torch.from_numpy(np.minimum(math.pi, 8 * sigma) / cells)[:, None, None]
    inner = torch.tensor([0.5 - 0.5 / math.sqrt(3), 0.5 + 0.5 / math.sqrt(3)], dtype=torch.float64)
    return width * (torch.arange(cells, dtype=torch.float64)[:, None] + inner), width / 2


@lru_cache
def _torus_norms() -> tuple[np.ndarray, np.ndarray]:
    sigma = _knots(FLAT_TORUS)
    theta, weight = _angles(sigma, 64)
    log_density, score = wrapped_normal(theta, torch.from_numpy(sigma)[:, None, None])
    mean = (2 * weight * log_density.exp() * score**2).sum((1, 2)).numpy()
    return sigma, np.log(mean * sigma**2)


@lru_cache
def _so3_norms() -> tuple[np.ndarray, np.ndarray]:
    sigma = _knots(FLAT_SO3)
    omega, weight = _angles(sigma, 64)
    log_density, pull = igso3(omega, torch.from_numpy(sigma)[:, None, None])
    mean = (weight * _of_angle(log_density, omega) * (pull * omega) ** 2).sum((1, 2)).numpy()
    return sigma, np.log(mean / 3 * sigma**2)


def _of_angle(log_density: Tensor, omega: Tensor) -> Tensor:
    """Density of the angle from that of the rotation."""
    return log_density.exp() * 2 * (omega / 2).sin() ** 2 / math.pi


def _so3_ratios() -> Arrays:
    """angle / (sigma r) on the grid of log sigma and r: the law of the angle and chi(3) matched, quantile by quantile.

    Cube roots of the distribution functions are all but linear at 0, so that they are what is interpolated.
    """
    r = np.linspace(0.0, R_MAX, SIZE)
    r[0] = 0.1 * r[1]  # the limit
    chi = np.array([math.erf(x / math.sqrt(2)) - math.sqrt(2 / math.pi) * x * math.exp(-(x**2) / 2) for x in r])
    table = np.empty((SIZE, SIZE), dtype=np.float32)
    for row, sigma in zip(table, np.geomspace(SIGMA_MIN, SIGMA_MAX, SIZE), strict=True):
        omega, weight = (part[0] for part in _angles(np.array([sigma]), _CELLS))
        log_density, _ = igso3(omega, torch.tensor(sigma, dtype=torch.float64))
        mass = (weight * _of_angle(log_density, omega)).sum(1).numpy().cumsum()
        edges = np.linspace(0.0, min(math.pi, 8 * sigma), _CELLS + 1)
        row[:] = np.interp(np.cbrt(chi), np.cbrt(np.append(0.0, mass)), edges) / (sigma * r)
    return {"ratio": table}


@lru_cache
def _on_device(device: torch.device) -> Tensor:
    return torch.from_numpy(cached("so3", _KEY, _so3_ratios)["ratio"]).to(device)
