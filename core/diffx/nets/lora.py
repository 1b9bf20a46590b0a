"""Low-rank adapters: fine-tuning on few samples by a few numbers beside each weight (Hu et al. 2021)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from diffx.noise import Noise, derive

Targets = str | Callable[[str, nn.Module], bool]
_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LowRank(nn.Module):
    """W -> W + (alpha / r) B A, with A [r, in x kernel] and B [out, r]; B starts at zero.

    A parametrisation of the weight rather than a branch beside the layer: it holds wherever the weight is used.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, a: Tensor, alpha: float):
        super().__init__()
        self.a = nn.Parameter(a.to(weight))
        self.b = nn.Parameter(weight.new_zeros(weight.shape[0], len(a)))
        self.register_buffer("scale", torch.tensor(alpha / len(a), dtype=torch.float32))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a * self.scale.to(weight)).view_as(weight)


def _adapters(module: nn.Module) -> Iterator[tuple[str, nn.Module, LowRank]]:
    """(name, layer, adapter) of each adapted layer."""
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            for adapter in layer.parametrizations["weight"]:  # type: ignore[union-attr]
                if isinstance(adapter, LowRank):
                    yield name, layer, adapter


def _attach(name: str, layer: nn.Module, a: Tensor, alpha: float) -> LowRank:
    adapter = LowRank(layer.weight, a, alpha)  # type: ignore[arg-type]
    parametrize.register_parametrization(layer, "weight", adapter, unsafe=True)  # as shapes and dtypes are kept
    return adapter


def add_lora(
    module: nn.Module, rank: int, alpha: float | None = None, targets: Targets | None = None, seed: int = 0
) -> list[str]:
    """Freeze a module and give its layers trainable adapters, W + (alpha / r) B A (Hu et al. 2022).

    What it computes stays the same to the bit, since B starts at zero.

    Args:
        module: whose layers are adapted.
        rank: r of each adapter, cut to the smaller side of the weight's matrix.
        alpha: the adapters count (alpha / r) times; None: once. With a fixed alpha the learning rate need not follow r.
        targets: which of the Linear and Conv1d/2d/3d layers: a regular expression found in their names, or a function
            of (name, layer); None: all.
        seed: of A, which is normal with variance 1 / (columns of A).

    Returns:
        names of the adapters' parameters, the only ones that are trained from now on.

    Raises:
        ValueError: rank < 1, no layer chosen, or adapters already there.
    """
    if rank < 1:
        raise ValueError(f"the rank of an adapter is at least 1, not {rank}")
    if any(_adapters(module)):
        raise ValueError("this network has adapters already: merge them first")
    chosen = targets if callable(targets) else lambda name, _: targets is None or bool(re.search(targets, name))
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, _KINDS) and chosen(n, m)]
    if not layers:
        raise ValueError(f"no linear or convolutional layer is chosen by {targets!r}")
    module.requires_grad_(False)
    for name, layer in layers:
        rows, columns = len(layer.weight), layer.weight[0].numel()
        r = min(rank, rows, columns)
        a = Noise([derive(seed, "lora", name)]).normal(r, columns)[0] / math.sqrt(columns)
        _attach(name, layer, a, r if alpha is None else alpha)
    return [name for name, p in module.named_parameters() if p.requires_grad]


def lora_state(module: nn.Module) -> dict[str, Tensor]:
    """The adapters alone, to save: ``<layer>.lora_a``, ``.lora_b`` and ``.lora_scale`` of each adapted layer."""
    return {
        f"{name}.lora_{key}": value.detach()
        for name, _, adapter in _adapters(module)
        for key, value in adapter.state_dict().items()
    }


def load_lora(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Give a module the adapters of :func:`lora_state`; the rest as :func:`add_lora`, also in what it returns.

    Raises:
        ValueError: a layer that the module lacks or that is of another shape, or adapters already there.
    """
    if any(_adapters(module)):
        raise ValueError("this network has adapters already: merge them first")
    layers = dict(module.named_modules())
    names = [key.removesuffix(".lora_a") for key in state if key.endswith(".lora_a")]
    for name in names:
        a, b, layer = state[f"{name}.lora_a"], state[f"{name}.lora_b"], layers.get(name)
        if not isinstance(layer, _KINDS) or (len(layer.weight), layer.weight[0].numel()) != (len(b), a.shape[1]):
            raise ValueError(f"the adapter of {name!r} does not fit this network")
    module.requires_grad_(False)
    for name in names:
        a, b, scale = (state[f"{name}.lora_{key}"] for key in ("a", "b", "scale"))
        adapter = _attach(name, layers[name], a, float(scale) * len(a))
        with torch.no_grad():
            adapter.b.copy_(b)
            adapter.scale.copy_(scale)
    return [name for name, p in module.named_parameters() if p.requires_grad]


def merge(module: nn.Module) -> None:
    """Fold the adapters into the weights, which keep their first names; all parameters stay frozen."""
    for _, layer, _ in list(_adapters(module)):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    module.requires_grad_(False)
