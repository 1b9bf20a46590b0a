"""An untrained model and its process from a configuration, through a plugin's hooks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from diffx.condition import Conditioning
from diffx.config import RunConfig
from diffx.data.spec import Spec
from diffx.errors import PluginError, UsageError
from diffx.nets.model import Model
from diffx.noise import derive
from diffx.plugins.loader import Plugins
from diffx.predict import denoiser_for


def build(plugins: Plugins, cfg: RunConfig, spec: Spec) -> tuple[Model, Any]:
    """An untrained model, with weights drawn from ``cfg.seed``, and its process.

    A denoiser of the plugin that predicts by itself (it has ``autocast``) is taken as it is; a plain network is wrapped
    as the process needs.

    Args:
        plugins: whose hooks are asked.
        cfg: ``net.*``, ``process.*`` and what the plugin's hooks read.
        spec: of the data.

    Raises:
        PluginError: a hook fails, or returns a plain network for a process that cannot use one.
        UsageError: the options ask for a prediction or self-conditioning that the process cannot have.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(cfg.seed, "initial weights"))
        conditioning = Conditioning(plugins.call("diffx_conditioning", cfg=cfg, spec=spec))
        if cfg.net.self_condition:
            conditioning.spatial += spec.channels  # the network's own estimate
        net = plugins.call("diffx_denoiser", cfg=cfg, spec=spec, conditioning=conditioning)
        process = plugins.call("diffx_process", cfg=cfg, spec=spec)
        if cfg.net.self_condition:
            if not hasattr(process, "self_condition"):
                raise UsageError(f"net.self_condition=true needs a Gaussian process, not {type(process).__name__}")
            process = replace(process, self_condition=True)
        if not hasattr(net, "autocast"):
            net = _wrapped(net, process, cfg, spec)
        return Model(net, conditioning), process


def _wrapped(net: nn.Module, process: Any, cfg: RunConfig, spec: Spec) -> nn.Module:
    each_element = torch.full((spec.channels, *spec.size), process.sigma_data) if cfg.process.per_element else None
    try:
        return denoiser_for(net, process, cfg.process.predict, each_element)
    except TypeError as error:
        raise PluginError(f"diffx_denoiser: {error}") from None
    except ValueError as error:
        raise UsageError(f"process.predict={cfg.process.predict}: {error}") from None


def measure_element_sigma_data(model: Model, data: Any, most: int = 1000) -> None:
    """Set the denoiser's sigma_data of each element, if it has one, to the root mean square over the data.

    Args:
        model: whose denoiser is changed.
        data: of the training.
        most: items that are looked at, evenly chosen.
    """
    sigma_data = getattr(model.denoiser, "element_sigma_data", None)
    if sigma_data is None:
        return
    total = torch.zeros_like(sigma_data)
    chosen = range(0, len(data), math.ceil(len(data) / most) or 1)
    for index in chosen:
        total += torch.as_tensor(data[index]["x"], dtype=torch.float32).square()
    sigma_data.copy_((total / len(chosen)).sqrt())
