"""Checks of an installation and of a plugin."""
