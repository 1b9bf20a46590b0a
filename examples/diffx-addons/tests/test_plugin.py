"""What diffx promises of every plugin."""

from diffx.checks.testing import PluginContract


class TestAddons(PluginContract):
    plugin = "addons"
