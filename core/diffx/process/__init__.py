"""Processes: what corrupts a part of the state, and how one reverse step undoes it."""

from diffx.process.base import Memory, Noisy, Process
from diffx.process.categorical import Categorical
from diffx.process.gaussian import Gaussian
from diffx.process.geodesic import Geodesic
from diffx.process.levels import lognormal, uniform_time
from diffx.process.masked import Masked
from diffx.process.product import Product
from diffx.process.schedule import EDM, VE, Cosine, Linear, RectifiedFlow, Schedule, Sigmoid, SubVP
from diffx.process.shifted import Shifted, ZeroTerminal
from diffx.process.space import SO3, Euclidean, Space, Torus
from diffx.process.weights import WEIGHTS, edm_weight, min_snr_weight, sigmoid_weight

SCHEDULES = {
    "cosine": Cosine,
    "linear": Linear,
    "linear_zero": ZeroTerminal,
    "sigmoid": Sigmoid,
    "subvp": SubVP,
    "ve": VE,
    "edm": EDM,
    "flow": RectifiedFlow,
    "flow_shifted": Shifted,
}

__all__ = [
    "EDM",
    "SCHEDULES",
    "SO3",
    "VE",
    "WEIGHTS",
    "Categorical",
    "Cosine",
    "Euclidean",
    "Gaussian",
    "Geodesic",
    "Linear",
    "Masked",
    "Memory",
    "Noisy",
    "Process",
    "Product",
    "RectifiedFlow",
    "Schedule",
    "Shifted",
    "Sigmoid",
    "Space",
    "SubVP",
    "Torus",
    "ZeroTerminal",
    "edm_weight",
    "lognormal",
    "min_snr_weight",
    "sigmoid_weight",
    "uniform_time",
]
