"""`diffx doctor [plugin=NAME]`: print the checks of diffx.checks.doctor; exit 1 where something is not well."""

from __future__ import annotations

from collections.abc import Sequence

from diffx.checks.doctor import examine
from diffx.cli.layout import columns
from diffx.cli.words import Parser, print_json

MARKS = {True: "ok", False: "not ok", None: "-"}


def main(words: Sequence[str]) -> int:
    parser = Parser(prog="diffx doctor", description="check this installation, and a plugin's own checks")
    parser.add_argument("plugin", nargs="?", default="", metavar="plugin=NAME", help="a plugin to load and ask as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(list(words))
    checks = examine(given.plugin.removeprefix("plugin="))
    if given.json:
        print_json([check._asdict() for check in checks])
    else:
        print(columns([(MARKS[one.well], one.name, one.text) for one in checks]))
    return int(any(one.well is False for one in checks))
