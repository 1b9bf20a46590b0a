"""Conditioners: from a plugin's named fields to what a network understands.

A field that is missing (None, NaN) is something learned for that purpose, so a record without an age still trains the
network and a user may leave it out; guidance drops fields to the same.
"""

from diffx.condition.base import Condition, Conditioner
from diffx.condition.conditioning import Conditioning, Values, drop, forget
from diffx.condition.maps import Map
from diffx.condition.tokens import Tokens
from diffx.condition.vector import Label, Number, Vector

__all__ = [
    "Condition",
    "Conditioner",
    "Conditioning",
    "Label",
    "Map",
    "Number",
    "Tokens",
    "Values",
    "Vector",
    "drop",
    "forget",
]
