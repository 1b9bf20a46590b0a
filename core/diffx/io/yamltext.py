"""YAML in which a scalar stays the text that was written; its type is decided by who reads it.

A plain `null`, `~` or nothing is None; a quoted one is text. A key that is given twice is an error. The merge key
`<<: *anchor`, or `<<: [*one, *two]`, brings in the keys of other mappings, of which those beside it and the earlier
ones count (https://yaml.org/type/merge.html).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # ten times faster where libyaml is there


class _TextLoader(_Base):  # type: ignore[misc]
    pass


def _scalar(loader: Any, node: yaml.ScalarNode) -> str | None:
    plain = node.style in (None, "")
    return None if plain and node.value in ("", "~", "null", "Null", "NULL") else node.value


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: dict[str, Any] | None = None
    for key_node, value_node in node.value:
        key = key_node.value
        is_merge = key == "<<" and key_node.style in (None, "")
        if not isinstance(key, str) or key in result or (is_merge and merged is not None):
            why = f"the key {key!r} is given twice" if isinstance(key, str) else "a key has to be text"
            raise yaml.constructor.ConstructorError(None, None, why, key_node.start_mark)
        value = loader.construct_object(value_node, deep=True)
        if is_merge:
            merged = _merged(value, key_node)
        else:
            result[key] = value
    return {**(merged or {}), **result}


def _merged(value: Any, node: yaml.Node) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for one in reversed(value if isinstance(value, list) else [value]):
        if not isinstance(one, dict):
            why = "<< merges a mapping, or a list of mappings: write <<: *anchor"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)
        result.update(one)
    return result


def _sequence(loader: Any, node: yaml.SequenceNode) -> list[Any]:
    return [loader.construct_object(item, deep=True) for item in node.value]


# Added without a tag each: whatever a document claims to be, it is built as text, list or mapping.
def _construct(loader: Any, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return _sequence(loader, node)
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(loader, node)


_TextLoader.add_constructor(None, _construct)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping a YAML file holds, scalars as text. Raises ValueError with one line that names file and line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text") from error
    try:
        tree = yaml.load(text, Loader=_TextLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: {getattr(error, 'problem', None) or error}".replace("\n", " ")) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a mapping of key: value")
    return tree
