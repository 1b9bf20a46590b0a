"""Processes: what corrupts a part of the state, and how one reverse step undoes it."""

from diffx.process.gaussian import Gaussian, Memory, Noisy, edm_weight, lognormal, uniform_time
from diffx.process.schedule import EDM, Cosine, Linear, RectifiedFlow, Schedule

SCHEDULES = {"cosine": Cosine, "linear": Linear, "edm": EDM, "flow": RectifiedFlow}

__all__ = [
    "EDM",
    "SCHEDULES",
    "Cosine",
    "Gaussian",
    "Linear",
    "Memory",
    "Noisy",
    "RectifiedFlow",
    "Schedule",
    "edm_weight",
    "lognormal",
    "uniform_time",
]
