"""Model and process from a configuration, through a plugin's hooks; and back from a file of weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diffx.condition import Conditioning
from diffx.config import RunConfig, renamed, resolve, schema
from diffx.config.dump import flat
from diffx.config.resolve import escape
from diffx.data.spec import Spec
from diffx.errors import DataError, PluginError, UsageError
from diffx.io import checkpoint
from diffx.nets import add_lora, merge
from diffx.nets.model import Model
from diffx.noise import derive
from diffx.plugins.loader import Plugins
from diffx.predict import denoiser_for

C = TypeVar("C", bound=RunConfig)

# Which call it was, and on which machine, is no property of the weights.
_OF_THE_RUN = (
    *("plugin", "task", "preset", "config", "out", "from", "resume", "device", "n", "extensions"),
    *("data.root", "data.cache"),
)


def build(plugins: Plugins, cfg: RunConfig, spec: Spec) -> tuple[Model, Any]:
    """An untrained model, with weights drawn from ``cfg.seed``, and its process.

    A denoiser of the plugin that predicts by itself (it has ``autocast``) is taken as it is; a plain network is wrapped
    as the process needs.
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
    """Set the denoiser's ``element_sigma_data``, if it has one, to the root mean square of each element over the data.

    At most ``most`` items are looked at, evenly chosen.
    """
    if getattr(model.denoiser, "element_sigma_data", None) is None:
        return
    total = torch.zeros_like(model.denoiser.element_sigma_data)
    chosen = range(0, len(data), math.ceil(len(data) / most) or 1)
    for index in chosen:
        total += torch.as_tensor(data[index]["x"], dtype=torch.float32).square()
    model.denoiser.element_sigma_data.copy_((total / len(chosen)).sqrt())


def describe(cfg: RunConfig, spec: Spec) -> dict[str, Any]:
    """What the header of a file must say so that :func:`restore` can rebuild the model."""
    values = {key: value for key, value in flat(cfg) if key not in _OF_THE_RUN}
    return {"plugin": cfg.plugin, "config": values, "spec": spec.to_json()}


def recorded(config_type: type[C], meta: dict[str, Any], path: Path) -> C:
    """The configuration in a header; options that have since gone are passed over. DataError for another plugin's."""
    known = schema(config_type).options
    values = {key: escape(value) for key, value in renamed(config_type, meta["config"]).items() if key in known}
    return resolve(config_type, preset={**values, "plugin": meta["plugin"]})


def restore(
    plugins: Plugins, config_type: type[C], path: Path
) -> tuple[Model, Any, C, Spec, dict[str, Tensor], dict[str, Any]]:
    """Model, process, configuration, spec, extra tensors and meta from weights or a checkpoint (its average is taken).

    The configuration is the one of training, with the extensions that ``plugins`` holds.

    Raises:
        DataError: the file is missing, damaged, foreign, or belongs to another plugin.
    """
    tensors, meta = checkpoint.load(path)
    if meta.get("plugin") != plugins.names[0]:
        raise DataError(f"{path} holds weights of {meta.get('plugin')!r}, not of {plugins.names[0]!r}")
    cfg = replace(recorded(config_type, meta, path), extensions=plugins.names[1:])
    spec = Spec.from_json(meta["spec"])
    model, process = build(plugins, cfg, spec)
    adapted = cfg.train.lora_rank and meta.get("kind") == "checkpoint"
    if adapted:
        add_lora(model, cfg.train.lora_rank)
    weights = checkpoint.under(tensors, "model") | checkpoint.under(tensors, "ema")
    checkpoint.load_into(model, weights, path)
    if adapted:
        merge(model)
    return model.eval(), process, cfg, spec, checkpoint.under(tensors, "extra"), meta
