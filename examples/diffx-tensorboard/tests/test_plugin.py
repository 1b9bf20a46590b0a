"""What diffx promises of every plugin."""

from diffx.checks.testing import PluginContract


class TestTensorboard(PluginContract):
    plugin = "tensorboard"
