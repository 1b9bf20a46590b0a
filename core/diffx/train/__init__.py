"""Training."""

from diffx.train.ema import PowerEMA
from diffx.train.loop import fit
from diffx.train.monitor import Monitor, Printer
from diffx.train.objective import stratified
from diffx.train.order import item
from diffx.train.posthoc import reconstruct
from diffx.train.signals import StopAtBoundary
from diffx.train.state import State
from diffx.train.trainer import learning_rate

__all__ = [
    "Monitor",
    "PowerEMA",
    "Printer",
    "State",
    "StopAtBoundary",
    "fit",
    "item",
    "learning_rate",
    "reconstruct",
    "stratified",
]
