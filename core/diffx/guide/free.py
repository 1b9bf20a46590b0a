"""Guidance without a classifier: away from a worse prediction of the same network, or of a worse network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.predict import Predict
from diffx.process import Process, Product
from diffx.process.synchronised import synchronised_times
from diffx.state import column, each

#: Schedule times (low, high]; for a mixed state the same for all leaves or one a leaf.
Interval: TypeAlias = tuple[float, float] | Mapping[str, tuple[float, float]]


def cfg(
    predict: Predict,
    weight: float,
    null: Condition,
    interval: Interval | None = None,
    rescale: float = 0.0,
    together: bool = False,
) -> Predict:
    """Classifier-free guidance, m = m_null + w (m_cond - m_null) (Ho and Salimans 2022).

    Token logits are combined in the same way, which is p_null^(1-w) p_cond^w (Nisonoff et al. 2024).

    Args:
        predict: of the network that is told the condition.
        weight: w; 1 is off, everywhere in this project.
        null: what the unconditional prediction is told, of the batch's size.
        interval: schedule times (low, high] in which to guide (Kynkaanniemi et al. 2024); None: always. Outside, one
            evaluation is made.
        rescale: share of the conditional prediction's standard deviation that is restored (Lin et al. 2024, eq. 15-16).
        together: evaluate both in one batch of twice the size. Equal up to rounding; it can pay where a batch is too
            small to fill the device, and no more than breaks even on a CPU.

    Raises:
        ValueError: ``together``, and the condition and ``null`` do not have the same fields.
    """
    if weight == 1:
        return predict

    def pair(x: Any, t: Any, condition: Condition | None) -> tuple[Any, Any]:
        # an estimate is no part of what guidance takes away: both predictions are shown it
        unsaid = null if condition is None else replace(null, estimate=condition.estimate)
        if not together:
            return predict(x, t, condition), predict(x, t, unsaid)
        double = each(lambda leaf: torch.cat([leaf, leaf]), x)
        times = each(lambda time: time if np.ndim(time) == 0 else np.concatenate([time, time]), t)
        both = predict(double, times, _joined(condition, unsaid))
        return each(lambda m: m.chunk(2)[0], both), each(lambda m: m.chunk(2)[1], both)

    return _away(pair, predict, weight, interval, rescale)


def autoguidance(predict: Predict, weak: Predict, weight: float, interval: Interval | None = None) -> Predict:
    """Away from a worse network, m = m_weak + w (m - m_weak) (Karras et al. 2024, "a bad version of itself").

    Args:
        predict: of the network that samples are drawn with.
        weak: a smaller or less trained network of the same data, told the same.
        weight: w; 1 is off.
        interval: schedule times (low, high] in which to guide; None: always.
    """
    if weight == 1:
        return predict

    def pair(x: Any, t: Any, condition: Condition | None) -> tuple[Any, Any]:
        return predict(x, t, condition), weak(x, t, condition)

    return _away(pair, predict, weight, interval, rescale=0.0)


def interval_between(ratios: Sequence[float], process: Process) -> Interval | None:
    """The schedule times between two noise levels, for ``cfg`` and ``autoguidance``.

    Args:
        ratios: sigma/alpha from which and up to which to guide; none: always. In a mixed state they are of the leaf
            that leads, and the other leaves are at the times that belong to these.
        process: of the state.

    Raises:
        ValueError: other than no or two numbers that rise.
    """
    if not ratios:
        return None
    if len(ratios) != 2 or not 0 <= ratios[0] < ratios[1]:
        raise ValueError(f"a guidance interval is two numbers that rise, as 0.2,2, not {list(ratios)}")
    low, high = (float(process.schedule.time(ratio)) for ratio in ratios)
    if not isinstance(process, Product):
        return low, high
    lead = process.leaves[process.lead]
    leaves = {name: synchronised_times((low, high), lead, leaf) for name, leaf in process.leaves.items()}
    return {name: (low, high) if name == process.lead else (at[0], at[1]) for name, at in leaves.items()}


def _away(pair: Callable, predict: Predict, weight: float, interval: Interval | None, rescale: float) -> Predict:
    """bad + w (good - bad) for the (good, bad) that ``pair`` gives, inside the interval."""

    def guided(x: Any, t: Any, condition: Condition | None = None) -> Any:
        inside = _inside(interval, t)
        if not any(np.any(on) for on in (inside.values() if isinstance(inside, dict) else (inside,))):
            return predict(x, t, condition)

        def one(good: Tensor, bad: Tensor, on: Any) -> Tensor:
            out = bad + weight * (good - bad)
            if rescale:
                axes = tuple(range(1, out.ndim))
                wanted, got = (m.std(axes, correction=0, keepdim=True) for m in (good, out))
                restored = out * (wanted / got).where(got > 0, 1.0)  # a constant has no deviation to restore
                out = rescale * restored + (1 - rescale) * out
            if np.all(on):
                return out
            return torch.where(column(on, out, torch.bool), out, good) if np.any(on) else good

        return each(one, *pair(x, t, condition), inside)

    return guided


def _inside(interval: Interval | None, t: Any) -> Any:
    """Where times lie in their interval: bools of t's shape, one a leaf for a mixed state."""
    if isinstance(t, Mapping):
        return {k: _inside(interval[k] if isinstance(interval, Mapping) else interval, v) for k, v in t.items()}
    if interval is None:
        return np.ones_like(t, dtype=bool)
    assert not isinstance(interval, Mapping), "an interval a leaf is for a mixed state"
    return (interval[0] < np.asarray(t)) & (np.asarray(t) <= interval[1])


def _joined(first: Condition | None, second: Condition) -> Condition:
    """Two conditions as one batch."""
    first = Condition() if first is None else first
    joined = {}
    for name in (f.name for f in fields(Condition)):
        a, b = getattr(first, name), getattr(second, name)
        if (a is None) != (b is None):
            raise ValueError(f"evaluated together, the condition and the null condition must both have {name} or not")
        joined[name] = None if a is None else each(lambda one, other: torch.cat([one, other]), a, b)
    return Condition(**joined)
