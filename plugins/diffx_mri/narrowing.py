"""The tensors of a codec as they lie in a file: 16 MiB of weights leave 3 for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

_HALVES = ("mean", "deviation", "lapping")
_BYTES = ("template", "head", "head_brain")  # images: uint8 in steps of 1/170, up to 1.5
_STEP = 1 / 170
_MAPS = ("trend", "modes")  # int8 in 127ths of the largest value of each map, which is kept beside them
_LARGEST = "_largest"


def narrow(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics as fp16, images as uint8, maps [M, C, X, Y, Z] as int8, `support` as bits, the rest as it is."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in _BYTES:
            out[name] = (tensor / _STEP).round().clamp(0, 255).to(torch.uint8)
        elif name in _MAPS and tensor.numel():
            largest = tensor.abs().amax((-3, -2, -1), keepdim=True)
            out[name] = (tensor / largest.clamp_min(1e-12) * 127).round().to(torch.int8)
            out[name + _LARGEST] = largest
        elif name == "support":
            out[name] = torch.from_numpy(np.packbits(tensor.cpu().numpy() > 0))
        else:
            out[name] = tensor.to(torch.float16 if name in _HALVES else tensor.dtype).contiguous()
    return out


def widen(tensors: Mapping[str, Tensor], box: tuple[int, int, int]) -> dict[str, Tensor]:
    """Inverse of `narrow`, fp32; `box` is the shape of `support`. Older files have `support` as bool."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(_LARGEST):
            continue
        if name + _LARGEST in tensors:
            out[name] = tensor.float() / 127 * tensors[name + _LARGEST]
        elif name == "support" and tensor.dtype == torch.uint8:
            bits = np.unpackbits(tensor.cpu().numpy(), count=int(np.prod(box)))
            out[name] = torch.from_numpy(bits.reshape(box)).float().to(tensor.device)
        else:
            out[name] = tensor.float() * (_STEP if tensor.dtype == torch.uint8 else 1)
    return out


def storable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they will be after saving and loading, so that latents made before and after agree."""
    return widen(narrow(tensors), tuple(tensors["support"].shape) if "support" in tensors else (0, 0, 0))  # type: ignore[arg-type]
