"""Load disaggregation: the power of each appliance from the power of the household."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .face import Disaggregator

__all__ = ["Disaggregator"]


def __getattr__(name: str) -> Any:
    if name == "Disaggregator":  # needs torch; the configuration, which is beside it, does not
        from .face import Disaggregator

        return Disaggregator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
