"""Plans of leaves that jump: tokens have no coefficients, only the times between which they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.process.table import Plan, Row, pairs


def transitions(times: Sequence[float], eta: float = 0.0, temperature: float = 1.0) -> Plan:
    """One exact posterior draw a step, for :class:`Masked` and :class:`Categorical`.

    Args:
        times: falling grid.
        eta: share from 0 to 1 of the largest probability with which a token on view may be hidden again at the right
            marginals, kept as C (ReMDM's rescaled schedule, Wang et al. 2025, section 4.1); masked tokens only.
        temperature: of the predicted probabilities; its inverse is kept as B. 1 samples what the network has learned.

    Raises:
        ValueError: eta or temperature out of range, or times that do not fall.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"transitions have eta from 0 to 1, not {eta}")
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, not {temperature}")
    name = "transitions" if eta == 0 else f"transitions(eta={eta:g})"
    return Plan(name, tuple(Row(t, s, b=(1 / temperature,), c=eta) for t, s in pairs(times)))
