"""Values are parsed by declared type, layers merge in order, and everything that is wrong is said at once."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from diffx.cli.chosen import choose, configure
from diffx.config import (
    DataConfig,
    ProcessConfig,
    RunConfig,
    TrainConfig,
    option,
    renamed,
    resolve,
    schema,
    to_yaml,
)
from diffx.errors import PluginError, UsageError
from diffx.io.yamltext import read_mapping


@dataclass
class Data(DataConfig):
    spacing: float = option(2.0, help="voxel size", unit="mm", min=0.5, max=8)


@dataclass
class Config(RunConfig):
    age: float | None = option(None, help="age", unit="years", min=0, max=120)
    sex: str | None = option(None, help="sex", choices=("F", "M"))
    subject: str = option("", help="subject label")
    count: int | None = option(None, help="how many")
    ratio: float = option(0.5, help="share")
    loud: bool = option(False, help="loudly")
    label: bool | None = option(None, help="maybe")
    mode: Literal["fast", "slow"] = option("fast", help="mode")
    mixed: int | str = option(3, help="number or name")
    shape: tuple[int, int, int] = option((1, 2, 3), help="shape")
    spread: tuple[float, ...] = option((1.0,), help="spread")
    names: list[str] = option([], help="names")
    widths: list[int] = option([64], help="widths", min=1)
    levels: list[float] | None = option(None, help="levels")
    folder: Path = option(Path("a"), help="folder")
    data: Data = field(default_factory=Data)


def problems(*overrides: str, **keywords: object) -> list[str]:
    with pytest.raises(UsageError) as caught:
        resolve(Config, overrides=overrides, **keywords)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("subject", "0010", "0010"),  # YAML 1.1: 8
        ("subject", "12:30", "12:30"),  # YAML 1.1: 750
        ("subject", "on", "on"),
        ("subject", "1_000", "1_000"),
        ("subject", "", ""),
        ("subject", "none", "none"),  # text that must be text cannot be none
        ("subject", "a=b: c, [d] # e", "a=b: c, [d] # e"),
        ("subject", "${train.steps}", "${train.steps}"),  # a prompt, not a reference
        ("subject", r"\${x} \\${y} ${", r"\${x} \\${y} ${"),
        ("age", "70", 70.0),
        ("age", "none", None),
        ("age", "", None),
        ("sex", "null", None),
        ("from", "runs/x", "runs/x"),
        ("count", "0010", 10),
        ("count", "1e3", 1000),
        ("ratio", "1e-3", 0.001),
        ("ratio", "-inf", -math.inf),
        ("loud", "yes", True),
        ("loud", "0", False),
        ("label", "off", False),
        ("label", "none", None),
        ("mode", "slow", "slow"),
        ("mixed", "12", 12),
        ("mixed", "twelve", "twelve"),
        ("shape", "4,5,6", (4, 5, 6)),
        ("shape", "(4, 5, 6)", (4, 5, 6)),
        ("spread", "[0.5]", (0.5,)),
        ("names", "a", ["a"]),
        ("names", "", []),
        ("names", "[]", []),
        ("names", "0010, on", ["0010", "on"]),
        ("names", """["a, b", 'c"d', e]""", ["a, b", 'c"d', "e"]),
        ("names", "${a},b", ["${a}", "b"]),
        ("widths", "[32,64]", [32, 64]),
        ("levels", "none", None),
        ("levels", "1,2.5", [1.0, 2.5]),
        ("folder", "0010/x", Path("0010/x")),
        ("data.spacing", "1.5", 1.5),
        ("data.root", "0010", "0010"),
    ],
)
def test_a_value_is_read_by_its_declared_type(key: str, text: str, value: object) -> None:
    config = resolve(Config, overrides=[f"{key}={text}"])
    found = dataclasses.asdict(config)
    for part in ("from_" if key == "from" else key).split("."):
        found = found[part]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "override, line",
    [
        ("age=old", "age=old: expected a number from 0 to 120 (years), or none"),
        ("age=121", "age=121: expected a number from 0 to 120 (years), or none"),
        ("age=nan", "age=nan: expected a number from 0 to 120 (years), or none"),
        ("sex=X", "sex=X: expected F or M, or none"),
        ("count=1.5", "count=1.5: expected a whole number, or none"),
        ("count=inf", "count=inf: expected a whole number, or none"),
        ("ratio=", "ratio=: expected a number"),
        ("ratio=none", "ratio=none: expected a number"),
        ("loud=ture", "loud=ture: expected true or false; did you mean 'true'?"),
        ("mode=slwo", "mode=slwo: expected fast or slow; did you mean 'slow'?"),
        ("shape=1,2", "shape=1,2: expected 3 whole numbers (2 given)"),
        ("widths=64,0", "widths=64,0: expected a list of whole numbers, at least 1"),
        ("widths=64,a", "widths=64,a: expected a list of whole numbers, at least 1"),
        ('names="a', 'names="a: expected a list of texts (the quotes do not match)'),
        ("subject=???", "subject=???: expected text (??? stands for a missing value)"),
        ("train.lrr=3", "train.lrr=3: unknown option; did you mean 'train.lr'?"),
        ("lr=3", "lr=3: unknown option; did you mean 'train.lr'?"),
        ("zzz=3", "zzz=3: unknown option"),
        ("train.lr", "train.lr: expected key=value; write train.lr=VALUE"),
        ("--train.lr=3", "--train.lr=3: options are written without dashes: train.lr=VALUE"),
        ("data=3", "data=3: a group of options; set one, as data.root or data.spacing"),
        ("widths[0]=7", "widths[0]=7: unknown option; a list is set as a whole: widths=[a,b]"),
        ("from_=x", "from_=x: unknown option; did you mean 'from'?"),
    ],
)
def test_a_problem_says_what_was_expected(override: str, line: str) -> None:
    assert problems(override) == [line]


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train: {stepz: 3}\nage: old\ntrain.lr: [1]\nconfig: other.yaml\ndata: 7\nsex: {a: b}\n")
    found = problems("seed=-1", "task=smaple", "preset=bog", file=file, tasks=["sample"], presets={"big": {}})
    assert found == [
        "preset=bog: unknown preset; did you mean 'big'? (presets: big)",
        f"{file}: train.stepz=3: unknown option; did you mean 'train.steps'?",
        f"{file}: age=old: expected a number from 0 to 120 (years), or none",
        f"{file}: train.lr=['1']: expected a number, at least 0",
        f"{file}: data=7: a group of options; set one, as data.root or data.spacing",
        f"{file}: sex={{...}}: expected F or M, or none",
        f"{file}: config=other.yaml: a configuration file cannot name another",
        "seed=-1: expected a whole number from 0 to 4611686018427387904",
        "task=smaple: unknown task; did you mean 'sample'? (tasks: sample)",
    ]


def test_layers_merge_in_order(tmp_path: Path) -> None:
    presets = {"big": {"train": {"steps": "1", "lr": "1e-1"}, "train.batch": "1", "ratio": "1", "preset": "big"}}
    file = tmp_path / "c.yaml"
    file.write_text("preset: big\ntask: train\ntrain:\n  lr: 2e-1\n  batch: 2\nratio: 2\n")
    config = resolve(
        Config,
        overrides=[f"config={file}", "train.batch=9", "ratio=3", "ratio=4"],
        presets=presets,
        tasks=["train", "sample"],
        default_task="sample",
    )
    assert (config.train.steps, config.train.lr, config.train.batch, config.ratio) == (1, 0.2, 9, 4.0)
    assert (config.task, config.preset, config.train.warmup) == ("train", "big", TrainConfig.warmup)
    assert type(config) is Config and type(config.data) is Data and type(config.train) is TrainConfig


def test_a_file_is_read_by_declared_type_too(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        'subject: 0010\nsex: null\ndata: {root: "none"}\nratio: 1e-3\nnames: [on, 12:30]\nloud: on\nage: none\n'
    )
    config = resolve(Config, file=file)
    assert (config.subject, config.sex, config.data.root) == ("0010", None, "none")
    assert (config.ratio, config.names, config.loud, config.age) == (0.001, ["on", "12:30"], True, None)


@pytest.mark.parametrize(
    "text, line",
    [
        ("a: 1\na: 2\n", "{file}:2: the key 'a' is given twice"),
        ("a: [1\n", "{file}:2: did not find expected ',' or ']'"),
        ("- a\n", "{file}: expected a mapping of key: value"),
        ("subject:\n", "{file}: subject=: expected text"),
        ("names: a\n", "{file}: names=a: expected a list of texts"),
        (
            "age: !!python/object/apply:os.system [ls]\n",
            "{file}: age=['ls']: expected a number from 0 to 120 (years), or none",
        ),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    (found,) = problems(file=file)
    assert found.removeprefix("config=") == line.format(file=file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems(f"config={tmp_path}/no.yaml") == [f"config={tmp_path}/no.yaml: no such file or directory"]


def test_references_in_a_file_are_resolved_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("subject: sub-${seed}\ncount: ${train.steps}\nage: ${train.steps}\n")
    config = resolve(Config, file=file, overrides=["seed=7", "train.steps=70"])
    assert (config.subject, config.count, config.age) == ("sub-7", 70, 70.0)
    assert problems("train.steps=700", file=file) == [
        f"{file}: age=700.0: expected a number from 0 to 120 (years), or none"
    ]
    file.write_text("subject: ${nothing}\n")
    assert problems(file=file) == ["subject: Interpolation key 'nothing' not found"]


NASTY = [
    "0010",
    "12:30",
    "on",
    "null",
    "none",
    "",
    " a ",
    "a: b",
    "# c",
    "${x}",
    r"\${x}",
    "é\n\t'\"",
    "\x7f\u2028",
    "~",
    "1e3",
    "-",
    "[a]",
]


@pytest.mark.parametrize("text", NASTY)
def test_what_is_written_reads_back_the_same(tmp_path: Path, text: str) -> None:
    config = resolve(Config)
    config.subject, config.names, config.folder = text, [text, "b"], Path(f"x/{text}")
    config.data.root, config.ratio, config.age, config.spread = text, 1e-05, 70.0, (math.inf, 0.1, 3e22)
    file = tmp_path / "c.yaml"
    for comments in (False, True):
        file.write_text(to_yaml(config, comments=comments), encoding="utf-8")
        assert resolve(Config, file=file) == config
    other = yaml.safe_load(file.read_text(encoding="utf-8"))  # what another reader makes of it
    assert other["ratio"] == 1e-05 and other["shape"] == [1, 2, 3] and other["loud"] is False and other["sex"] is None
    assert other["names"][0] == (text if "${" not in text else text.replace("\\", "\\\\").replace("${", "\\${"))


def test_what_belongs_to_one_call_is_not_written() -> None:
    config = resolve(Config, overrides=["out=x", "resume=true"])
    assert not {"out", "resume", "config"} & set(yaml.safe_load(to_yaml(config)))
    assert yaml.safe_load(to_yaml(config, everything=True))["out"] == "x"


def test_options_are_shown_without_the_trailing_underscore() -> None:
    assert "from" in schema(Config).options and schema(Config).options["from"].path == ("from_",)


def test_a_plugin_may_compare_options() -> None:
    @dataclass
    class Pair(RunConfig):
        low: int = option(0, help="low")
        high: int = option(1, help="high")

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low has to be below high")

    assert resolve(Pair, overrides=["low=1"]).low == 1
    with pytest.raises(UsageError, match=r"^low has to be below high$"):
        resolve(Pair, overrides=["low=3"])


def test_an_option_nobody_can_type_is_the_plugins_fault() -> None:
    @dataclass
    class Odd(RunConfig):
        table: dict[str, int] = field(default_factory=dict)

    with pytest.raises(PluginError, match=r"Odd.table: no way to read a value of type dict\[str, int\]"):
        resolve(Odd)


def test_list_defaults_are_not_shared() -> None:
    resolve(Config).widths.append(1)
    assert resolve(Config).widths == [64] and Config().widths is not Config().widths


MERGED = """
plugin: toy
train: &fast
  steps: 3
  lr: 1e-4
