"""What diffx promises of every plugin."""

from diffx.checks.testing import PluginContract


class TestMlflow(PluginContract):
    plugin = "mlflow"
