"""Data sets: packed arrays, who is held out, keys of cached files, and what the state of an item looks like.

Light to import: :mod:`diffx.data.packed` and :mod:`diffx.data.spec` load torch, the rest does not.
"""

from diffx.data.brief import Brief
from diffx.data.keys import cache_key
from diffx.data.split import assign, hold_out, is_held_out

__all__ = ["Brief", "assign", "cache_key", "hold_out", "is_held_out"]
