"""Mixed states: each leaf has a process of its own, and one clock moves them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.noise import Noise
from diffx.process.base import Memory, Noisy, Process, Solver
from diffx.process.table import JointPlan, JointRow, Plan
from diffx.schedule import Schedule


@dataclass(frozen=True)
class Product(Process):
    """Independent noise on the leaves of a state, {leaf: tensor [B, ...]}: a table row is numbers and categories, a
    pose is translation, rotation and torsions.

    States, times, predictions and shapes are mappings with the leaves' names. One uniform variate sets the time of
    all leaves of a sample, each by its own noise distribution; 0 is clean. Plans are synchronised in the same way, so
    that the network meets in sampling the times it was trained at; for that the times of each leaf rise with the
    variate. The first leaf whose plans come from the solver leads, or else the first of all: its are the grid, the
    :attr:`schedule` and :attr:`sigma_data`.

    Args:
        leaves: the process of each leaf; a leaf's noise is keyed by its name, independent of the others'.
        weights: of each leaf's loss in the sum; 1 where not given. A Gaussian loss is a mean over elements, a discrete
            one a sum over tokens in nats.

    Raises:
        ValueError: no leaves, or a weight of a leaf that does not exist.
    """

    leaves: Mapping[str, Process]
    weights: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule = field(init=False, repr=False, compare=False)
    sigma_data: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.leaves:
            raise ValueError("a mixed state has at least one leaf")
        if unknown := set(self.weights) - set(self.leaves):
            raise ValueError(f"weights of no leaf: {', '.join(sorted(unknown))}; leaves: {', '.join(self.leaves)}")
        for name in ("schedule", "sigma_data"):
            object.__setattr__(self, name, getattr(self.leaves[self.lead], name))

    @property
    def lead(self) -> str:
        """Name of the leaf that leads."""
        return next((name for name, leaf in self.leaves.items() if leaf.uses_solver), next(iter(self.leaves)))

    @property
    def uses_solver(self) -> bool:  # type: ignore[override]
        """Whether the leaf that leads does."""
        return self.leaves[self.lead].uses_solver

    def times(self, u: np.ndarray) -> dict[str, np.ndarray]:
        """Training times of each leaf [B] from uniform variates [B] in (0, 1)."""
        return {name: process.times(u) for name, process in self.leaves.items()}

    def prior(self, shape: Mapping[str, tuple[int, ...]], noise: Noise, t: Any = None) -> dict[str, Tensor]:
        """The state at times ``t`` {leaf: float} of no data in particular; by default where sampling starts."""
        return {
            name: process.prior(shape[name], noise[name], None if t is None else t[name])
            for name, process in self.leaves.items()
        }

    def corrupt(self, x0: Mapping[str, Tensor], t: Mapping[str, Any], noise: Noise) -> Noisy:
        """Noise {leaf: x0 [B, ...]} to times {leaf: t}."""
        parts = {name: process.corrupt(x0[name], t[name], noise[name]) for name, process in self.leaves.items()}
        x, time, target, weight = (
            {name: getattr(part, what) for name, part in parts.items()} for what in ("x", "t", "target", "weight")
        )
        return Noisy(x, time, target, weight)

    def loss(self, prediction: Mapping[str, Tensor], noisy: Noisy) -> Tensor:
        """Weighted sum of the leaves' losses, one value a sample: [B]."""
        losses = [
            self.weights.get(name, 1.0) * process.loss(prediction[name], noisy[name])
            for name, process in self.leaves.items()
        ]
        return torch.stack(losses).sum(0)

    def step(
        self, x: Mapping[str, Tensor], prediction: Any, row: JointRow, memory: Memory, noise: Noise, index: int
    ) -> dict[str, Tensor]:
        """One row of each leaf's plan."""
        out = {
            name: process.step(
                x[name],
                None if prediction is None else prediction[name],
                row.leaves[name],
                memory[name],
                noise[name],
                index,
            )
            for name, process in self.leaves.items()
        }
        memory.told = _by_field({name: memory[name].told for name in self.leaves})
        return out

    def plan(self, solver: Solver, times: Sequence[float], eta: float | None = None) -> JointPlan:
        """A plan of the leaf that leads through ``times``, and plans of the others synchronised with it.

        Args:
            solver: of all leaves whose plans come from a solver.
            times: of the leaf that leads.
            eta: of every leaf that has one.

        Raises:
            ValueError: the leaf that leads has no such eta, or a leaf cannot keep step with it.
        """
        lead = self.leaves[self.lead]
        first = lead.plan(solver, times, eta)
        assert isinstance(first, Plan), "a leaf of a mixed state is not mixed itself"
        others = {
            name: leaf.synchronised(first, lead, solver, eta) for name, leaf in self.leaves.items() if name != self.lead
        }
        return JointPlan({name: first if name == self.lead else others[name] for name in self.leaves})

    def memory(self, x: Mapping[str, Tensor], depth: int) -> Memory:
        """That of each leaf."""
        leaves = {name: process.memory(x[name], depth) for name, process in self.leaves.items()}
        return Memory(depth, told=_by_field({name: one.told for name, one in leaves.items()}), leaves=leaves)

    def rehearse(self, predict: Callable[[Mapping[str, Any]], Any], noisy: Noisy, noise: Noise) -> Mapping[str, Any]:
        """What each leaf has to tell, by field and leaf."""

        def of(name: str) -> Callable[[Mapping[str, Any]], Any]:
            return lambda told: predict(_by_field({name: told}))[name]

        told = {name: leaf.rehearse(of(name), noisy[name], noise[name]) for name, leaf in self.leaves.items()}
        return _by_field(told)

    def clean(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The samples of each leaf."""
        return {name: process.clean(state[name]) for name, process in self.leaves.items()}


def _by_field(told: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{leaf: {field: value}} -> {field: {leaf: value}}."""
    out: dict[str, dict[str, Any]] = {}
    for leaf, fields in told.items():
        for name, value in fields.items():
            out.setdefault(name, {})[leaf] = value
    return out
