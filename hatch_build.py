"""Build hook: ships registry.yaml inside the wheel as diffx/registry.yaml.

An editable install reads the checkout's own file, so that editing the catalogue needs no reinstall.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RegistryHook(BuildHookInterface):
    """Force-include the catalogue in standard wheels; refuse to build with one that does not parse."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built; `version` is "standard" or "editable"."""
        source = Path(self.root) / "registry.yaml"
        if not isinstance(yaml.safe_load(source.read_text(encoding="utf-8")).get("plugins"), dict):
            raise ValueError(f"{source}: no mapping 'plugins'")
        if version == "standard":
            build_data["force_include"][str(source)] = "diffx/registry.yaml"
