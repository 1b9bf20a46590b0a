"""The plain values of a Python pickle - numbers, text, lists, tuples, dictionaries - without unpickling it."""

from __future__ import annotations

import pickletools
from typing import Any

_MARK = object()
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# name of a class and what calls it -> how many values it takes from the stack; the result is not known
_CALLS = {"GLOBAL": 0, "STACK_GLOBAL": 2, "REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3}


def plain_values(data: bytes) -> Any:
    """What the pickle would give, with None for every object that is not plain; None for bytes that are no pickle.

    The opcodes are walked, never run: no class is looked up and nothing is called.
    """
    try:
        return _walk(data)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError):
        return None


def _walk(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        at = len(stack) - 1 - stack[::-1].index(_MARK)
        values = stack[at + 1 :]
        del stack[at:]
        return values

    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack[-1]
        if name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument or 0)])
        elif name in _TUPLES:
            size = _TUPLES[name]
            values = tuple(stack[len(stack) - size :])
            del stack[len(stack) - size :]
            stack.append(values)
        elif name == "TUPLE":
            stack.append(tuple(marked()))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "LIST":
            stack.append(marked())
        elif name == "DICT":
            values = tuple(marked())
            stack.append(dict(zip(values[::2], values[1::2], strict=True)))
        elif name in ("APPEND", "APPENDS"):
            more = marked() if name == "APPENDS" else [stack.pop()]
            if isinstance(stack[-1], list):
                stack[-1].extend(more)
        elif name in ("SETITEM", "SETITEMS"):
            pairs = marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            if isinstance(stack[-1], dict):
                stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "BUILD":
            stack.pop()
        elif name in _CALLS:
            del stack[len(stack) - _CALLS[name] :]
            stack.append(None)
        elif argument is not None and not opcode.stack_before and len(opcode.stack_after) == 1:
            stack.append(argument)  # a number or a text
        else:
            raise ValueError(f"a pickle with {name}")
    raise ValueError("a pickle without an end")
