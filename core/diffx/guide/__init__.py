"""Guides: functions from a prediction to a prediction, so that they compose in any order.

Each takes a :class:`diffx.predict.Predict` and returns one: ``keep(posterior(cfg(predict, 3.0, null), ...), ...)``.
Those that differentiate do so under ``sample``'s ``no_grad``, and through one another.
"""

from diffx.guide.energy import classifier, energy
from diffx.guide.free import autoguidance, cfg, interval_between
from diffx.guide.keep import keep, on_leaf
from diffx.guide.operators import Blur, Downsample, Fourier, Mask, Operator, Projection
from diffx.guide.posterior import posterior

__all__ = [
    "Blur",
    "Downsample",
    "Fourier",
    "Mask",
    "Operator",
    "Projection",
    "autoguidance",
    "cfg",
    "classifier",
    "energy",
    "interval_between",
    "keep",
    "on_leaf",
    "posterior",
]
