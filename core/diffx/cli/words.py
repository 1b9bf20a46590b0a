"""What the verbs share: reading their words, and small tables on the screen."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from diffx.errors import UsageError, did_you_mean


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError, so that every error of the program has one form and one exit."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **keywords)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def subverb(words: Sequence[str], verb: str, known: dict[str, str], default: str = "") -> tuple[str, list[str]]:
    """(the word after a verb, the rest); `default` where there is none. `--help` in its place is answered here."""
    if default and not (words and (words[0] in ("-h", "--help") or not words[0].startswith("-"))):
        return default, list(words)
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: diffx {verb} {{{','.join(known)}}} ...\n")
        print("\n".join(f"  {name:<12}{line}" for name, line in known.items()))
        if not words:
            raise UsageError(f"diffx {verb}: expected one of {', '.join(known)}")
        raise SystemExit(0)
    if words[0] not in known:
        raise UsageError(f"diffx {verb} {words[0]}: unknown{did_you_mean(words[0], known)} (one of {', '.join(known)})")
    return words[0], list(words[1:])


def columns(rows: Sequence[Sequence[str]], indent: int = 0) -> str:
    """Left-aligned columns; the last one is wrapped to the width of the screen."""
    if not rows:
        return ""
    width = max(60, min(shutil.get_terminal_size().columns, 140))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    start = indent + sum(w + 2 for w in widths)
    lines = []
    for row in rows:
        head = " " * indent + "".join(f"{cell:<{w + 2}}" for cell, w in zip(row, widths))
        body = textwrap.wrap(row[-1], max(30, width - start), break_long_words=False, break_on_hyphens=False) or [""]
        lines.append((head + body[0]).rstrip())
        lines += [" " * start + line for line in body[1:]]
    return "\n".join(lines)
