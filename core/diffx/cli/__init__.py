"""The command line. A verb's module is imported when the verb is used, and nothing heavy before a run is certain."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffx.cli.surroundings import settle
from diffx.errors import DiffxError, UsageError, did_you_mean

VERBS = {
    "run": "run a plugin's task: diffx run plugin=NAME [task=NAME] [key=value ...]",
    "plugins": "list, info, new, check, install, remove, block: the plugins",
    "config": "show, copy: the configuration a run would get",
    "weights": "list, verify: the weights that came with the plugins",
    "runs": "list, compare, open, clean: what was run before",
    "docs": "print a page of documentation: diffx docs [PAGE]",
    "doctor": "check this installation, and a plugin's with plugin=NAME",
    "completion": "print completion code for bash, zsh or fish",
}
HIDDEN = ("_complete",)
HEAD = """usage: diffx VERB ...

A suite of conditional diffusion models: one core, plugins beside it."""
FOOT = """diffx VERB --help says more; diffx run plugin=NAME --help shows the options of a plugin.
--version prints the version; --traceback, anywhere, prints the traceback of an error."""
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; see errors.py for what each means."""
    words = list(sys.argv[1:] if argv is None else argv)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    try:
        settle()
        code = _dispatch(words, traceback)
        sys.stdout.flush()
        return code
    except DiffxError as error:
        _show(error, traceback)
        for line in str(error).splitlines():
            print(f"diffx: error: {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("diffx: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        _show(error, traceback)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "" if traceback else " (add --traceback to see where)"
        print(f"diffx: error: {text}{hint}", file=sys.stderr)
        return 1


def _dispatch(words: list[str], traceback: bool) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else UsageError.exit_code
    if words[0] in ("-V", "--version"):
        from diffx import __version__

        print(f"diffx {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS and verb not in HIDDEN:
        if verb.startswith("plugin="):
            raise UsageError(f"{verb}: expected a verb first; write diffx run {' '.join(words)}")
        raise UsageError(f"unknown verb {verb!r}{did_you_mean(verb, VERBS)} (verbs: {', '.join(VERBS)})")
    import importlib

    module = importlib.import_module(f"diffx.cli.{verb.lstrip('_')}")
    if verb == "run":
        return module.main(rest, traceback=traceback)
    return module.main(rest)


def _help() -> str:
    from diffx.cli.layout import columns, paragraphs

    return paragraphs(HEAD) + "\n\n" + columns(list(VERBS.items()), indent=2) + "\n\n" + paragraphs(FOOT)


def _show(error: BaseException, traceback: bool) -> None:
    if traceback:
        import traceback as tracebacks

        tracebacks.print_exception(error)
