"""What diffx promises of every plugin."""

from diffx.testing import PluginContract


class TestAddons(PluginContract):
    plugin = "addons"
