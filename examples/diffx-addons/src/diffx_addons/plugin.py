"""The hooks. No tasks and no configuration: an extension only adds to other plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import diffx


@diffx.hookimpl
def diffx_samplers() -> Mapping[str, Callable[..., Any]]:
    from .kutta import kutta3

    return {"kutta3": kutta3}


@diffx.hookimpl
def diffx_schedules() -> Mapping[str, Callable[..., Any]]:
    from .laplace import Laplace

    return {"laplace": Laplace}


@diffx.hookimpl
def diffx_networks() -> Mapping[str, Callable[..., Any]]:
    from .mlp import mlp

    return {"mlp": mlp}
