"""Sampling: the loop that runs a plan, and the ways from noise to data that are no table of rows."""

from diffx.sampling.adaptive import Adaptive, adaptive
from diffx.sampling.correct import PredictorCorrector, predictor_corrector
from diffx.sampling.inversion import invert
from diffx.sampling.loop import Sampler, sample
from diffx.sampling.options import plan_for

__all__ = [
    "Adaptive",
    "PredictorCorrector",
    "Sampler",
    "adaptive",
    "invert",
    "plan_for",
    "predictor_corrector",
    "sample",
]
