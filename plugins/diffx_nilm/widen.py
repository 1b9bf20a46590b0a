"""Weights for some appliances as a start for more of them.

A network that takes and gives some channels becomes one of more: those that it knew keep their weights; a new one
enters with weight 0, is predicted as 0, and has a usage that says nothing. So before training the wider network says of
the known channels what the narrower one did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from diffx.data.spec import Spec
from diffx.errors import UsageError
from diffx.pipeline import Pipeline, build, describe
from diffx.plugins import plugins_of

from .appliances import Appliance, choose
from .config import PowerConfig

_ENTRY, _EXIT, _USAGE = "denoiser.net.conv_in.weight", "denoiser.net.conv_out.", "conditioning.fields.{}."


def widened(
    known: Mapping[str, Tensor], fresh: Mapping[str, Tensor], before: Sequence[Appliance], now: Sequence[Appliance]
) -> dict[str, Tensor]:
    """The state of a model of the appliances ``now``.

    Args:
        known: state of the model of the appliances ``before``, each of which is one of ``now`` (by key).
        fresh: state of an untrained model of ``now``, otherwise alike.
        before: what the weights know.
        now: what the new ones are to know.
    """
    theirs, ours = ([a.key for a in appliances] for appliances in (before, now))
    place = [ours.index(name) for name in theirs]
    out = {name: tensor.clone() for name, tensor in fresh.items()}
    for name, tensor in known.items():
        if name == _ENTRY:
            out[name].zero_()
            out[name][:, place] = tensor[:, : len(theirs)]
            out[name][:, len(ours) :] = tensor[:, len(theirs) :]
        elif name.startswith(_EXIT):
            out[name].zero_()
            out[name][place] = tensor
        else:
            out[name] = tensor.clone()
    new = tuple(_USAGE.format(a.usage_key) for a in now if a.key not in {b.key for b in before})
    for name in out:
        if name.startswith(new) and (name.endswith("missing") or ".mix.2." in name):
            out[name] = torch.zeros_like(out[name])
    return out


def known(source: Pipeline) -> tuple[Appliance, ...]:
    """The appliances of a trained model."""
    described = source.meta.get("appliances")
    return tuple(map(Appliance.of_json, described)) if described else choose(source.config.appliances)


def start_file(source: Pipeline, cfg: PowerConfig, appliances: Sequence[Appliance], path: Path) -> Path | None:
    """Write the weights of ``from=`` for these appliances and ``net.window``; None where they are so already.

    UsageError where they know an appliance that is not among these.
    """
    before = known(source)
    keys = [a.key for a in appliances]
    if left_out := [a.key for a in before if a.key not in keys]:
        raise UsageError(f"from={cfg.from_}: it knows {', '.join(left_out)}, which appliances= leaves out")
    if [a.key for a in before] == keys and source.config.net.window == cfg.net.window:
        return None
    net = replace(source.config.net, window=cfg.net.window)
    config = replace(source.config, plugin="nilm", net=net, appliances=keys)
    spec = Spec((len(keys), cfg.net.window), ("mains", *(a.usage_key for a in appliances)))
    model, process = build(plugins_of(config), config, spec)
    model.load_state_dict(widened(source.model.state_dict(), model.state_dict(), before, appliances))
    facts = {**describe(config, spec), "appliances": [asdict(a) for a in appliances]}
    Pipeline(model, process, spec, device="cpu", config=config).save(path, facts)
    return path
