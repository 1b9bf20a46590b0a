"""U-Nets of equal size: one evaluation, and one training step (forward, backward, fused AdamW)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
import unets
from timing import medians

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
BUILDERS = {"diffx": unets.ours, "monai": unets.monai, "diffusers": unets.diffusers, "azula": unets.azula}


def _calls(build: Callable[[int], unets.Built], dims: int, dtype: Any) -> tuple[int, dict[str, Callable[[], Any]]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, call = build(dims)
        x = torch.randn(unets.SHAPES[dims])
    level = torch.linspace(-1, 1, x.shape[0])
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-5, fused=True)

    def low() -> Any:
        return torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()

    def forward() -> None:
        net.eval()
        with torch.no_grad(), low():
            call(net, x, level)

    def train() -> None:
        net.train()
        with low():
            out = call(net, x, level)
        (out.float() - x).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return sum(p.numel() for p in net.parameters()), {"forward": forward, "train": train}


def measure(repeats: int, precisions: Sequence[str] = tuple(PRECISIONS)) -> list[dict[str, Any]]:
    """One row a library, dimension, precision and kind of call."""
    rows = []
    for d in unets.SHAPES:
        for precision in precisions:
            dtype = PRECISIONS[precision]
            built = {}
            for name, build in BUILDERS.items():
                try:
                    built[name] = _calls(build, d, dtype)
                except LookupError:
                    continue  # it has no such network
            for kind in ("forward", "train"):
                times = medians({name: calls[kind] for name, (_, calls) in built.items()}, repeats)
                for name, value in times.items():
                    rows.append(
                        {
                            "library": name,
                            "dims": d,
                            "precision": precision,
                            "kind": kind,
                            "ms": value * 1e3,
                            "parameters": built[name][0],
                            "ratio": value / times["diffx"],  # our throughput over theirs
                        }
                    )
    return rows
