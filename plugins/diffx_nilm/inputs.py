"""What of nilm's inputs can be checked in a moment, without reading a file: that it is there, and that options fit."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded
from diffx.plugins.weights import resolve_weights

from .config import PowerConfig

T = TypeVar("T")
_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq", ".h5", ".hdf5", ".npz")
PLUGIN = "nilm"


def check_inputs(cfg: PowerConfig) -> None:
    """The houses, weights and files that the task will read are there.

    Raises:
        UsageError: an option that the task needs is missing, or a house that is not in ``data.root``.
        DataError: a file, a folder or weights that are not there.
    """
    if cfg.task in ("survey", "train", "evaluate", "calibrate", "pack"):
        packed = cfg.data.root and expanded(cfg.data.root).is_file()
        if not (packed and cfg.task in ("train", "pack")):
            chosen(cfg)
    if cfg.task == "calibrate" and not cfg.from_:
        raise UsageError("from= says which weights to calibrate")
    for weights, _ in folds(cfg) if cfg.task == "calibrate" else ():
        resolve_weights(weights, PLUGIN)
    if cfg.task == "evaluate" and cfg.baselines and not expanded(cfg.baselines).is_dir():
        resolve_weights(cfg.baselines, PLUGIN)
    known = [expanded(root) for root in (cfg.data.root, cfg.baselines) if root and expanded(root).is_dir()]
    for text in cfg.data.unknown:
        house = text.rpartition(".")[0]
        if not any(house in sources(root) for root in known):
            raise UsageError(f"data.unknown: {text!r} is not house.appliance of a house in data.root")
    if cfg.describe and not Path(cfg.describe).is_file():
        raise DataError(f"describe={cfg.describe}: no such file")


def folds(cfg: PowerConfig) -> list[tuple[str, str]]:
    """(weights, the house that they never saw) of each of ``folds``. UsageError where one is not written so."""
    found = []
    for fold in cfg.folds:
        weights, _, house = fold.rpartition("@")
        if not (weights and house):
            raise UsageError(f"folds: {fold!r} is not weights@house")
        found.append((weights, house))
    return found


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
    return among(sources(cfg.data.root), cfg.data.houses, cfg.data.root)


def among(found: dict[str, T], names: list[str], root: str) -> dict[str, T]:
    """Those of the found houses that have these names; all for no names. UsageError for one that is not there."""
    if missing := [name for name in names if name not in found]:
        raise UsageError(f"data.houses: {root} has no {', '.join(missing)}; it has {', '.join(found)}")
    return {name: found[name] for name in names or found}