sample:
  <<: *fast
  steps: 5
more:
  <<: [*fast, {steps: 9, n: 0010}]
quoted:
  "<<": text
"""


def test_the_merge_key_of_yaml(tmp_path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(MERGED)
    tree = read_mapping(file)
    assert tree["sample"] == {"steps": "5", "lr": "1e-4"}  # what stands beside it counts, wherever it stands
    assert tree["more"] == {"steps": "3", "lr": "1e-4", "n": "0010"}  # of several, the earlier
    assert tree["quoted"] == {"<<": "text"} and tree["train"] == {"steps": "3", "lr": "1e-4"}


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a: &a 3\nb:\n  <<: *a\n", "c.yaml:3: << merges a mapping"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", "c.yaml:4: the key '<<' is given twice"),
        ("a: &a\n  x: 1\n  <<: *a\n", "c.yaml:1: found unconstructable recursive node"),
        ("b:\n  <<: *nobody\n", "c.yaml:2: found undefined alias"),
    ],
)
def test_a_merge_that_cannot_be(tmp_path, text: str, reason: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError) as caught:
        read_mapping(tmp_path / "c.yaml")
    assert reason in str(caught.value)


# ------------------------------------------------------------------------------------------------------- former names

SPREAD = "process.levels is now called process.noise_distribution; the old name will go with the next release"
MEAN = "process.level_mean is now called process.noise_mean; the old name will go with the next release"


@dataclasses.dataclass
class OwnProcess(ProcessConfig):
    noise_mean: float = option(-1.4, help="another default, and no word of the former name")


@dataclasses.dataclass
class OwnConfig(RunConfig):
    process: OwnProcess = dataclasses.field(default_factory=OwnProcess)


@pytest.mark.parametrize("kind", [RunConfig, OwnConfig])
def test_a_former_name_is_accepted_with_a_hint_wherever_it_stands(kind, tmp_path: Path) -> None:
    """Typed, in a file (nested or dotted), in a preset; also where a plugin declares the option anew."""
    (nested := tmp_path / "nested.yaml").write_text("process:\n  levels: uniform\n  level_mean: 0.5\n")
    (dotted := tmp_path / "dotted.yaml").write_text("process.levels: uniform\nprocess.level_mean: 0.5\n")
    typed = ["process.levels=uniform", "process.level_mean=0.5"]
    preset = {"process.levels": "uniform", "process": {"level_mean": 0.5}}
    for given, source in (
        ({"overrides": typed}, ""), ({"file": nested}, f"{nested}: "), ({"file": dotted}, f"{dotted}: "),
        ({"preset": preset}, "preset: "),
    ):  # fmt: skip
        hints: list[str] = []
        cfg = resolve(kind, hints=hints, **given)
        assert (cfg.process.noise_distribution, cfg.process.noise_mean) == ("uniform", 0.5)
        assert hints == [f"{source}{SPREAD}", f"{source}{MEAN}"]
        assert "level" not in to_yaml(cfg).partition("process:")[2].partition("net:")[0]
    assert resolve(kind, overrides=typed).process.noise_mean == 0.5  # nobody has to ask for hints
    assert resolve(kind, overrides=["process.noise_mean=1", *typed[1:], "process.noise_mean=2"]).process.noise_mean == 2
    with pytest.raises(UsageError, match=r"process\.noise_mean=high: expected a number"):
        resolve(kind, overrides=["process.level_mean=high"])


def test_a_header_of_weights_has_former_names() -> None:
    header = {"process.levels": "uniform", "process.level_tail": 0.1, "process.sigma_max": 20.0}
    now = {"process.noise_distribution": "uniform", "process.noise_tail": 0.1, "process.sigma_max": 20.0}
    assert renamed(RunConfig, header) == now and renamed(RunConfig, now) == now
    assert renamed(RunConfig, {**header, **now, "process.noise_tail": 0.3})["process.noise_tail"] == 0.3


def test_a_plugin_whose_own_option_has_a_former_name_is_told() -> None:
    @dataclasses.dataclass
    class Old(ProcessConfig):
        level_mean: float = option(0.1, help="as it was called")

    @dataclasses.dataclass
    class OldConfig(RunConfig):
        process: Old = dataclasses.field(default_factory=Old)

    globals()["Old"] = Old
    with pytest.raises(PluginError, match=r"process.level_mean is now called process.noise_mean; rename it"):
        schema(OldConfig)


def test_the_command_line_says_the_hint_once(capsys) -> None:
    words = ["plugin=nilm", "process.level_mean=0.5", "process.level_mean=0.25"]
    assert configure(choose(words, "run"), words).process.noise_mean == 0.25
    assert capsys.readouterr().err == f"diffx: hint: {MEAN}\n"
