"""`diffx weights list|verify`: the weights that came with the plugins, or by themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from diffx.cli.layout import columns, paragraphs
from diffx.cli.words import Parser, print_json, subverb
from diffx.errors import DataError, did_you_mean
from diffx.plugins.packs import packs
from diffx.plugins.weights import Shipped, absent, shipped, verify

KNOWN = {
    "list": "their ids, for from=ID",
    "verify": "compare the files with the SHA-256 they were shipped with: all, or those named",
}


def main(words: Sequence[str]) -> int:
    name, rest = subverb(words, "weights", KNOWN)
    parser = Parser(prog=f"diffx weights {name}", description=KNOWN[name])
    parser.add_argument("--json", action="store_true", help="print JSON")
    if name == "verify":
        parser.add_argument("ids", nargs="*", help="ids of weights; default all")
    given = parser.parse_args(rest)
    return _list(given.json) if name == "list" else _verify(given.ids, given.json)


def _list(as_json: bool) -> int:
    known, lacking = shipped(), absent()
    if as_json:
        rows: list[dict[str, Any]] = [{**_described(w), "installed": w.path.is_file()} for w in known]
        print_json([*rows, *({"id": w.id, "plugin": w.plugin, "installed": False, "why": w.why} for w in lacking)])
        return 0
    said = [w.entry.licence if w.path.is_file() else f"missing: {w.path}" for w in known]
    table = [(w.id, w.plugin, w.size, what) for w, what in zip(known, said, strict=True)]
    table += [(w.id, w.plugin, "-", w.why) for w in lacking]
    print(columns(table) if table else "no plugin ships weights")
    cards: dict[str, list[str]] = {}
    for w in known:
        cards.setdefault(w.entry.card, []).append(w.id)
    for card, ids in cards.items():
        if card:
            print(paragraphs(f"\n{'cards' if len(cards) == 1 else ', '.join(ids)}: {card}"))
    for pack in packs():
        if pack.error:
            print(f"diffx: error: weights of {pack.distribution} {pack.version}: {pack.error}", file=sys.stderr)
    return 0


def _verify(ids: Sequence[str], as_json: bool) -> int:
    known = shipped()
    names = [name for w in known for name in (w.id, f"{w.plugin}/{w.id}")]
    for one in ids:
        if one not in names:
            why = next((w.why for w in absent() if one in (w.id, f"{w.plugin}/{w.id}")), "")
            text = why or f"no such id{did_you_mean(one, names)} (`diffx weights list` shows them)"
            raise DataError(f"weights {one!r}: {text}")
    code, rows = 0, []
    for weights in [w for w in known if not ids or w.id in ids or f"{w.plugin}/{w.id}" in ids]:
        error = ""
        try:
            verify(weights)
        except DataError as caught:
            error, code = str(caught), caught.exit_code
            print(f"diffx: error: {error}", file=sys.stderr)
        rows.append({**_described(weights), "ok": not error, "error": error})
    if as_json:
        print_json(rows)
    elif rows:
        print(columns([("ok", row["id"], row["licence"]) for row in rows if row["ok"]]))
    else:
        print("no plugin ships weights")
    return code


def _described(weights: Shipped) -> dict[str, Any]:
    facts = {"id": weights.id, "plugin": weights.plugin, "distribution": weights.distribution}
    return {**facts, "path": str(weights.path), **weights.entry._asdict()}
