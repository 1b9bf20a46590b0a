"""examples/diffx-tabular as a stranger would have it: installed from its wheel, run from another folder."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, build_wheels

PROJECT = ROOT / "examples/diffx-tabular"
TRAIN = "train.steps=250 train.batch=128 train.warmup=10 train.lr=3e-3 net.width=64 net.depth=2 device=cpu"
DRAW = "from=trained n=800 sample.batch=800 device=cpu"
RUNS = [
    (f"task=train data.root=shop.csv condition=[size] {TRAIN} out=trained", 0),
    (f"task=sample {DRAW} sample.steps=48 out=drawn", 0),
    (f"task=sample {DRAW} sample.steps=16 given=[kind=b] out=by_kind", 0),
    (f"task=sample {DRAW} sample.steps=16 given=[size=8.00,paid=] out=by_size", 0),
    ("task=evaluate from=trained data.root=shop.csv target=kind sample.steps=16 device=cpu out=judged", 0),
    ("task=train data.root=ragged.csv out=no1", 5),
    ("task=train data.root=nowhere.csv out=no2", 5),
    ("task=sample from=trained given=[count=3] out=no3", 2),
    ("task=sample from=trained given=[kind=d] out=no4", 2),
    ("task=sample from=trained given=[size=800] out=no5", 2),
    ("task=sample from=trained given=[sizes=8] out=no6", 2),
    ("task=evaluate from=trained out=no7", 5),
    ("task=train data.root=shop.csv condition=[sizes] out=no8", 2),
    ("task=sample from=trained given=[kind] out=no9", 2),
]
KINDS = {"a": 0.5, "b": 0.3, "c": 0.2}


def shop(n: int = 900) -> dict[str, list[str]]:
    """Rows whose law is known: size follows kind, count follows size, bought is rare for c, paid is often unknown."""
    rng = np.random.default_rng(0)
    kind = rng.choice(list(KINDS), n, p=list(KINDS.values()))
    size = 4.0 * (kind == "b") + 8.0 * (kind == "c") + rng.normal(size=n)
    count = np.round(20 + 3 * size + rng.normal(size=n)).astype(int)
    bought = np.where(rng.uniform(size=n) < np.where(kind == "c", 0.1, 0.7), "yes", "no")
    paid = [f"{v:.2f}" if u > 0.3 else "" for v, u in zip(rng.lognormal(3, 1, n), rng.uniform(size=n), strict=True)]
    return {
        "kind": kind.tolist(),
        "size": [f"{v:.2f}" for v in size],
        "count": [str(v) for v in count],
        "bought": bought.tolist(),
        "paid": paid,
    }


def table(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


class Installed:
    """The wheel in a folder of its own, and one to work in, where all runs were made in one process."""

    def __init__(self, folder: Path):
        self.site, self.work = folder / "site", folder / "work"
        self.work.mkdir()
        (wheel,) = build_wheels([PROJECT], folder / "wheels")
        pip = ["-m", "pip", "install", "--no-deps", "--no-index", "--target", str(self.site), str(wheel)]
        done = self.python(*pip)
        assert done.returncode == 0, done.stderr

    def python(self, *words: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH")]))  # of the tree under test
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=self.work)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    new = Installed(tmp_path_factory.mktemp("tabular"))
    columns = shop()
    with (new.work / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    (new.work / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    code = f"""if True:
        import contextlib, io, json
        from diffx.cli import main
        said = {{}}
        for words, _ in {RUNS!r}:
            with contextlib.redirect_stderr(io.StringIO()) as error:
                code = main(["run", "plugin=tabular", *words.split()])
            said[words] = code, [line for line in error.getvalue().splitlines() if "error:" in line]
        open("said.json", "w").write(json.dumps(said))
    """
    done = new.python("-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
    return new


def test_every_run_ends_as_it_should_and_errors_are_one_line(installed: Installed) -> None:
    said = json.loads((installed.work / "said.json").read_text())
    assert {words: code for words, (code, _) in said.items()} == dict(RUNS), said
    errors = [lines for words, code in RUNS for lines in [said[words][1]] if code]
    assert all(len(lines) == 1 for lines in errors), errors
    for (line,), cause in zip(
        errors,
        [
            "ragged.csv, line 3: 3 values for 2 columns",
            "data.root=nowhere.csv: no such file or folder",
            "cannot be told count, a number; train with condition=[size,count]",
            "kind is one of 'a', 'b', 'c', not 'd'",
            "size is a number from ",
            "no column 'sizes'; did you mean 'size'?",
            "the diabetes study: not the table",
            "condition: there is no column 'sizes'; did you mean 'size'?",
            "given: column=value, not 'kind'",
        ],
        strict=True,
    ):
        assert line.startswith("diffx: error: ") and cause in line, line


def test_new_rows_have_the_form_and_the_law_of_the_table(installed: Installed) -> None:
    rows, real = table(installed.work / "drawn/samples/table.csv"), shop()
    assert list(rows) == list(real) and all(len(values) == 800 for values in rows.values())
    assert all(value.lstrip("-").isdigit() for value in rows["count"])
    assert all(len(value.partition(".")[2]) == 2 for name in ("size", "paid") for value in rows[name] if value)
    for name in ("kind", "bought"):
        off = [abs(rows[name].count(v) / 800 - real[name].count(v) / 900) for v in sorted(set(real[name]))]
        assert sum(off) / 2 < 0.08, (name, off)
    assert abs(rows["paid"].count("") / 800 - real["paid"].count("") / 900) < 0.06
    size, count = (np.array(rows[name], dtype=float) for name in ("size", "count"))
    assert np.corrcoef(size, count)[0, 1] > 0.9
    for kind, mean in (("a", 0), ("b", 4), ("c", 8)):
        mine = np.array(rows["kind"]) == kind
        assert abs(size[mine].mean() - mean) < 0.6, (kind, size[mine].mean())
    c = np.array(rows["kind"]) == "c"
    assert np.mean(np.array(rows["bought"])[c] == "yes") < 0.22


def test_given_columns_are_as_given_and_the_others_follow(installed: Installed) -> None:
    rows = table(installed.work / "by_kind/samples/table.csv")
    size = np.array(rows["size"], dtype=float)
    assert set(rows["kind"]) == {"b"}
    assert abs(size.mean() - 4) < 0.4 and 0.7 < size.std() < 1.5
    rows = table(installed.work / "by_size/samples/table.csv")
    assert set(rows["size"]) == {"8.00"} and set(rows["paid"]) == {""}
    assert rows["kind"].count("c") > 0.95 * 800
    count = np.array(rows["count"], dtype=float)
    assert abs(count.mean() - 44) < 1.5 and count.std() < 3
    assert 0.02 < rows["bought"].count("yes") / 800 < 0.25


def test_figures_stand_between_their_floor_and_independent_columns(installed: Installed) -> None:
    found = json.loads((installed.work / "judged/metrics.json").read_text())
    assert {name: set(value) >= {"value", "floor"} for name, value in found.items()} == dict.fromkeys(
        [
            *("column_fidelity", "pair_fidelity", "correlation_error", "utility"),
            *("closest_distance_ratio", "near_share", "copies"),
        ],
        True,
    )
    assert found["column_fidelity"]["value"] > found["column_fidelity"]["floor"] - 0.04
    pair, utility = found["pair_fidelity"], found["utility"]
    assert pair["value"] > (pair["floor"] + pair["baseline"]) / 2
    assert utility["target"] == "kind" and utility["score"] == "balanced accuracy"
    assert utility["value"] > utility["floor"] - 0.1 > utility["baseline"] + 0.3
    assert found["closest_distance_ratio"]["value"] > 0.8 and found["copies"]["value"] == 0
    assert "Rank correlation" in (installed.work / "judged/report.html").read_text()


def test_it_keeps_what_a_plugin_promises_and_its_own_tests_pass(installed: Installed) -> None:
    check = installed.python("-m", "diffx", "plugins", "check", "tabular", "preset=quick", "condition=[age]")
    assert check.returncode == 0, check.stdout + check.stderr
    own = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(PROJECT / "tests/test_table.py")]
    done = installed.python(*own)
    assert done.returncode == 0, done.stdout
