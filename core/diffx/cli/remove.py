"""`diffx plugins remove`: uninstall what brings a plugin. It works where the plugin itself does not."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from diffx.cli.pip import pip
from diffx.cli.words import Parser
from diffx.errors import PluginError, did_you_mean
from diffx.plugins.packs import packs
from diffx.plugins.registry import OURS, canonical, discover
from diffx.plugins.userfile import read_choices, write_choices


def main(words: Sequence[str]) -> int:
    parser = Parser(
        prog="diffx plugins remove",
        description="uninstall the distribution that brings a plugin, with all of its plugins, and forget it",
    )
    parser.add_argument("name", nargs="+", help="of a plugin or of a distribution")
    wanted = [_distribution_of(name.removeprefix("plugin=")) for name in parser.parse_args(list(words)).name]
    for distribution in dict.fromkeys(wanted):
        if _is_here(distribution):
            pip(["uninstall", "-y", distribution], f"uninstall {distribution}")
        choices = read_choices()
        if canonical(distribution) in choices.installed:
            left = {k: v for k, v in choices.installed.items() if k != canonical(distribution)}
            write_choices(choices._replace(installed=left))
            print(f"{distribution} is no longer remembered")
    return 0


def _distribution_of(name: str) -> str:
    """The distribution that is to go. Raises PluginError for ours, for what is unknown, and for what is ambiguous."""
    found = discover()
    remembered = read_choices().installed
    bringing = {f.distribution for f in found if f.name == name}
    bringing = bringing - {OURS} if len(bringing) > 1 else bringing
    everybody = [*(f.distribution for f in found), *(pack.distribution for pack in packs())]
    of_that_name = {distribution for distribution in everybody if canonical(distribution) == canonical(name)}
    options = bringing or of_that_name or {one for one in remembered if one == canonical(name)}
    if len(options) > 1:
        raise PluginError(f"{' and '.join(sorted(options))} bring a plugin {name!r}: name one of them")
    if not options:
        known = [*(f.name for f in found), *everybody, *remembered]
        raise PluginError(f"no plugin or distribution {name!r} is installed{did_you_mean(name, known)}")
    (distribution,) = options
    if canonical(distribution) == OURS:
        raise PluginError(f"{name} came with {OURS} itself and stays; diffx plugins block {name} keeps it from loading")
    return distribution


def _is_here(distribution: str) -> bool:
    try:
        return bool(metadata.distribution(distribution))
    except metadata.PackageNotFoundError:
        return False
