"""Plugins: what they declare, where they are found, how they are loaded and called. Imports no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffx.plugins.loader import Plugins, load, plugins_of

__all__ = ["Plugins", "load", "plugins_of"]


def __getattr__(name: str) -> Any:
    # `diffx plugins` reads manifests and should not wait for what loads them
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from diffx.plugins import loader

    return getattr(loader, name)
