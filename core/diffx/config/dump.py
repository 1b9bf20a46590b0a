"""A configuration back to YAML, such that reading the text gives the same configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffx.config.options import RunConfig
from diffx.config.parse import expected
from diffx.config.resolve import escape
from diffx.config.schema import schema
from diffx.io.files import plain

# They tell one call what to do, not what the run is: a file that repeats them would write into the old folder.
OF_THE_CALL = ("config", "out", "resume")

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*\Z")
_WORDS = {"null", "none", "true", "false", "yes", "no", "on", "off", "y", "n"}


def flat(cfg: RunConfig) -> Iterator[tuple[str, Any]]:
    """(key, value) of each option, as it is typed and as JSON has it."""
    for key, option in schema(type(cfg)).options.items():
        value: Any = cfg
        for name in option.path:
            value = getattr(value, name)
        yield key, plain(value, finite=False)


def to_yaml(cfg: RunConfig, *, comments: bool = False, everything: bool = False) -> str:
    """YAML text of a resolved configuration.

    comments: each option's help and what it takes, for a file that a person will edit.
    everything: also `config`, `out` and `resume`, which belong to one call; a file must not hold `config`.
    """
    lines: list[str] = []
    table = schema(type(cfg))
    seen: set[str] = set()
    for option in table.options.values():
        if option.key in OF_THE_CALL and not everything:
            continue
        parts = option.key.split(".")
        for depth in range(1, len(parts)):
            group = ".".join(parts[:depth])
            if group not in seen:
                seen.add(group)
                lines.append(f"{'  ' * (depth - 1)}{parts[depth - 1]}:")
        value: Any = cfg
        for name in option.path:
            value = getattr(value, name)
        line = f"{'  ' * (len(parts) - 1)}{parts[-1]}: {scalar(value)}"
        if comments and option.help:
            line = f"{line}  # {option.help} [{expected(option)}]"
        lines.append(line)
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """One value as YAML that YAML 1.1 and 1.2 readers agree on."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isinf(value):
            return ".inf" if value > 0 else "-.inf"
        text = repr(value)  # the shortest text that reads back to the same float
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, (str, Path)):
        text = escape(str(value))
        if _PLAIN.match(text) and text.lower() not in _WORDS:
            return text
        return json.dumps(text, ensure_ascii=not text.isprintable())
    raise TypeError(f"no YAML for {type(value).__name__}")
