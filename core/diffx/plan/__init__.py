"""Plans: a sampler is a table of numbers, made by a function from a schedule and a grid of times."""

from diffx.plan.adams import ab, lms
from diffx.plan.grids import GRIDS
from diffx.plan.make import SOLVERS, make_plan
from diffx.plan.multistep import dpmpp
from diffx.plan.pndm import pndm
from diffx.plan.resample import repaint
from diffx.plan.single import ddim, ddpm, euler, euler_ancestral
from diffx.plan.stages import dpm2, dpmpp_2s, heun
from diffx.plan.unipc import unipc
from diffx.process.synchronised import synchronised_steps, synchronised_times, synchronised_transitions
from diffx.process.table import JointPlan, JointRow, Plan, Row
from diffx.process.transitions import transitions
from diffx.process.walk import geodesic_random_walk, low_temperature

__all__ = [
    "GRIDS",
    "SOLVERS",
    "JointPlan",
    "JointRow",
    "Plan",
    "Row",
    "ab",
    "ddim",
    "ddpm",
    "dpm2",
    "dpmpp",
    "dpmpp_2s",
    "euler",
    "euler_ancestral",
    "geodesic_random_walk",
    "heun",
    "lms",
    "low_temperature",
    "make_plan",
    "pndm",
    "repaint",
    "synchronised_steps",
    "synchronised_times",
    "synchronised_transitions",
    "transitions",
    "unipc",
]
