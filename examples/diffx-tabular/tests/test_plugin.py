"""What diffx promises of every plugin."""

from diffx.checks.testing import PluginContract


class TestTabular(PluginContract):
    plugin = "tabular"
    options = ("preset=quick", "condition=[age]")
