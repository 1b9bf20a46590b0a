"""Training."""

from diffx.train.ema import PowerEMA
from diffx.train.loop import export, fit

__all__ = ["PowerEMA", "export", "fit"]
