"""An average of the weights of any width, chosen after training (Karras et al. 2024, sec. 3).

Two power-function averages are kept while training, and snapshots of them stored now and then. Each is a weighted mean
of the whole path of the weights, with the known profile

    p(tau) = (g + 1) tau^g / t^(g + 1)   on [0, t],

g its exponent and t its step. A profile that was not kept is a combination of those that were, as near as least
squares make it; the same combination of the snapshots is the average.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.train.ema import gamma_of

#: relative widths of the two averages that are kept, as in the paper; and the folder of their snapshots
WIDTHS, SNAPSHOTS = (0.05, 0.10), "snapshots"


def inner(t_a: Any, gamma_a: Any, t_b: Any, gamma_b: Any) -> np.ndarray:
    """Integral of p_a p_b over time, (g_a + 1)(g_b + 1) / (g_a + g_b + 1) (t_a / t_b)^g_b / t_b for t_a <= t_b.

    This is algorithm 3 of the paper. The arguments broadcast.

    Args:
        t_a: step at which the first profile ends.
        gamma_a: its exponent.
        t_b: step at which the second profile ends.
        gamma_b: its exponent.
    """
    earlier, later = np.minimum(t_a, t_b), np.maximum(t_a, t_b)
    exponent = np.where(t_a <= t_b, gamma_b, gamma_a)
    return (gamma_a + 1) * (gamma_b + 1) / (gamma_a + gamma_b + 1) * (earlier / later) ** exponent / later


def coefficients(steps: Sequence[int], stds: Sequence[float], step: int, std: float) -> np.ndarray:
    """What multiplies each snapshot, [n] float64, so that the profile of width ``std`` at ``step`` comes out.

    Args:
        steps: at which each snapshot was taken.
        stds: relative width of the average in each snapshot.
        step: at which the wanted profile ends.
        std: its relative width, in (0, 0.28).
    """
    t, gamma = np.asarray(steps, dtype=np.float64), np.array([gamma_of(s) for s in stds])
    gram = inner(t[:, None], gamma[:, None], t, gamma)
    wanted = inner(t, gamma, float(step), gamma_of(std))
    # of profiles that are nearly the same, many combinations fit equally well: the smallest magnifies rounding least
    scale = np.sqrt(np.diag(gram))
    solution = np.linalg.lstsq(gram / np.outer(scale, scale), wanted / scale, rcond=1e-12)[0]
    return solution / scale


def reconstruct(folder: Path, std: float, step: int | None = None) -> tuple[dict[str, Tensor], int]:
    """Averaged weights from the snapshots in a folder, and the step they belong to.

    Args:
        folder: of the snapshots.
        std: relative width, in (0, 0.28).
        step: the end of the average; by default the newest snapshot.

    Raises:
        DataError: no snapshot up to that step.
    """
    files = {int(path.stem): path for path in folder.glob("*.safetensors") if path.stem.isdigit()}
    steps = sorted(k for k in files if step is None or k <= step)
    if not steps:
        raise DataError(f"{folder} holds no snapshots up to that step; train with train.ema_snapshots=STEPS")
    step = step or steps[-1]
    share = coefficients([k for k in steps for _ in WIDTHS], WIDTHS * len(steps), step, std).reshape(-1, len(WIDTHS))
    total: dict[str, Tensor] = {}
    for number, k in enumerate(steps):
        tensors, _ = checkpoint.load(files[k])
        for which in range(len(WIDTHS)):
            for name, tensor in checkpoint.under(tensors, f"profile{which}").items():
                part = tensor.double() * share[number, which]
                total[name] = total[name] + part if name in total else part
    return {name: tensor.float() for name, tensor in total.items()}, step
