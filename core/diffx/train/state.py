"""Everything a training run is, as tensors and a step number; and what is kept of it for sampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.train.ema import PowerEMA
from diffx.train.uncertainty import Uncertainty


@dataclass
class State:
    """Weights, their averages, optimiser moments and the loss scale after ``step`` steps.

    Args:
        ema: the average that is shipped. profiles: further ones, of which snapshots are taken.
        optimiser: of the model's trainable parameters, in order, then those of ``uncertainty``.
        extra: tensors that belong to the weights though they are not trained.
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

    def advance(self) -> None:
        """After an optimiser step: count it, and take it into the averages."""
        self.step += 1
        for average in (self.ema, *self.profiles):
            average.update(self.step)

    def averaged(self) -> dict[str, Tensor]:
        """The model's state dict with averaged parameters: what is shipped and sampled."""
        return {**self.model.state_dict(), **dict(zip(self._names(), self.ema.average, strict=True))}

    def profiled(self) -> dict[str, Tensor]:
        """The further averages of the trained parameters, ``profile0.NAME``, ``profile1.NAME``."""
        names = self._names()
        return {
            f"profile{number}.{name}": values
            for number, profile in enumerate(self.profiles)
            for name, values in zip(names, profile.average, strict=True)
        }

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """One safetensors file from which training goes on to the bit."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in zip(self._names(), self.ema.average, strict=True)} | self.profiled()
        if self.uncertainty:
            tensors |= {f"uncertainty.{k}": v for k, v in self.uncertainty.state_dict().items()}
        optimised = self._optimised()
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{optimised[number]}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        tensors |= {f"extra.{k}": v for k, v in self.extra.items()}
        facts = {"kind": "checkpoint", "step": self.step, "scaler": self.scaler.state_dict()}
        checkpoint.save(path, tensors, {**meta, **facts})

    def restore(self, path: Path) -> dict[str, Any]:
        """Take up a saved state; returns its meta. DataError if it belongs to another network or other options."""
        tensors, meta = checkpoint.load(path)
        if meta.get("kind") != "checkpoint":
            raise DataError(f"{path} holds weights only; training resumes from a checkpoint")
        checkpoint.load_into(self.model, checkpoint.under(tensors, "model"), path)
        for prefix, average in {"ema": self.ema, **{f"profile{k}": p for k, p in enumerate(self.profiles)}}.items():
            saved = checkpoint.under(tensors, prefix)
            if not saved:
                raise DataError(f"{path} was written without train.ema_snapshots; they have to be kept from the start")
            for name, values in zip(self._names(), average.average, strict=True):
                values.copy_(saved[name])
        if self.uncertainty and (saved := checkpoint.under(tensors, "uncertainty")):
            self.uncertainty.load_state_dict(saved)
        state = self.optimiser.state_dict()
        moments = {k: checkpoint.under(tensors, f"optimiser.{name}") for k, name in enumerate(self._optimised())}
        state["state"] = {number: found for number, found in moments.items() if found}
        if state["state"]:
            self.optimiser.load_state_dict(state)
        if meta["scaler"]:
            self.scaler.load_state_dict(meta["scaler"])
        self.step = meta["step"]
        return meta


def export(
    path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], extra: Mapping[str, Tensor] | None
) -> None:
    """Weights for sampling: fp16 parameters under ``model.``, ``extra.`` as given."""
    named = {f"model.{k}": v for k, v in half(tensors).items()} | {f"extra.{k}": v for k, v in (extra or {}).items()}
    checkpoint.save(path, named, {**meta, "kind": "weights"})


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fp32 tensors as fp16, others as they are."""
    return {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
