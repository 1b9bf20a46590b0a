"""nilm by leaving one home out: the trainings, each in its turn, and the table of what came of them.

python benchmarks/nilm_folds.py <folder of homes> <folder of results> <weights trained on REFIT 2 and 20> [--dry]

The folder holds the homes of three data sets as REFIT 2 and 20 (30 s), UK-DALE 1 (30 s, two parts, and arrays of one
appliance of its houses 1 and 5) and REDD 1 and 2 (1 min). A home is left out with all that was recorded in it, arrays
included. What is to be shipped ("homes") learns from REFIT and UK-DALE, whose licence allows it, and is tested on REDD.
UK-DALE is tested with weights that learnt from REFIT and REDD, because nobody else has a fridge: its fridge with some
that learnt in REDD's mains, what else it has with others, since REDD's mains mislead about heaters. The folds of REFIT
share their first steps, on UK-DALE alone. ``--dry`` prints the commands; what is finished is passed over.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

HOMES = {  # name -> files of which it is tested, and the beginning of all that were recorded in it
    "ukdale": (("ukdale_house1_part1_30s", "ukdale_house1_part2_30s"), "ukdale_"),
    "refit2": (("refit_house2_30s",), "refit_house2_"),
    "refit20": (("refit_house20_30s",), "refit_house20_"),
    "redd1": (("redd_house1_1min",), "redd_house1_"),
    "redd2": (("redd_house2_1min",), "redd_house2_"),
}
TRAININGS: dict[
    str, tuple[tuple[str, ...], str | None, int, tuple[str, ...]]
] = {  # name -> homes that it learns from, what it starts from, steps, options
    "begun": (("ukdale", "refit2", "refit20"), "", 3000, ("train.lr=4e-4", "train.warmup=50")),
    "further": (("ukdale", "refit2", "refit20"), "begun", 1500, ("train.lr=4e-4", "train.warmup=50", "seed=1")),
    "homes": (("ukdale", "refit2", "refit20"), "further", 2400, ("train.lr=4e-4", "train.warmup=50", "seed=2")),
    "neither": (("ukdale",), None, 2400, ("train.optimizer=muon", "train.lr=1.5e-3", "train.warmup=50")),
    "refit2": (("ukdale", "refit20"), "neither", 2200, ("train.optimizer=muon", "train.lr=1e-3", "train.warmup=30")),
    "refit20": (("ukdale", "refit2"), "neither", 2200, ("train.optimizer=muon", "train.lr=1e-3", "train.warmup=30")),
    "ukdale": (("refit2", "refit20", "redd1", "redd2"), "", 2400, ("train.lr=4e-4", "train.warmup=50")),
    "fridge": (("refit2", "refit20", "redd1", "redd2"), "ukdale", 900, ("train.lr=3e-4", "train.warmup=50")),
}
TESTED = {"ukdale": "ukdale", "refit2": "refit2", "refit20": "refit20", "redd1": "homes", "redd2": "homes"}
UNKNOWN = ["redd_house1_1min.washing_machine"]  # its column is of a machine that dries, too
# without these, REDD's homes meter too little for their mains to be learnt in: they lend activations
FOREIGN = ["redd_house1_1min.dishwasher", "redd_house2_1min.dishwasher"]
APPLIANCES = "appliances=[kettle,dishwasher,washing_machine,microwave,fridge]"
RUN = ("diffx", "run", "plugin=nilm", "device=auto")


def linked(source: Path, folder: Path, homes: tuple[str, ...]) -> Path:
    """A folder of links to all that was recorded in these homes."""
    folder.mkdir(parents=True, exist_ok=True)
    begins = tuple(HOMES[home][1] for home in homes)
    for path in sorted(source.iterdir()):
        if path.name.startswith(begins) and not (folder / path.name).is_symlink():
            os.symlink(path.resolve(), folder / path.name)
    return folder


def training(name: str, source: Path, out: Path, start: Path) -> list[str]:
    """Words of a training."""
    homes, origin, steps, options = TRAININGS[name]
    root = linked(source, out / name / "homes", homes)
    begin = [] if origin is None else [f"from={start if not origin else out / origin / 'train'}"]
    words = [*RUN, "task=train", f"data.root={root}", APPLIANCES, *begin]
    unknown = UNKNOWN if name == "fridge" else [*UNKNOWN, *FOREIGN]
    words += [f"data.unknown=[{','.join(unknown)}]"] if "redd1" in homes else []
    words += ["data.holdout=0", "train.ema_std=0.1", "train.val_every=0", f"train.steps={steps}", *options]
    return [*words, f"out={out / name / 'train'}"]


TABLE = str(Path(__file__).with_name("nilm_table.py"))


def drawing(home: str, source: Path, weights: Path, into: Path) -> list[str]:
    """Words of drawing samples of a home, beside baselines that never saw it either.

    Those that are shipped were fitted on REFIT; what they do not know, and all of them for REFIT's own homes, is fitted
    on the homes that the weights learnt from.
    """
    words = [TABLE, "draw", str(source), str(into), home, str(weights / "train"), "--fit", str(weights / "homes")]
    return words if home.startswith("refit") else [*words, "--baselines", "nilm-baselines-refit"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("--dry", action="store_true", help="print the commands")
    asked = parser.parse_args()
    for name in TRAININGS:
        words = training(name, asked.source, asked.out, asked.start)
        print(shlex.join(words), flush=True)
        if not asked.dry and not (asked.out / name / "train" / "metrics.json").exists():
            subprocess.run([sys.executable, "-m", *words], check=True)
    out, other = asked.out, asked.out / "fridge"
    drawings = [drawing(home, asked.source, out / weights, out) for home, weights in TESTED.items()]
    drawings.append(drawing("ukdale", asked.source, other, other))
    taking = [TABLE, "take", str(out), str(other), "ukdale", "fridge"]
    for words in [*drawings, taking, [TABLE, "score", str(out)]]:
        print(shlex.join(words), flush=True)
        if not asked.dry:
            subprocess.run([sys.executable, *words], check=True)


if __name__ == "__main__":
    main()
