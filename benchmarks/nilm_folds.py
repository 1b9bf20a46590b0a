"""nilm by leaving one home out: train on the others, calibrate, evaluate beside baselines fitted on the same homes.

python benchmarks/nilm_folds.py <folder of homes> <folder of results> [--homes ukdale redd1 ...] [--steps 2000] [--dry]

The folder holds the homes of three data sets as REFIT 2 and 20 (30 s), UK-DALE 1 (30 s, two parts, and arrays of one
appliance of its houses 1 and 5) and REDD 1 and 2 (1 min). A home is left out with all that was recorded in it, arrays
included. Homes that the shipped weights have not seen start from these, the two of REFIT from nothing. ``--dry`` prints
the commands.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

HOMES = {  # name -> files of which it is tested, and files that hold it
    "ukdale": (("ukdale_house1_part1_30s", "ukdale_house1_part2_30s"), "ukdale_"),
    "refit2": (("refit_house2_30s",), "refit_house2_"),
    "refit20": (("refit_house20_30s",), "refit_house20_"),
    "redd1": (("redd_house1_1min",), "redd_house1_"),
    "redd2": (("redd_house2_1min",), "redd_house2_"),
}
SEEN = ("refit2", "refit20")  # by the shipped weights
APPLIANCES = "appliances=[kettle,dishwasher,washing_machine,microwave,fridge]"
DRYER = "redd_house1_1min.washing_machine"  # its column is of a machine that dries, too


def linked(source: Path, folder: Path, keep: str, without: str = "\0") -> Path:
    """A folder of links to the homes whose file begins with ``keep`` and not with ``without``."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.name.startswith(tuple(prefix for _, prefix in HOMES.values())) and path.name.startswith(keep):
            link = folder / path.name
            if not path.name.startswith(without) and not link.is_symlink():
                os.symlink(path.resolve(), link)
    return folder


def unknown(folder: Path) -> list[str]:
    """The option that leaves the washer-dryer out, where its home is in the folder."""
    return [f"data.unknown=[{DRYER}]"] if any(path.name.startswith("redd_house1_") for path in folder.iterdir()) else []


def commands(home: str, source: Path, out: Path, steps: int, days: float) -> list[list[str]]:
    """Words of training without a home and of its evaluation; both finished runs are passed over."""
    names, prefix = HOMES[home]
    train = linked(source, out / home / "others", "", prefix)
    test = linked(source, out / home / "home", prefix)
    start = [] if home in SEEN else ["from=nilm-refit"]
    run = ["diffx", "run", "plugin=nilm", "device=auto"]
    folder = out / home / "train"
    learn = [*run, "task=train", f"data.root={train}", *unknown(train), APPLIANCES, *start, "data.holdout=0"]
    learn += [f"train.steps={steps}", "train.lr=4e-4", "train.ema_std=0.1", "train.val_every=0", f"out={folder}"]
    judge = [*run, "task=evaluate", f"data.root={test}", f"data.houses=[{','.join(names)}]", f"from={folder}"]
    judge += [f"baselines={train}", "n=20", f"data.days={days:g}", *unknown(test if home == "redd1" else train)]
    return [learn, [*judge, f"out={out / home / 'evaluate'}"]]


def calibration(homes: list[str], source: Path, out: Path, days: float) -> list[str]:
    """Words that calibrate the last of the weights in all homes, each with weights that never saw it."""
    folds = [f"{out / home / 'train'}@{name}" for home in homes for name in HOMES[home][0]]
    words = [
        "diffx",
        "run",
        "plugin=nilm",
        "task=calibrate",
        f"from={out / homes[-1] / 'train'}",
        f"data.root={source}",
    ]
    return [*words, f"folds=[{','.join(folds)}]", f"data.days={days:g}", "n=20", f"out={out / 'calibrate'}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--homes", nargs="+", choices=list(HOMES), default=list(HOMES))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--days", type=float, default=60.0, help="at the end of each home, for the evaluation")
    parser.add_argument("--dry", action="store_true", help="print the commands")
    asked = parser.parse_args()
    every = [
        words for home in asked.homes for words in commands(home, asked.source, asked.out, asked.steps, asked.days)
    ]
    for words in [*every, calibration(asked.homes, asked.source, asked.out, asked.days)]:
        print(shlex.join(words), flush=True)
        place = Path(words[-1].removeprefix("out="))
        if not asked.dry and not (place / "metrics.json").exists() and not (place / "checkpoints").exists():
            subprocess.run([sys.executable, "-m", *words], check=True)


if __name__ == "__main__":
    main()
