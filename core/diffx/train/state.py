"""Everything a training run is, as tensors and a step number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.io.renamed import current
from diffx.train.ema import PowerEMA
from diffx.train.uncertainty import Uncertainty


@dataclass
class State:
    """Weights, their averages, optimiser moments and the loss scale after ``step`` steps.

    Args:
        model: what is trained.
        ema: the average that is shipped.
        optimiser: of the model's trainable parameters, in order, then those of ``uncertainty``.
        scaler: of the loss, for fp16.
        profiles: further averages, of which snapshots are taken.
        uncertainty: of each noise level, if it is learned.
        extra: tensors that belong to the weights though they are not trained.
        step: optimiser steps done.
    """

    model: nn.Module
    ema: PowerEMA
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    profiles: tuple[PowerEMA, ...] = ()
    uncertainty: Uncertainty | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = 0

    def _names(self) -> list[str]:
        return [name for name, p in self.model.named_parameters() if p.requires_grad]

    def _optimised(self) -> list[str]:
        more = self.uncertainty.state_dict() if self.uncertainty else ()
        return [*self._names(), *(f"uncertainty.{name}" for name in more)]

    def _named(self, average: PowerEMA) -> dict[str, Tensor]:
        """An average by the names of its parameters; tied ones have several."""
        of = {id(p): values for p, values in zip(average.source, average.average, strict=True)}
        named = self.model.named_parameters(remove_duplicate=False)
        return {name: of[id(p)] for name, p in named if id(p) in of}

    def advance(self) -> None:
        """After an optimiser step: count it, and take it into the averages."""
        self.step += 1
        for average in (self.ema, *self.profiles):
            average.update(self.step)

    def averaged(self) -> dict[str, Tensor]:
        """The model's state dict with averaged parameters: what is shipped and sampled."""
        return {**self.model.state_dict(), **self._named(self.ema)}

    def profiled(self) -> dict[str, Tensor]:
        """The further averages of the trained parameters, ``profile0.NAME``, ``profile1.NAME``."""
        return {
            f"profile{number}.{name}": values
            for number, profile in enumerate(self.profiles)
            for name, values in self._named(profile).items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, as it is saved."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self._named(self.ema).items()} | self.profiled()
        if self.uncertainty:
            tensors |= {f"uncertainty.{k}": v for k, v in self.uncertainty.state_dict().items()}
        optimised = self._optimised()
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{optimised[number]}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        return tensors | {f"extra.{k}": v for k, v in self.extra.items()}

    def facts(self) -> dict[str, Any]:
        """What the header says of it."""
        return {"kind": "checkpoint", "step": self.step, "scaler": self.scaler.state_dict()}

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """One safetensors file from which training goes on to the bit."""
        checkpoint.save(path, self.tensors(), {**meta, **self.facts()})

    def load_state(self, path: Path) -> dict[str, Any]:
        """Take up a saved state; returns its meta. DataError if it belongs to another network or other options."""
        tensors, meta = checkpoint.load(path)
        if meta.get("kind") != "checkpoint":
            raise DataError(f"{path} holds weights only; training resumes from a checkpoint")
        checkpoint.load_into(self.model, checkpoint.under(tensors, "model"), path)
        names = self._names()
        for prefix, average in {"ema": self.ema, **{f"profile{k}": p for k, p in enumerate(self.profiles)}}.items():
            saved = current(checkpoint.under(tensors, prefix), names)
            if not saved:
                raise DataError(f"{path} was written without train.ema_snapshots; they have to be kept from the start")
            for name, values in zip(names, average.average, strict=True):
                values.copy_(saved[name])
        if self.uncertainty and (saved := checkpoint.under(tensors, "uncertainty")):
            self.uncertainty.load_state_dict(saved)
        state = self.optimiser.state_dict()
        optimised = self._optimised()
        fields = {f"{name}.{key}" for name in optimised for key in ("step", "exp_avg", "exp_avg_sq")}
        saved = current(checkpoint.under(tensors, "optimiser"), fields)
        moments = {k: checkpoint.under(saved, name) for k, name in enumerate(optimised)}
        state["state"] = {number: found for number, found in moments.items() if found}
        if state["state"]:
            self.optimiser.load_state_dict(state)
        if meta["scaler"]:
            self.scaler.load_state_dict(meta["scaler"])
        self.step = meta["step"]
        return meta
