"""`python -m diffx.checks.contract NAME [--to LEVEL] [key=value ...]`, as `diffx plugins check` starts it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from diffx.checks import check
from diffx.errors import DiffxError, PluginError
from diffx.plugins.loader import is_extension
from diffx.plugins.registry import Found, discover


def check_contract(found: Found, options: Sequence[str], folder: Path) -> Iterator[str]:
    """What is wrong with what a plugin does, a line each."""
    from diffx.checks.contract.domain import Domain
    from diffx.checks.contract.extension import check_extension

    yield from check_extension(found.name, folder / "extension")
    if is_extension(found):
        return
    domain = Domain(found.name, options, folder)
    if not domain.trains:
        print("               (its manifest names no tasks train and sample: neither was tried)")
        return
    for part in (domain.data, domain.saving, domain.training, domain.resuming, domain.sampling):
        wrong = list(part())
        yield from wrong
        if wrong:
            return  # the next one would only say it again


def main(words: Sequence[str]) -> int:
    """Print a line for each level; the exit code is that of the first problem, 0 where there is none."""
    parser = argparse.ArgumentParser(prog="python -m diffx.checks.contract")
    parser.add_argument("name")
    parser.add_argument("options", nargs="*")
    parser.add_argument("--to", default="contract")
    given = parser.parse_intermixed_args(list(words))
    found = next(found for found in discover() if found.name == given.name)
    for level in (*check.LEVELS, "contract"):
        code = PluginError.exit_code
        try:
            with TemporaryDirectory(prefix="diffx-check-") as folder:
                ours = check.LEVELS.get(level)
                wrong = list(ours(found) if ours else check_contract(found, given.options, Path(folder)))
        except DiffxError as error:
            wrong, code = str(error).splitlines(), error.exit_code
        if wrong:
            print(f"{level:<15}not ok", flush=True)
            for line in wrong:
                print(f"diffx: error: {line if found.label in line else f'{found.label}: {line}'}", file=sys.stderr)
            return code
        print(f"{level:<15}ok", flush=True)
        if level == "import":
            for line in check.hints(found):
                print(f"               hint: {line}", flush=True)
        if level == given.to:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
