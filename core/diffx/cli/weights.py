"""`diffx weights list|verify`: the weights that came with the plugins."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffx.cli.words import Parser, columns, subverb
from diffx.errors import DataError, did_you_mean
from diffx.plugins.weights import shipped, verify

KNOWN = {
    "list": "their ids, for from=ID",
    "verify": "compare the files with the SHA-256 they were shipped with: all, or those named",
}


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "weights", KNOWN)
    parser = Parser(prog=f"diffx weights {name}", description=KNOWN[name])
    if name == "verify":
        parser.add_argument("ids", nargs="*", help="ids of weights; default all")
    given = parser.parse_args(rest)
    return _list() if name == "list" else _verify(given.ids)


def _list() -> int:
    rows = []
    for w in shipped():
        state = w.entry.card if w.path.is_file() else f"missing: {w.path}"
        rows.append((w.id, w.plugin, f"{w.entry.bytes / 1e6:.1f} MB", w.entry.licence, state))
    print(columns(rows) if rows else "no plugin ships weights")
    return 0


def _verify(ids: Sequence[str]) -> int:
    known = shipped()
    names = [name for w in known for name in (w.id, f"{w.plugin}/{w.id}")]
    for one in ids:
        if one not in names:
            raise DataError(f"weights {one!r}: no such id{did_you_mean(one, names)} (`diffx weights list` shows them)")
    chosen = [w for w in known if not ids or w.id in ids or f"{w.plugin}/{w.id}" in ids]
    code = 0
    for weights in chosen:
        try:
            print(f"ok  {weights.id}  {verify(weights)}")
        except DataError as error:
            print(f"diffx: error: {error}", file=sys.stderr)
            code = error.exit_code
    if not chosen:
        print("no plugin ships weights")
    return code
