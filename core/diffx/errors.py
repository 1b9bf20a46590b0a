"""The errors a user may meet. Each is one line that says what to do; its class decides the exit code.

0 ok, 1 run failed, 2 usage or configuration, 3 plugin, 4 extra, 5 data or weights, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DataError", "DiffxError", "ExtraError", "PluginError", "UsageError", "did_you_mean", "in_one_line"]


class DiffxError(Exception):
    """A run failed for a reason that the message states; exit code 1. Several problems: one line each."""

    exit_code = 1


class UsageError(DiffxError):
    """The command line or the configuration is wrong; exit code 2."""

    exit_code = 2


class PluginError(DiffxError):
    """A plugin is unknown, broken, blocked or made for another API; exit code 3."""

    exit_code = 3


class ExtraError(DiffxError):
    """A plugin's own dependencies are missing or do not load; exit code 4."""

    exit_code = 4


class DataError(DiffxError):
    """Data or weights are missing, damaged or of the wrong form; exit code 5."""

    exit_code = 5


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`"; did you mean 'train.lr'?"`, or "" where nothing is close.

    Dotted names are also compared by their last part, so that `lr` finds `train.lr`.
    """
    import difflib

    names = list(options)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not close:
        by_last: dict[str, str] = {}
        for name in names:
            by_last.setdefault(name.rpartition(".")[2], name)
        close = [by_last[last] for last in difflib.get_close_matches(word.rpartition(".")[2], by_last, n=1, cutoff=0.7)]
    return f"; did you mean {close[0]!r}?" if close else ""


def in_one_line(error: BaseException) -> str:
    """`"ValueError: text"`, without line breaks."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
