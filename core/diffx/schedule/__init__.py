"""Noise schedules, and where on them training looks."""

from diffx.schedule.base import EDM, VE, Cosine, Linear, RectifiedFlow, Schedule, Sigmoid, SubVP
from diffx.schedule.distribution import NoiseDistribution, lognormal, uniform_time
from diffx.schedule.shifted import Shifted, ZeroTerminal

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
    "VE",
    "Cosine",
    "Linear",
    "NoiseDistribution",
    "RectifiedFlow",
    "Schedule",
    "Shifted",
    "Sigmoid",
    "SubVP",
    "ZeroTerminal",
    "lognormal",
    "uniform_time",
]
