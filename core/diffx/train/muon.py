"""Muon: momentum made orthogonal, for matrices and convolutions (Jordan et al. 2024, "Muon: An optimizer for hidden
layers in neural networks")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from diffx.nets.precision import autocast_dtype

_QUINTIC = (3.4445, -4.7750, 2.0315)  # of the iteration; they drive singular values to about 1 fast, not exactly
_SMALLEST = 16  # rows or columns below which a matrix is left to AdamW: a bias, a gain, the first and last layer
_RMS = 0.4  # of an update, over the rate


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """U V' of the singular value decomposition U S V' of a matrix [M, N], roughly: singular values of 0.7 to 1.2.

    By Newton-Schulz iterations, which take products of matrices alone: in bf16 where the hardware computes in it, since
    they forgive rounding, else in fp32, which is twenty times as fast as emulated bf16.
    """
    x = matrix.bfloat16() if autocast_dtype("auto", matrix.device) == torch.bfloat16 else matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for every parameter that is a matrix of 16 rows and columns or more, AdamW for the others.

    A convolution is the matrix [out, in * kernel]. Weight decay is decoupled, for both. The root mean square of an
    orthogonal update is 0.4 lr, on the scale of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", who take
    0.2), so that one rate serves both.

    Args:
        params: parameters, or groups of them, as of any optimiser.
        lr: learning rate.
        momentum: of Muon, with Nesterov's look ahead.
        betas: of AdamW.
        weight_decay: share of a parameter that lr takes off.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step from the gradients at hand."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    (_muon if _is_matrix(p) else _adam)(p, self.state[p], group)


def _is_matrix(p: Tensor) -> bool:
    return p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= _SMALLEST


def _muon(p: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["exp_avg"] = torch.zeros_like(p)
    average = state["exp_avg"].lerp_(p.grad, 1 - group["momentum"])
    update = orthogonalised(p.grad.lerp(average, group["momentum"]).flatten(1))  # type: ignore[union-attr]
    scale = _RMS * max(update.shape) ** 0.5  # U V' of [M, N] has the root mean square 1 / sqrt(max(M, N))
    p.add_(update.view_as(p), alpha=-group["lr"] * scale)


def _adam(p: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state.update(exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p), step=torch.zeros(()))
    state["step"] += 1
    first, second = group["betas"]
    mean = state["exp_avg"].lerp_(p.grad, 1 - first) / (1 - first ** float(state["step"]))
    square = state["exp_avg_sq"].lerp_(p.grad.square(), 1 - second)  # type: ignore[union-attr]
    p.addcdiv_(mean, (square / (1 - second ** float(state["step"]))).sqrt_().add_(1e-8), value=-group["lr"])
