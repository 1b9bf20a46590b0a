"""Metered houses for training: a folder of files in any of the formats, or one packed file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded

from .appliances import DEFAULT, Appliance, called, choose
from .config import PowerConfig
from .household import DAY, Household
from .pack import Packed, load_packed, pack_house
from .read import Options, read

T = TypeVar("T")
Say = Callable[[str], None]
_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".h5", ".hdf5")


def appliances_of(cfg: PowerConfig) -> tuple[Appliance, ...]:
    """The appliances that a configuration names; those of its ``describe`` file go before the known ones."""
    known: tuple[Appliance, ...] = DEFAULT
    if cfg.describe:
        try:
            entries = yaml.safe_load(Path(cfg.describe).read_text(encoding="utf-8"))
            known = (*(_described(key, facts) for key, facts in entries.items()), *DEFAULT)
        except OSError as error:
            raise DataError(f"{cfg.describe}: {error.strerror or error}") from None
        except (yaml.YAMLError, AttributeError, TypeError) as error:
            raise UsageError(f"{cfg.describe}: {str(error).splitlines()[0]}") from None
    return choose(cfg.appliances, known)


def _described(key: str, facts: Mapping[str, Any]) -> Appliance:
    """A known appliance with these fields instead of its own, or a new one."""
    known = called(key)
    return Appliance.of_json({**(asdict(known) if known else {"name": key, "key": key}), **facts})


def options_of(cfg: PowerConfig, appliances: tuple[Appliance, ...]) -> Options:
    """How ``data.*`` says that files are to be read."""
    own = {f.name for f in fields(Options)} & {f.name for f in fields(cfg.data)}
    return Options(**{name: getattr(cfg.data, name) for name in own}, appliances=appliances)


def sources(root: str | Path) -> dict[str, Path]:
    """Name -> file or folder of each house in a folder. DataError where there is none."""
    folder = expanded(root)
    if not folder.is_dir():
        raise DataError(f"{root}: no such folder")
    found = {}
    for path in sorted(folder.iterdir()):
        ending = next((e for e in sorted(_ENDINGS, key=len, reverse=True) if path.name.lower().endswith(e)), None)
        if ending:
            found[path.name[: -len(ending)]] = path
        elif (path / "labels.dat").is_file():
            found[path.name] = path
    if not found:
        raise DataError(f"{root}: no house in it ({', '.join(_ENDINGS)}, or folders with labels.dat)")
    return found


def chosen(cfg: PowerConfig) -> dict[str, Path]:
    """Name -> file or folder of each house of ``data.root`` that ``data.houses`` asks for."""
    if not cfg.data.root:
        raise UsageError("data.root= says which folder of metered houses to read")
    return _chosen(sources(cfg.data.root), cfg.data.houses, cfg.data.root)


def metered(cfg: PowerConfig, appliances: tuple[Appliance, ...], say: Say) -> list[Household]:
    """The houses of ``data.root`` with their appliances. DataError names the file that is wrong."""
    options = options_of(cfg, appliances)
    return [replace(read(path, options, say), name=name) for name, path in chosen(cfg).items()]


def packed(cfg: PowerConfig, say: Say = lambda line: None) -> tuple[list[Packed], tuple[Appliance, ...]]:
    """The houses of ``data.root`` in the form of training, and the appliances in them."""
    if cfg.data.root and Path(cfg.data.root).is_file():
        houses, own, period = load_packed(cfg.data.root)
        if choose(cfg.appliances, own) != own or period != cfg.data.period:
            raise DataError(f"{cfg.data.root}: packed for {', '.join(a.key for a in own)} at {period:g} s")
        return list(_chosen({house.name: house for house in houses}, cfg.data.houses, cfg.data.root).values()), own
    appliances = appliances_of(cfg)
    return [pack_house(house, appliances) for house in metered(cfg, appliances, say)], appliances


def split(cfg: PowerConfig, houses: list[Packed], part: str) -> list[Packed]:
    """The houses without, or of, their last ``data.holdout`` days."""
    periods = round(cfg.data.holdout * DAY / cfg.data.period)
    return [house.split(periods)[part == "val"] for house in houses]


def _chosen(found: dict[str, T], names: list[str], root: str) -> dict[str, T]:
    if missing := [name for name in names if name not in found]:
        raise UsageError(f"data.houses: {root} has no {', '.join(missing)}; it has {', '.join(found)}")
    return {name: found[name] for name in names or found}
