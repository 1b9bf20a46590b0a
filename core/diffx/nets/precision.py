"""Which floating-point format the network runs in."""

from __future__ import annotations

import torch

from diffx.errors import UsageError

__all__ = ["autocast_dtype", "pick_device"]


def pick_device(name: str = "auto") -> torch.device:
    """``auto``: CUDA when there is one. UsageError when CUDA is asked for and absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("device=cuda: this machine has no usable CUDA device; use device=cpu or device=auto")
    return torch.device(name)


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """dtype of the network's arithmetic; None is fp32. Weights, losses and samplers stay in fp32 whatever it is.

    ``auto``: bf16 where the hardware computes in it, else fp16 on CUDA and fp32 on CPU.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
        return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else None
    if precision == "fp16" and device.type != "cuda":
        raise UsageError("precision=fp16 needs CUDA; on a CPU use bf16 or fp32")
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[precision]


def _cpu_has_bf16() -> bool:
    # without avx512_bf16 or amx, bf16 is emulated and slower than fp32
    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return bool(check and check()) and any(
        getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
