"""Everything a training run is, as tensors and a step number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffx import checkpoint
from diffx.errors import DataError
from diffx.train.ema import PowerEMA


@dataclass
class State:
    """Weights, their average, optimiser moments and the loss scale after ``step`` steps."""

    model: nn.Module
    ema: PowerEMA
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = 0

    def _names(self) -> list[str]:
        return [name for name, p in self.model.named_parameters() if p.requires_grad]

    def averaged(self) -> dict[str, Tensor]:
        """The model's state dict with averaged parameters: what is shipped and sampled."""
        return {**self.model.state_dict(), **dict(zip(self._names(), self.ema.average, strict=True))}

    def save(self, path: Path, meta: dict[str, Any]) -> None:
        """One safetensors file from which training goes on to the bit."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        names = self._names()
        tensors |= {f"ema.{k}": v for k, v in zip(names, self.ema.average, strict=True)}
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{names[number]}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        tensors |= {f"extra.{k}": v for k, v in self.extra.items()}
        checkpoint.save(
            path, tensors, {**meta, "kind": "checkpoint", "step": self.step, "scaler": self.scaler.state_dict()}
        )

    def restore(self, path: Path) -> dict[str, Any]:
        """Take up a saved state; returns its meta. DataError if it belongs to another network."""
        tensors, meta = checkpoint.load(path)
        if meta.get("kind") != "checkpoint":
            raise DataError(f"{path} holds weights only; training resumes from a checkpoint")
        checkpoint.load_into(self.model, checkpoint.under(tensors, "model"), path)
        averages = checkpoint.under(tensors, "ema")
        for name, average in zip(self._names(), self.ema.average, strict=True):
            average.copy_(averages[name])
        state = self.optimiser.state_dict()
        state["state"] = {
            number: checkpoint.under(tensors, f"optimiser.{name}") for number, name in enumerate(self._names())
        }
        if any(state["state"].values()):
            self.optimiser.load_state_dict(state)
        if meta["scaler"]:
            self.scaler.load_state_dict(meta["scaler"])
        self.step = meta["step"]
        return meta
