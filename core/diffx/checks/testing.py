"""The checks of `diffx plugins check` as tests of a plugin's own project. Needs pytest.

A project inherits `PluginContract`, as `diffx plugins new` writes it; the distribution has to be installed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from diffx.checks.contract.domain import Domain
from diffx.checks.contract.extension import check_extension
from diffx.plugins.loader import is_extension
from diffx.plugins.registry import find

__all__ = ["PluginContract"]


def _nothing(problems: Iterator[str]) -> None:
    found = list(problems)
    assert not found, "\n".join(found)


class PluginContract:
    """One test for each promise of a plugin. Inherit it in a class whose name begins with Test.

    plugin: its name. options: further `key=value` words, such as where a little data lie if it brings none of its own.
    """

    plugin: str
    options: Sequence[str] = ()
    _domain: Domain

    @pytest.fixture
    def domain(self, tmp_path_factory: pytest.TempPathFactory) -> Domain:
        """The plugin as a domain; it is trained once for all tests of the class."""
        if is_extension(find(self.plugin)):
            pytest.skip("an extension has no data of its own")
        kept = vars(type(self))
        if "_domain" not in kept:
            type(self)._domain = Domain(self.plugin, self.options, tmp_path_factory.mktemp("contract"))
        if not self._domain.trains:
            pytest.skip("its manifest names no tasks train and sample")
        return self._domain

    def test_manifest_options_and_import(self) -> None:
        """In a process of its own, where it shows what importing the plugin drags in."""
        command = [sys.executable, "-m", "diffx.checks.contract", self.plugin, "--to", "import"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_samplers_schedules_networks_and_loggers(self, tmp_path: Path) -> None:
        _nothing(check_extension(self.plugin, tmp_path))

    def test_data(self, domain: Domain) -> None:
        _nothing(domain.data())

    def test_saving(self, domain: Domain) -> None:
        _nothing(domain.saving())

    def test_training(self, domain: Domain) -> None:
        _nothing(domain.training())

    def test_resuming(self, domain: Domain) -> None:
        _nothing(domain.resuming())

    def test_sampling(self, domain: Domain) -> None:
        _nothing(domain.sampling())
