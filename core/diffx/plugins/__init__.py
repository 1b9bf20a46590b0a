"""Plugins: what they declare, where they are found, how they are loaded and called. Imports no torch."""

from diffx.plugins.loader import Plugins, load, plugins_of

__all__ = ["Plugins", "load", "plugins_of"]
