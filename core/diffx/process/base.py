"""What every process answers, and what it hands around."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from torch import Tensor

from diffx.noise import Noise
from diffx.process.synchronised import synchronised_steps, times_of
from diffx.process.table import JointPlan, Plan
from diffx.schedule import Schedule

#: (schedule, times) -> plan; it may also take ``eta`` and ``sigma_data``, and is given them where it does
Solver: TypeAlias = Callable[..., Plan]


@dataclass(frozen=True)
class Noisy:
    """A corrupted batch: ``x`` [B, ...], host times ``t`` [B], what the prediction should be, and the weight [B].

    For a mixed state each is a mapping, one entry a leaf.
    """

    x: Any
    t: Any
    target: Any
    weight: Any

    def __getitem__(self, leaf: str) -> Noisy:
        """The part of one leaf of a mixed state."""
        return Noisy(self.x[leaf], self.t[leaf], self.target[leaf], self.weight[leaf])


@dataclass
class Memory:
    """What is carried between the rows of a plan.

    Args:
        depth: how many outputs are kept; a plan says how many it needs.
        history: earlier outputs, newest first.
        anchor: the state that a step of several stages started from.
        told: what the network is told at the next row beside the condition, by field of a ``Condition``.
        leaves: the memory of each leaf of a mixed state.
    """

    depth: int = 4
    history: tuple[Tensor, ...] = ()
    anchor: Tensor | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    leaves: dict[str, Memory] = field(default_factory=dict)

    def __getitem__(self, leaf: str) -> Memory:
        return self.leaves.setdefault(leaf, Memory(self.depth))


class Process(ABC):
    """What noise does to a state, how one reverse step undoes it, and which steps there are.

    Everything else - sampling, guides, training - asks these questions only, so a process of your own works like those
    of the core. Inherit this class, answer what is abstract, and change the rest where your process needs it.

    The prediction is canonical: x_0-hat for Gaussian noise, token logits for discrete noise, the tangent score on a
    manifold, and a mapping of these for a mixed state.
    """

    #: alpha and sigma over time, which grids are spaced by; of a mixed state, those of the leaf that leads
    schedule: Schedule
    #: standard deviation of the data, for grids and solvers that ask for it; 1 where that has no meaning
    sigma_data: float = 1.0
    #: whether its plans come from the solver; the first such leaf of a mixed state leads the others
    uses_solver: ClassVar[bool] = False

    @abstractmethod
    def times(self, u: np.ndarray) -> Any:
        """Training times [B] from uniform variates [B] in (0, 1)."""

    @abstractmethod
    def prior(self, shape: Any, noise: Noise, t: Any = None) -> Any:
        """The state at time ``t`` of no data in particular, [B, *shape]; by default where sampling starts."""

    @abstractmethod
    def corrupt(self, x0: Any, t: Any, noise: Noise) -> Noisy:
        """Noise x0 [B, ...] to times t, a float or [B]."""

    @abstractmethod
    def loss(self, prediction: Any, noisy: Noisy) -> Tensor:
        """The training loss of each sample, [B]."""

    @abstractmethod
    def step(self, x: Any, prediction: Any, row: Any, memory: Memory, noise: Noise, index: int) -> Any:
        """The state after one row of a plan.

        Args:
            x: the state at ``row.t``.
            prediction: of x at ``row.t``; None in a row without evaluation.
            row: of a plan that :meth:`plan` made, for example a ``Row``.
            memory: what earlier rows left; this row's part is added to it.
            noise: fresh noise, keyed by ``step=index``.
            index: number of the row.
        """

    @abstractmethod
    def plan(self, solver: Solver, times: Sequence[float], eta: float | None = None) -> Plan | JointPlan:
        """The rows that take a state through ``times``.

        Args:
            solver: the solver that was asked for, (schedule, times, ...) -> Plan, for noise that is undone by linear
                steps; other processes make rows of their own.
            times: of :attr:`schedule`, falling from noise to data; rising for an inversion.
            eta: share of fresh noise, 0 is deterministic; None: what is usual for the solver or process.

        Raises:
            ValueError: an eta that is out of range, or that there is no way to keep.
        """

    def synchronised(self, plan: Plan, lead: Process, solver: Solver, eta: float | None = None) -> Plan:
        """The rows of this leaf of a mixed state, as many as those of ``plan``, which belongs to the leaf that leads.

        In each row both are at times that belong together in training (:func:`diffx.plan.synchronised_times`).

        Raises:
            ValueError: this process cannot keep step with such a plan.
        """
        own = self.plan(solver, times_of(plan, lead, self), eta)
        assert isinstance(own, Plan), "a leaf of a mixed state is not mixed itself"
        return synchronised_steps(own, plan)

    def memory(self, x: Any, depth: int) -> Memory:
        """What is carried between the rows of a plan, as it is before the first.

        Args:
            x: the state at the plan's first time.
            depth: how many outputs the plan needs to remember.
        """
        return Memory(depth)

    def rehearse(self, predict: Callable[[Mapping[str, Any]], Any], noisy: Noisy, noise: Noise) -> Mapping[str, Any]:
        """What the network is told in training beside the condition, by field of a ``Condition``; by default nothing.

        Args:
            predict: what it would be told -> its prediction for ``noisy``.
            noisy: the corrupted batch.
            noise: variates for choices of each sample's own.
        """
        return {}

    def clean(self, state: Any) -> Any:
        """The samples, made of the state at the end of a plan; by default the state itself."""
        return state
