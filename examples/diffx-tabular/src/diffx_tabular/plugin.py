"""The hooks: a row is a product of Gaussian noise on numbers and hidden categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffx
from diffx_tabular.config import TabularConfig


@diffx.hookimpl
def diffx_config() -> type[TabularConfig]:
    return TabularConfig


@diffx.hookimpl
def diffx_data(cfg: TabularConfig, split: str) -> Any:
    from diffx_tabular.data import Data

    return Data.load(cfg.data).rows(split, cfg.condition)


@diffx.hookimpl
def diffx_conditioning(cfg: TabularConfig, spec: Any) -> Mapping[str, Any]:
    """The numbers of ``condition=``, as scores; categories need nothing, they are on view where they are given."""
    from diffx.condition import Scalar

    return {name: Scalar(-6, 6, cfg.net.condition) for name in spec.fields}


@diffx.hookimpl
def diffx_process(cfg: TabularConfig, spec: Any) -> Any:
    from diffx import defaults
    from diffx.process import Masked, Product

    leaves: dict[str, Any] = {}
    if "numbers" in spec.shape:
        leaves["numbers"] = defaults.diffx_process(cfg=cfg, spec=spec)
    if "categories" in spec.shape:
        leaves["categories"] = Masked(cfg.levels)
    # a mean over numbers, a sum over categories: so that each column counts
    return Product(leaves, {"numbers": float(*spec.shape["numbers"])} if "numbers" in leaves else {})


@diffx.hookimpl
def diffx_denoiser(cfg: TabularConfig, spec: Any, conditioning: Any) -> Any:
    from diffx.predict import Affine, JointDenoiser, Tokens
    from diffx_tabular.net import TableNet

    leaves = diffx_process(cfg, spec).leaves
    preconditioners: dict[str, Any] = {}
    if "numbers" in leaves:
        preconditioners["numbers"] = Affine(
            cfg.process.predict, leaves["numbers"].schedule, leaves["numbers"].sigma_data
        )
    if "categories" in leaves:
        preconditioners["categories"] = Tokens(leaves["categories"])
    (numbers,), (categories,) = (spec.shape.get(leaf, (0,)) for leaf in ("numbers", "categories"))
    most = max(cfg.levels, default=0)
    net = TableNet(numbers, categories, most + 1, most, cfg.net.width, cfg.net.depth, conditioning.vector)
    return JointDenoiser(net, preconditioners)
