"""What diffx promises of every plugin."""

from diffx.testing import PluginContract


class TestTabular(PluginContract):
    plugin = "tabular"
    options = ("preset=quick", "condition=[age]")
