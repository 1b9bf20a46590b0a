"""What diffx promises of every plugin."""

from diffx.testing import PluginContract


class TestTensorboard(PluginContract):
    plugin = "tensorboard"
