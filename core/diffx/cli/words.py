"""How the verbs read their words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from diffx.cli.layout import columns, paragraphs
from diffx.errors import UsageError, did_you_mean


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return paragraphs(text)


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError, so that every error of the program has one form and one exit."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **keywords)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def subverb(words: Sequence[str], verb: str, known: dict[str, str], default: str = "") -> tuple[str, list[str]]:
    """(the word after a verb, the rest); `default` where there is none. `--help` in its place is answered here."""
    if default and not (words and (words[0] in ("-h", "--help") or not words[0].startswith("-"))):
        return default, list(words)
    if not words or words[0] in ("-h", "--help"):
        print(paragraphs(f"usage: diffx {verb} {{{','.join(known)}}} ...") + "\n")
        print(columns(list(known.items()), indent=2))
        if not words:
            raise UsageError(f"diffx {verb}: expected one of {', '.join(known)}")
        raise SystemExit(0)
    if words[0] not in known:
        raise UsageError(f"diffx {verb} {words[0]}: unknown{did_you_mean(words[0], known)} (one of {', '.join(known)})")
    return words[0], list(words[1:])


def print_json(value: Any) -> None:
    """Print `value` for programs: indented JSON in ASCII, which every encoding of a stream bears."""
    import json

    print(json.dumps(value, indent=2, default=str))
