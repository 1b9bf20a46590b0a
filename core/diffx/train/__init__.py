"""Training."""

from diffx.train.ema import PowerEMA
from diffx.train.loop import fit
from diffx.train.monitor import Monitor, Printer
from diffx.train.posthoc import reconstruct

__all__ = ["Monitor", "PowerEMA", "Printer", "fit", "reconstruct"]
