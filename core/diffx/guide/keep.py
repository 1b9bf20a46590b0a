"""In- and outpainting that leaves what is known as it was, and a way to guide one part of a mixed state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition
from diffx.predict import Predict


def keep(predict: Predict, mask: Any, known: Any, reveal: bool | Collection[str] = False) -> Predict:
    """The replacement guide: ``known`` in place of the prediction where ``mask`` is True (Song et al. 2021, app. I.2).

    The last row of a plan that ends at 0 hands on its prediction, so the known part of the sample has the bits of
    ``known``, whatever the other guides did: apply ``keep`` last. The rest is fitted to it only by what the network
    sees of the noisy known part, which leaves a seam where the two depend on one another; :func:`diffx.plan.repaint`
    narrows it, and :func:`diffx.guide.posterior` with a ``Mask``, inside ``keep``, closes it where the data are close
    to normal.

    Args:
        predict: x_0-hat, token logits, or a mapping of those.
        mask: bool, broadcast against x [B, ...]; for a mixed state {leaf: mask}, and leaves without one are free.
        known: fp32, or token numbers where the prediction is their logits [..., K]; of the state's shape or broadcast
            against it. What it holds outside the mask, NaN for one, is never looked at.
        reveal: show the network the known tokens from the start, instead of when their turn comes; True, or the leaves
            to do so with. For absorbing diffusion, where it makes the conditional exact: a token that is not masked is
            clean at every time.
    """
    one_state = not isinstance(known, Mapping)
    masks, knowns = ({"": mask}, {"": known}) if one_state else (mask, known)
    shown = set(masks if reveal is True else reveal or ())

    def guided(x: Any, t: Any, condition: Condition | None = None) -> Any:
        state: Any = {"": x} if one_state else dict(x)
        for name in shown & masks.keys():
            state[name] = torch.where(masks[name], knowns[name], state[name])
        prediction: Any = predict(state[""] if one_state else state, t, condition)
        out = {"": prediction} if one_state else dict(prediction)
        for name in masks:
            out[name] = _replaced(out[name], masks[name], knowns[name])
        return out[""] if one_state else out

    return guided


def _replaced(prediction: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    if known.is_floating_point():
        return torch.where(mask, known.to(prediction.dtype), prediction)
    # a token for certain: logit 0, all others impossible
    certain = torch.arange(prediction.shape[-1], device=prediction.device) == known[..., None]
    return torch.where(mask[..., None], torch.where(certain, 0.0, -torch.inf), prediction)


def on_leaf(predict: Predict, leaf: str, guide: Callable[[Predict], Predict]) -> Predict:
    """A guide of one tensor, applied to a leaf of a mixed state: ``guide`` sees the leaf, the rest of the state held.

    The other leaves are predicted as without the guide, which must ask for that prediction first, as all here do.
    """

    ask: Any = predict

    def guided(x: Any, t: Any, condition: Condition | None = None) -> Any:
        state, clock = x, t
        others: dict[str, Tensor] = {}

        def alone(x: Any, t: Any, condition: Condition | None = None) -> Any:
            prediction = ask({**state, leaf: x}, {**clock, leaf: t}, condition)
            if not others:
                others.update({name: m.detach() for name, m in prediction.items() if name != leaf})
            return prediction[leaf]

        guided_leaf = guide(alone)(x[leaf], t[leaf], condition)
        return {**others, leaf: guided_leaf}

    return guided
