"""Text and small tables that are no wider than the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

WIDEST = 140  # longer lines are hard to read


def screen_width() -> int:
    """Characters in a line: of the terminal, of COLUMNS, or else 80."""
    return max(20, min(shutil.get_terminal_size().columns, WIDEST))


def paragraphs(text: str) -> str:
    """Each line wrapped to the screen, and what goes on indented as its beginning."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += _wrapped(line.strip(), screen_width() - len(indent), indent, whole_words=True)
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]], indent: int = 0) -> str:
    """Left-aligned columns, wrapped to the screen.

    A first cell that takes more than a third of it stands on a line of its own; the other columns share the room.
    """
    if not rows:
        return ""
    width, gaps = screen_width() - indent, 2 * (len(rows[0]) - 1)
    widest = [max(map(len, column)) for column in zip(*rows)]
    first, *others = widest
    if first + sum(others) + gaps > width:
        first = max((len(row[0]) for row in rows if len(row[0]) <= width // 3), default=width // 3 if others else width)
        others = _share(others, width - first - gaps)
    lines = []
    for head, *cells in rows:
        wrapped = [_wrapped(cell, room) for cell, room in zip(cells, others)]
        if len(head) > first:
            lines += _wrapped(head, width)
            head = ""
        for parts in zip_longest([head], *wrapped, fillvalue=""):
            lines.append("  ".join(f"{part:<{room}}" for part, room in zip(parts, [first, *others])))
    return "\n".join(f"{' ' * indent}{line}".rstrip() for line in lines)


def _share(widest: Sequence[int], room: int) -> list[int]:
    """The width of each column: what it needs, where the room can be dealt so; the others share what is left."""
    widths = list(widest)
    for done, column in enumerate(sorted(range(len(widest)), key=lambda i: widest[i])):
        widths[column] = min(widest[column], max(room // (len(widest) - done), 8))
        room -= widths[column]
    return widths


def _wrapped(text: str, width: int, indent: str = "", whole_words: bool = False) -> list[str]:
    return textwrap.wrap(
        text,
        width + len(indent),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=not whole_words,
        break_on_hyphens=False,
    ) or [""]
