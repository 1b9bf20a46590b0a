"""Processes: what corrupts a part of the state, and how one reverse step undoes it."""

from diffx.process.base import Memory, Noisy, Process
from diffx.process.categorical import Categorical
from diffx.process.gaussian import Gaussian
from diffx.process.levels import lognormal, uniform_time
from diffx.process.masked import Masked
from diffx.process.product import Product
from diffx.process.schedule import EDM, Cosine, Linear, RectifiedFlow, Schedule
from diffx.process.weights import WEIGHTS, edm_weight, min_snr_weight, sigmoid_weight

SCHEDULES = {"cosine": Cosine, "linear": Linear, "edm": EDM, "flow": RectifiedFlow}

__all__ = [
    "EDM",
    "SCHEDULES",
    "WEIGHTS",
    "Categorical",
    "Cosine",
    "Gaussian",
    "Linear",
    "Masked",
    "Memory",
    "Noisy",
    "Process",
    "Product",
    "RectifiedFlow",
    "Schedule",
    "edm_weight",
    "lognormal",
    "min_snr_weight",
    "sigmoid_weight",
    "uniform_time",
]
