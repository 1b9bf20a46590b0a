"""Text to value by declared type. No text passes through YAML's guesses: `0010` stays "0010", `12:30` is not 750."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from diffx.config.schema import Option, is_union, members, optional
from diffx.errors import did_you_mean

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
NONE = ("", "none", "null", "~")

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_PLURALS = {bool: "true/false values", int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}


class Mismatch(ValueError):
    """A value is not of the declared type, or out of range; the text says what was expected."""


def read(option: Option, raw: Any, *, typed: bool) -> Any:
    """The value of `raw` for an option, checked.

    raw: text; or what a YAML file holds (text, None, a list of text); or a plain Python value.
    typed: it was typed on a command line, where a list is `a,b` or `[a,b]` and none is the word `none`.
    Raises Mismatch.
    """
    try:
        value = convert(raw, option.type, typed=typed)
    except Mismatch as error:
        raise Mismatch(f"expected {expected(option)}{error}") from None
    check(option, value)
    return value


def check(option: Option, value: Any) -> None:
    """Raises Mismatch where a value of the right type is out of range or not one of the choices."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if one is None:
            continue
        if option.choices is not None and one not in option.choices:
            raise Mismatch(f"expected {expected(option)}{did_you_mean(str(one), map(str, option.choices))}")
        if isinstance(one, (int, float)) and not isinstance(one, bool):
            low, high = option.min, option.max
            if (low is not None and one < low) or (high is not None and one > high):
                raise Mismatch(f"expected {expected(option)}")


def convert(raw: Any, annotation: Any, *, typed: bool) -> Any:
    """`raw` as a value of the annotated type. Raises Mismatch, whose text is a hint such as a did-you-mean, or ""."""
    if isinstance(raw, (bool, int, float, Path)):
        raw = str(raw)
    if optional(annotation):
        # A file has null for none, so there the text "none" can be meant as text.
        as_text = str in members(annotation) and not typed
        if raw is None or (isinstance(raw, str) and not as_text and raw.strip().lower() in NONE):
            return None
    if is_union(annotation):
        return _first_that_fits(raw, annotation, typed)
    if raw is None or isinstance(raw, dict):
        raise Mismatch("")
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return [convert(item, args[0], typed=typed) for item in _items(raw, typed)]
    if origin is tuple:
        items = list(_items(raw, typed))
        if args[-1] is Ellipsis:
            return tuple(convert(item, args[0], typed=typed) for item in items)
        if len(items) != len(args):
            raise Mismatch(f" ({len(items)} given)")
        return tuple(convert(item, kind, typed=typed) for item, kind in zip(items, args))
    if isinstance(raw, list):
        raise Mismatch("")
    if origin is Literal:
        for choice in args:
            if raw.strip() == str(choice):
                return choice
        raise Mismatch(did_you_mean(raw, map(str, args)))
    return _scalar(raw, annotation)


def _scalar(text: str, kind: Any) -> Any:
    if kind in (str, Path):
        if text == "???":
            raise Mismatch(" (??? stands for a missing value)")
        return kind(text)
    word = text.strip().lower()
    if kind is bool:
        if word in TRUE or word in FALSE:
            return word in TRUE
        raise Mismatch(did_you_mean(word, ("true", "false")))
    try:
        if kind is int:
            try:
                return int(word)
            except ValueError:
                number = float(word)  # 1e5 is a whole number too
                if number != int(number):
                    raise
                return int(number)
        number = float({".inf": "inf", "+.inf": "inf", "-.inf": "-inf"}.get(word, word))
    except (ValueError, OverflowError):
        raise Mismatch("") from None
    if math.isnan(number):
        raise Mismatch("")
    return number


def _first_that_fits(raw: Any, annotation: Any, typed: bool) -> Any:
    # text fits everything, so it comes last
    hint = ""
    for kind in sorted(members(annotation), key=lambda a: (a is str, a is float)):
        try:
            return convert(raw, kind, typed=typed)
        except Mismatch as error:
            hint = hint or str(error)
    raise Mismatch(hint)


_ITEM = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^,"'][^,]*?|))\s*(?:,|$)""")


def _items(raw: Any, typed: bool) -> Iterator[Any]:
    if isinstance(raw, (list, tuple)):
        yield from raw
        return
    if not typed:
        raise Mismatch("")
    text = raw.strip()
    if text[:1] in ("[", "(") and text[-1:] in ("]", ")"):
        text = text[1:-1].strip()
    at = 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:  # a quote that does not close, or text behind one
            raise Mismatch(" (the quotes do not match)")
        double, single, bare = found.groups()
        yield re.sub(r"\\(.)", r"\1", double) if double is not None else single if single is not None else bare
        at = found.end()


def expected(option: Option) -> str:
    """What an option takes, in words: "a number from 0 to 120 (years), or none"."""
    if option.choices is not None:
        kind = " or ".join(map(str, option.choices))
        if any(typing.get_origin(a) in (list, tuple) for a in members(option.type)):
            kind = f"a list of {kind}"
        return kind + (", or none" if optional(option.type) else "")
    text = " or ".join(dict.fromkeys(_in_words(a) for a in members(option.type)))
    low, high = option.min, option.max
    if low is not None and high is not None:
        text += f" from {low:g} to {high:g}" if abs(high) < 1e15 else f" from {low:g} to {high}"
    elif low is not None:
        text += f", at least {low:g}"
    elif high is not None:
        text += f", at most {high:g}"
    if option.unit:
        text += f" ({option.unit})"
    return text + (", or none" if optional(option.type) else "")


def _in_words(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin is list or (origin is tuple and args[-1] is Ellipsis):
        return f"a list of {_PLURALS.get(args[0]) or _in_words(args[0])}"
    if origin is tuple:
        same = len(set(args)) == 1
        return f"{len(args)} {_PLURALS[args[0]]}" if same and args[0] in _PLURALS else ", ".join(map(_in_words, args))
    if is_union(annotation):
        return " or ".join(_in_words(a) for a in members(annotation))
    return _WORDS[annotation]
