"""Training."""

from diffx.train.ema import PowerEMA
from diffx.train.loop import fit
from diffx.train.posthoc import reconstruct
from diffx.train.state import export

__all__ = ["PowerEMA", "export", "fit", "reconstruct"]
