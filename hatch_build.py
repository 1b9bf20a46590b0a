"""Build hook: ships registry.yaml and the pages of docs/ inside the wheel, as diffx/registry.yaml and diffx/docs/.

An editable install reads the checkout's own files, so that editing them needs no reinstall.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RegistryHook(BuildHookInterface):
    """Force-include catalogue and pages in standard wheels; refuse to build with a catalogue that does not parse."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built; `version` is "standard" or "editable"."""
        source = Path(self.root) / "registry.yaml"
        if not isinstance(yaml.safe_load(source.read_text(encoding="utf-8")).get("plugins"), dict):
            raise ValueError(f"{source}: no mapping 'plugins'")
        if version == "standard":
            build_data["force_include"][str(source)] = "diffx/registry.yaml"
            for page in (Path(self.root) / "docs").glob("*.md"):
                build_data["force_include"][str(page)] = f"diffx/docs/{page.name}"
