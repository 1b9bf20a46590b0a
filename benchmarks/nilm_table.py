"""nilm in homes that its weights never saw: samples are drawn once, then calibrated and scored as often as wanted.

python benchmarks/nilm_table.py draw <folder of homes> <results> <home> <weights> [--baselines <file>] [--fit <folder>]
python benchmarks/nilm_table.py take <results> <other results> <home> <appliance>
python benchmarks/nilm_table.py score <results> [--ship <weights> <file to write>]

``draw`` keeps the samples of the last days of each file of a home, and what baselines say: those of a file, and of
appliances that these do not know those fitted on the homes of ``--fit``. ``take`` puts the samples of one appliance in
place of those that other weights drew of it. ``score`` prints the table: each home's bands, decisions and intervals of
energy are calibrated in the other homes, of REDD's only the fridge's, since heaters of 120 V are others. ``--ship``
writes weights whose calibration is that of all homes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nilm_folds import HOMES, UNKNOWN

from diffx.io import checkpoint
from diffx.plugins.weights import resolve_weights
from diffx_nilm.appliances import Appliance
from diffx_nilm.baselines import BASELINES, Baseline, load_all, save_all
from diffx_nilm.calibration import Calibration
from diffx_nilm.config import PowerConfig, PowerSampling
from diffx_nilm.data import metered
from diffx_nilm.evaluate.evidence import calibrated, gather
from diffx_nilm.evaluate.trials import Trial
from diffx_nilm.face import Disaggregator, parts
from diffx_nilm.household import Household
from diffx_nilm.result import Piece
from diffx_nilm.tasks.calibrate import last
from diffx_nilm.tasks.evaluate import scorable

COLUMNS = ("mae", "f1", "average_precision", "sae", "crps", "coverage50", "coverage90", "energy_coverage90")
SHARED = ("fridge",)  # appliances that are alike in homes of another voltage
HEAD = "| home | appliance | | MAE, W | F1 | AP | SAE | CRPS, W | 50 % holds | 90 % holds | days' energy, 90 % |"


def homes_of(root: Path, face: Disaggregator, names: tuple[str, ...] = ()) -> list[Household]:
    """The metered homes of a folder, all or those of these names."""
    cfg = PowerConfig()
    cfg.data.root, cfg.data.houses, cfg.data.unknown = str(root), list(names), UNKNOWN
    return metered(cfg, face.appliances, lambda line: None)


def draw(asked: argparse.Namespace) -> None:
    """Samples and baselines of a home, one file for each of its recordings."""
    folder = asked.out / "drawn"
    folder.mkdir(parents=True, exist_ok=True)
    face = Disaggregator.load(asked.weights)
    baselines = beside(asked, face)
    for name in HOMES[asked.home][0]:
        path = folder / f"{name}.npz"
        if path.exists():
            continue
        (house,) = homes_of(asked.source, face, (name,))
        house = last(scorable(house, face), asked.days)
        opened = face.open(house)
        drawn = np.concatenate([p.members for p in face.pieces(opened, asked.n, 0, PowerSampling())], axis=2)
        keep: dict[str, Any] = {f"part_{key}": part for key, part in house.parts.items()}
        for baseline in baselines:
            for appliance, power in zip(baseline.appliances, baseline.predict(house.mains), strict=True):
                keep[f"{baseline.kind} {appliance.key}"] = power
        facts = {
            "appliances": [asdict(a) for a in face.appliances],
            "start": str(house.start),
            "period": house.period,
            "usage": dict(opened.usage),
            "weights": str(asked.weights),
            "days": house.days,
        }
        np.savez(path, members=drawn.astype(np.float16), mains=house.mains, facts=json.dumps(facts), **keep)
        print(f"{name}: {house.days:.1f} days, usage {opened.usage}", flush=True)


def beside(asked: argparse.Namespace, face: Disaggregator) -> list[Baseline]:
    """The baselines of a file, and of what these do not know those fitted on the homes of a folder."""
    found = list(load_all(resolve_weights(asked.baselines, "nilm")).values()) if asked.baselines else []
    covered = {a.key for baseline in found for a in baseline.appliances}
    left = [a for a in face.appliances if a.key not in covered]
    if asked.fit is None or not left:
        return found
    path = asked.out / f"baselines-{asked.fit.parent.name}-{'-'.join(a.key for a in left)}.safetensors"
    if not path.exists():
        known = [home for home in homes_of(asked.fit, face) if {a.key for a in left} & set(home.parts)]
        fitted = {
            kind: BASELINES[kind].fit(known, left, 0, lambda line: print(line, flush=True)) for kind in asked.kinds
        }
        save_all(path, fitted, [house.name for house in known])
    return [*found, *load_all(path).values()]


def read(path: Path) -> tuple[tuple[Appliance, ...], Household, np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """What :func:`draw` kept: appliances, home, members [M, A, T] and of each baseline its power by appliance."""
    kept = np.load(path)
    facts = json.loads(str(kept["facts"]))
    own = {key.removeprefix("part_"): kept[key] for key in kept.files if key.startswith("part_")}
    house = Household(path.stem, pd.Timestamp(facts["start"]), facts["period"], kept["mains"], own)
    said: dict[str, dict[str, np.ndarray]] = {}
    for key in kept.files:
        kind, _, appliance = key.partition(" ")
        if appliance:
            said.setdefault(kind, {})[appliance] = kept[key]
    return tuple(map(Appliance.of_json, facts["appliances"])), house, kept["members"].astype(np.float32), said


def pieces(house: Household, appliances: tuple[Appliance, ...], members: np.ndarray, calibration: Calibration) -> Any:
    """The home a week at a time with this calibration."""
    at = 0
    for week in parts(house):
        own = members[:, :, at : at + len(week)]
        yield at, Piece(week, appliances, own, calibration.bounds(own), calibration.said(own, appliances))
        at += len(week)


def take(asked: argparse.Namespace) -> None:
    """One appliance of a home as other weights drew it, from the same periods."""
    for name in HOMES[asked.home][0]:
        path = asked.out / "drawn" / f"{name}.npz"
        ours, theirs = (dict(np.load(folder / "drawn" / f"{name}.npz")) for folder in (asked.out, asked.other))
        keys = [one["key"] for one in json.loads(str(ours["facts"]))["appliances"]]
        a = keys.index(asked.appliance)
        np.testing.assert_array_equal(ours["mains"], theirs["mains"])
        ours["members"][:, a] = theirs["members"][:, a]
        np.savez(path, **ours)


def score(asked: argparse.Namespace) -> None:
    """The table, and weights calibrated in all homes."""
    kept = {path.stem: read(path) for path in sorted((asked.out / "drawn").glob("*.npz"))}
    home_of = {name: home for home, (names, _) in HOMES.items() for name in names}
    (appliances,) = {entry[0] for entry in kept.values()}
    none = Calibration.none(len(appliances))
    seen = {n: gather(p for _, p in pieces(h, appliances, m, none)) for n, (_, h, m, _) in kept.items()}
    for name in seen:
        if home_of[name].startswith("redd"):
            seen[name] = {key: evidence for key, evidence in seen[name].items() if key in SHARED}
    figures: dict[str, Mapping[str, Any]] = {}
    for home in HOMES:
        files = [name for name in kept if home_of[name] == home]
        if not files:
            continue
        calibration = calibrated([of for name, of in seen.items() if home_of[name] != home], appliances)
        each: dict[str, list[Trial]] = {}
        for name in files:
            _, house, members, said = kept[name]
            trials = {a.key: Trial(a, house.period) for a in appliances if a.key in house.parts}
            for at, piece in pieces(house, appliances, members, calibration):
                stop = at + len(piece.household)
                for i, a in enumerate(appliances):
                    if a.key in trials:
                        trials[a.key].add(piece, i, {k: of[a.key][at:stop] for k, of in said.items() if a.key in of})
            for key, trial in trials.items():
                each.setdefault(key, []).append(trial)
        energies = dict(zip((a.key for a in appliances), calibration.energies, strict=True))
        figures[home] = {key: Trial.pooled(own).figures(energies[key], spans=True) for key, own in each.items()}
    (asked.out / "table.json").write_text(json.dumps(figures, indent=1))
    print(HEAD, "|---" * 11 + "|", sep="\n")
    for home, of in figures.items():
        for key, methods in of.items():
            for method, own in methods.items():
                cells = [_cell(own.get(c), c) for c in COLUMNS]
                print(f"| {home} | {key} | {method} | {' | '.join(cells)} |")
    if asked.ship:
        weights, path = asked.ship
        tensors, meta = checkpoint.load(weights)
        calibration = calibrated(list(seen.values()), appliances)
        members = {len(entry[2]) for entry in kept.values()}
        meta |= {
            "calibration": calibration.to_json(),
            "calibrated_with": {"n": min(members), **asdict(PowerSampling())},
        }
        checkpoint.save(path, tensors, meta)
        print(calibration)


def _cell(value: float | None, column: str) -> str:
    return "-" if value is None else f"{value:.1f}" if column in ("mae", "crps") else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    drawing = verbs.add_parser("draw")
    drawing.add_argument("source", type=Path)
    drawing.add_argument("out", type=Path)
    drawing.add_argument("home", choices=list(HOMES))
    drawing.add_argument("weights", type=Path)
    drawing.add_argument("--baselines", help="file or id of fitted baselines")
    drawing.add_argument("--fit", type=Path, help="homes to fit baselines on, of what the file does not know")
    drawing.add_argument("--kinds", nargs="+", choices=list(BASELINES), default=list(BASELINES), help="to fit")
    drawing.add_argument("--days", type=float, default=30.0)
    drawing.add_argument("--n", type=int, default=32)
    drawing.set_defaults(run=draw)
    taking = verbs.add_parser("take")
    taking.add_argument("out", type=Path)
    taking.add_argument("other", type=Path)
    taking.add_argument("home", choices=list(HOMES))
    taking.add_argument("appliance")
    taking.set_defaults(run=take)
    scoring = verbs.add_parser("score")
    scoring.add_argument("out", type=Path)
    scoring.add_argument("--ship", nargs=2, type=Path)
    scoring.set_defaults(run=score)
    asked = parser.parse_args()
    asked.run(asked)


if __name__ == "__main__":
    main()
