"""For the site: `:func:` and its like in docstrings become code, linked where the name has a place in the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:meth|func|class|mod|data|attr|exc):`([~.]?)([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites docstrings after griffe has read them; the code itself keeps its roles."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda found: _link(found, obj), obj.docstring.value)


def _link(found: re.Match[str], obj: griffe.Object) -> str:
    short, name = found.groups()
    shown = name.rpartition(".")[2] if short else name
    owner = obj if obj.is_class or obj.is_module else obj.parent
    path = name if "." in name or owner is None else f"{owner.path}.{name}"
    return f'<autoref optional identifier="{path}">`{shown}`</autoref>'
