"""What diffx promises of every plugin."""

from diffx.testing import PluginContract


class TestMlflow(PluginContract):
    plugin = "mlflow"
