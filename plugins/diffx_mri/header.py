"""What weights say of themselves, read from their header alone: no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffx.errors import DataError
from diffx.plugins.weights import check_safetensors, resolve_weights


def header_of(source: str | Path, plugin: str, key: str = "plugin") -> dict[str, Any]:
    """The facts in the weights that an option names: {"plugin", "config", ...}.

    Raises DataError where they are missing, damaged, another plugin's, or lack what makes them of the kind, `key`.
    """
    path = resolve_weights(source, plugin)
    try:
        facts = json.loads(check_safetensors(path).get("diffx", "{}"))
    except ValueError as error:
        raise DataError(f"{path}: its header does not parse ({error})") from None
    if facts.get("plugin", plugin) != plugin:
        raise DataError(f"{path} holds weights of {facts['plugin']!r}, not of {plugin!r}")
    if key not in facts:
        raise DataError(f"{path} holds no {'weights of ' + plugin if key == 'plugin' else key}")
    return facts
