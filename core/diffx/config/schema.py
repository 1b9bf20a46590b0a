"""The options of a configuration class as one flat table, key -> Option."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union

from diffx.errors import PluginError

SCALARS = (bool, int, float, str, Path)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: `key` as shown and typed ("train.lr"), `path` as attributes, `type` its annotation, resolved."""

    key: str
    path: tuple[str, ...]
    type: Any
    default: Any
    help: str = ""
    unit: str = ""
    min: float | None = None
    max: float | None = None
    choices: tuple[Any, ...] | None = None
    common: bool = False
    former: str | None = None


@dataclasses.dataclass(frozen=True)
class Schema:
    """`options` in the order of declaration, the keys of the `groups` with their dataclass, `former` keys -> keys."""

    options: dict[str, Option]
    groups: dict[str, type]
    former: dict[str, str] = dataclasses.field(default_factory=dict)

    def names(self) -> list[str]:
        """Every key a user may type or mistype."""
        return [*self.options, *self.groups]


def schema(config_type: type) -> Schema:
    """Read the table off a dataclass. Raises PluginError where a field has no default or a type that has no parser."""
    if not (isinstance(config_type, type) and dataclasses.is_dataclass(config_type)):
        raise PluginError(f"{config_type!r} is not a dataclass type: a plugin's configuration inherits diffx.RunConfig")
    table = Schema({}, {})
    _collect(config_type, (), table)
    for old, new in table.former.items():
        if old in table.options:
            raise PluginError(f"{config_type.__qualname__}: the option {old} is now called {new}; rename it")
    return table


def _collect(group: type, path: tuple[str, ...], table: Schema) -> None:
    where = f"{group.__module__}.{group.__qualname__}"
    try:
        hints = typing.get_type_hints(group)
    except NameError as error:
        raise PluginError(f"{where}: its annotations do not resolve: {error}") from error
    for field in dataclasses.fields(group):
        here = (*path, field.name)
        key = ".".join(part.rstrip("_") for part in here)
        annotation = hints[field.name]
        if dataclasses.is_dataclass(annotation):
            assert isinstance(annotation, type)
            table.groups[key] = annotation
            _collect(annotation, here, table)
            continue
        if not supported(annotation):
            raise PluginError(f"{where}.{field.name}: no way to read a value of type {annotation} from text")
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            raise PluginError(f"{where}.{field.name}: an option needs a default; use diffx.option(default, help=...)")
        former = _former(group, field.name)
        if former is not None:
            table.former[".".join([*key.split(".")[:-1], former])] = key
        table.options[key] = Option(key, here, annotation, default, **{**field.metadata, "former": former})


def _former(group: type, name: str) -> str | None:
    """What an option was called before; a class that only changes its default need not say so again."""
    declared = (base.__dataclass_fields__.get(name) for base in group.__mro__ if dataclasses.is_dataclass(base))
    return next((f.metadata["former"] for f in declared if f is not None and f.metadata.get("former")), None)


def is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (Union, UnionType)


def members(annotation: Any) -> list[Any]:
    """The types of a union without None; of anything else, itself."""
    return [a for a in typing.get_args(annotation) if a is not NoneType] if is_union(annotation) else [annotation]


def optional(annotation: Any) -> bool:
    return is_union(annotation) and NoneType in typing.get_args(annotation)


def supported(annotation: Any) -> bool:
    """Whether `parse.convert` can read this type."""
    if is_union(annotation):
        return all(supported(a) for a in members(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return all(isinstance(a, (str, int, bool)) for a in args)
    if origin in (list, tuple):
        return bool(args) and all(a is Ellipsis or (supported(a) and typing.get_origin(a) is not origin) for a in args)
    return annotation in SCALARS
