"""Metered houses for training: a folder of files in any of the formats, or one packed file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import yaml

from diffx.errors import DataError, UsageError

from .appliances import KNOWN, Appliance, called, choose, named
from .config import PowerConfig
from .household import DAY, Household
from .inputs import among, chosen
from .pack import Packed, load_packed, pack_house
from .read import Options, read

Say = Callable[[str], None]


def appliances_of(cfg: PowerConfig) -> tuple[Appliance, ...]:
    """The appliances that a configuration names, or the default ones; those of ``describe`` before the known ones."""
    known: tuple[Appliance, ...] = KNOWN
    if cfg.describe:
        try:
            entries = yaml.safe_load(Path(cfg.describe).read_text(encoding="utf-8"))
            known = (*(_described(key, facts) for key, facts in entries.items()), *KNOWN)
        except OSError as error:
            raise DataError(f"{cfg.describe}: {error.strerror or error}") from None
        except (yaml.YAMLError, AttributeError, TypeError) as error:
            raise UsageError(f"{cfg.describe}: {str(error).splitlines()[0]}") from None
    return choose(named(cfg.appliances), known)


def _described(key: str, facts: Mapping[str, Any]) -> Appliance:
    """A known appliance with these fields instead of its own, or a new one."""
    known = called(key)
    return Appliance.of_json({**(asdict(known) if known else {"name": key, "key": key}), **facts})


def options_of(cfg: PowerConfig, appliances: tuple[Appliance, ...]) -> Options:
    """How ``data.*`` says that files are to be read."""
    own = {f.name for f in fields(Options)} & {f.name for f in fields(cfg.data)}
    return Options(**{name: getattr(cfg.data, name) for name in own}, appliances=appliances)


def metered(cfg: PowerConfig, appliances: tuple[Appliance, ...], say: Say) -> list[Household]:
    """The houses of ``data.root`` with their appliances.

    Of a whole folder, a file that is no household is left out, and said. DataError names the file that is wrong where
    it was asked for by name, or where none is left.
    """
    options = options_of(cfg, appliances)
    found = chosen(cfg)
    wrong = doubted(cfg, appliances)
    houses, errors = [], []
    for name, path in found.items():
        try:
            houses.append(replace(read(path, options, say), name=name))
        except DataError as error:
            if cfg.data.houses or len(found) == 1:
                raise
            say(f"left out: {error}")
            errors.append(error)
    if not houses:
        raise errors[0]
    return [replace(h, parts={k: v for k, v in h.parts.items() if (h.name, k) not in wrong}) for h in houses]


def doubted(cfg: PowerConfig, appliances: tuple[Appliance, ...]) -> set[tuple[str, str]]:
    """(house, key of an appliance) of each of ``data.unknown``. UsageError for one that nobody has described."""
    pairs = set()
    for text in cfg.data.unknown:
        house, _, name = text.rpartition(".")
        appliance = called(name, appliances) or called(name)
        if not house or appliance is None:
            raise UsageError(f"data.unknown: {text!r} is not house.appliance")
        pairs.add((house, appliance.key))
    return pairs


def packed(cfg: PowerConfig, say: Say = lambda line: None) -> tuple[list[Packed], tuple[Appliance, ...]]:
    """The houses of ``data.root`` in the form of training, and the appliances in them."""
    if cfg.data.root and Path(cfg.data.root).is_file():
        houses, own, period = load_packed(cfg.data.root)
        if (cfg.appliances and choose(cfg.appliances, own) != own) or period != cfg.data.period:
            raise DataError(f"{cfg.data.root}: packed for {', '.join(a.key for a in own)} at {period:g} s")
        return list(among({house.name: house for house in houses}, cfg.data.houses, cfg.data.root).values()), own
    appliances = appliances_of(cfg)
    return [pack_house(house, appliances) for house in metered(cfg, appliances, say)], appliances


def split(cfg: PowerConfig, houses: list[Packed], part: str) -> list[Packed]:
    """The houses without, or of, their last ``data.holdout`` days."""
    periods = round(cfg.data.holdout * DAY / cfg.data.period)
    return [house.split(periods)[part == "val"] for house in houses]
