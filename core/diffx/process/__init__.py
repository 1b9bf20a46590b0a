"""Processes: what corrupts a part of the state, and how one reverse step undoes it."""

from diffx.process.base import Memory, Noisy, Process
from diffx.process.categorical import Categorical
from diffx.process.gaussian import Gaussian
from diffx.process.geodesic import Geodesic
from diffx.process.masked import Masked
from diffx.process.product import Product
from diffx.process.space import SO3, Euclidean, Space, Torus
from diffx.process.weighting import WEIGHTS, edm_weight, min_snr_weight, sigmoid_weight

__all__ = [
    "SO3",
    "WEIGHTS",
    "Categorical",
    "Euclidean",
    "Gaussian",
    "Geodesic",
    "Masked",
    "Memory",
    "Noisy",
    "Process",
    "Product",
    "Space",
    "Torus",
    "edm_weight",
    "min_snr_weight",
    "sigmoid_weight",
]
