"""`diffx config show|copy`: the configuration a run would get, on the screen or as a file of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diffx.cli.chosen import choose, configure
from diffx.cli.words import Parser, print_json, subverb
from diffx.config import to_yaml
from diffx.config.dump import flat
from diffx.errors import UsageError

KNOWN = {
    "show": "print it as YAML: diffx config show plugin=NAME [key=value ...]",
    "copy": "write it to a file to edit and run with config=FILE: diffx config copy plugin=NAME [key=value ...] [FILE]",
}


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "config", KNOWN)
    parser = Parser(prog=f"diffx config {name}", description=KNOWN[name])
    parser.add_argument("words", nargs="*", metavar="key=value", help="as for diffx run")
    if name == "show":
        parser.add_argument("--json", action="store_true", help="print JSON, one flat object")
    else:
        parser.add_argument("--force", action="store_true", help="overwrite the file")
    given = parser.parse_intermixed_args(rest)
    chosen = choose(given.words, f"config {name}")
    if name == "show":
        if given.json:
            print_json(dict(flat(configure(chosen, given.words))))
            return 0
        print(to_yaml(configure(chosen, given.words), everything=True), end="")
        return 0
    names = [word for word in given.words if "=" not in word]
    if len(names) > 1:
        raise UsageError(f"one file, please: {' '.join(names)}")
    cfg = configure(chosen, [word for word in given.words if "=" in word])
    target = Path(names[0] if names else f"{chosen.manifest.name}.yaml")
    head = f"# {chosen.manifest.summary}\n# diffx run config={target}\n"
    try:
        with target.open("w" if given.force else "x", encoding="utf-8") as file:
            file.write(head + to_yaml(cfg, comments=True))
    except FileExistsError:
        raise UsageError(f"{target} exists: name another file, or add --force") from None
    except OSError as error:
        raise UsageError(f"{target}: {error.strerror}") from error
    print(f"wrote {target}; run it with: diffx run config={target}")
    return 0
