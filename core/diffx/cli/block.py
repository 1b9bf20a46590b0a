"""`diffx plugins block|unblock`: the user's own list of what is never loaded; it outlives the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffx.cli.words import Parser
from diffx.errors import PluginError, did_you_mean
from diffx.plugins.registry import BLOCKED, canonical, discover
from diffx.plugins.userfile import read_choices, where_choices, write_choices


def main(verb: str, words: Sequence[str]) -> int:
    what = "never load a plugin" if verb == "block" else "load a blocked plugin again"
    parser = Parser(prog=f"diffx plugins {verb}", description=f"{what}; the list is {where_choices()}")
    parser.add_argument("name", help="of a plugin, or of a distribution: then all of its plugins are meant")
    if verb == "block":
        parser.add_argument("reason", nargs="*", help="why, for whoever meets it")
    given = parser.parse_args(list(words))
    name = given.name.removeprefix("plugin=")
    return _block(name, " ".join(given.reason)) if verb == "block" else _unblock(name)


def _block(name: str, reason: str) -> int:
    names = [n for found in discover() for n in (found.name, found.distribution)]
    choices = read_choices()
    why = " ".join(reason.split()) or "no reason given"
    write_choices(choices._replace(blocked={**_others(name, choices.blocked), name: why}))
    print(f"blocked {name}: {why} (diffx plugins unblock {name} undoes it)")
    if canonical(name) not in map(canonical, names):
        print(f"note: nothing of that name is installed{did_you_mean(name, names)}")
    return 0


def _unblock(name: str) -> int:
    choices = read_choices()
    left = _others(name, choices.blocked)
    if len(left) == len(choices.blocked):
        same = [f.error for f in discover() if canonical(name) in (canonical(f.name), canonical(f.distribution))]
        other = next((error for error in same if error.startswith(BLOCKED)), "")
        hint = f"; it is {other}" if other else did_you_mean(name, choices.blocked)
        raise PluginError(f"{name} is not on your list of blocked plugins{hint}")
    write_choices(choices._replace(blocked=left))
    print(f"{name} is no longer blocked")
    return 0


def _others(name: str, blocked: Mapping[str, str]) -> dict[str, str]:
    return {one: why for one, why in blocked.items() if canonical(one) != canonical(name)}
