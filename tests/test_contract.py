"""What `diffx plugins check` and PluginContract find in plugins that break their promises, each in one way."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from conftest import Strangers

CONFIG = """
from dataclasses import dataclass, field
import diffx
from diffx.config import NetConfig

@dataclass
class Net(NetConfig):
    channels: list[int] = diffx.option([8, 8], help="width", min=4)
    blocks: int = diffx.option(1, help="blocks", min=1)
    attention: list[int] = diffx.option([], help="attention", min=0)

@dataclass
class Config(diffx.RunConfig):
    size: float = diffx.option(1.0, help="how big", min=0, max=10)
    net: Net = field(default_factory=Net)
"""
MANIFEST = """
plugins:
  {name}:
    summary: a stranger's plugin
    module: stranger_{name}.plugin
    config: stranger_{name}.config:Config
    api: 1.0
    default_task: train
    tasks: {{train: learn, sample: draw}}
"""
WELL = """
import diffx, math, torch
from stranger_{name}.config import Config
from pathlib import Path

class Data:
    def __init__(self, n):
        self.n = n
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        x = torch.sin(torch.arange(16.0) + i)[None]
        size = i / 10
        return {{"x": x, "size": size, "file": f"{{i}}.npy", "gap": math.nan}}

@diffx.hookimpl
def diffx_config():
    return Config

@diffx.hookimpl
def diffx_data(cfg, split):
    return Data(40 if split == "train" else 4)

@diffx.hookimpl
def diffx_conditioning(cfg, spec):
    from diffx.condition import Scalar
    return {{"size": Scalar(0, 10, cfg.net.condition)}}
"""


def well(old: str = "", new: str = "", more: str = "") -> str:
    text = WELL.format(name="{name}").replace("{name}", "NAME")
    assert old in text
    return text.replace(old, new) + textwrap.dedent(more)


RANDOM_NET = """
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # one weight would not do: clipping leaves only the sign of its gradient, which may come out alike
            self.scale = torch.nn.Parameter(torch.ones(16))
        def forward(self, x, level, condition):
            return self.scale * x{}

    @diffx.hookimpl
    def diffx_denoiser(cfg, spec, conditioning):
        return Net()
"""
WRITES = """
    @diffx.hookimpl
    def diffx_write(cfg, samples, folder):
        {}
"""
# name -> (plugin, part of the contract, what it says)
CASES = {
    "well": (well(), "", ""),
    "empty": (well("40 if", "0 if"), "data", "diffx_data: the split 'train' is empty"),
    "unseeded": (
        well("torch.sin(torch.arange(16.0) + i)[None]", "torch.rand(1, 16)"),
        "data",
        "diffx_data: item 0 of 'train' is another one when asked again: its randomness has to follow from cfg.seed",
    ),
    "ragged": (
        well("torch.arange(16.0)", "torch.arange(16.0 + (i == 39))"),
        "data",
        "diffx_data: item 39 of 'train' has state (1, 17)",
    ),
    "infinite": (
        well("+ i)[None]", "+ i)[None] / (i != 3)"),
        "data",
        "diffx_data: item 3 of 'val': the state 'x' is not finite",
    ),
    "outside": (well("size = i / 10", "size = i"), "data", "diffx_data, 'train': size: 11 is outside 0 to 10"),
    "absent": (
        well('{{"size": Scalar'.replace("{{", "{"), '{"sise": Scalar'),
        "data",
        "diffx_conditioning names 'sise', which no item of 'train' has",
    ),
    "unasked": (
        well('return {"size": Scalar', 'return {"gap": Scalar(0, 1, cfg.net.condition), "size": Scalar'),
        "data",
        "diffx_conditioning names 'gap', but there is no option gap= to ask for it",
    ),
    "sparse": (
        well(
            more=RANDOM_NET.replace(
                "# one weight", "self.register_buffer('near', torch.eye(16).to_sparse())\n            # one weight"
            ).format("")
        ),
        "training",
        "task=train ends with code 3: 'model.denoiser.net.near' of the weights cannot be saved: ",
    ),
    "forgets": (well(), "saving", "the option size=2.0 is read back from the weights as 3.0"),
    "diverging": (
        well(more=RANDOM_NET.format(" * torch.inf")),
        "training",
        "task=train ends with code 1: ",
    ),
    "forgetful": (
        well(more=RANDOM_NET.format(" + torch.randn_like(x)")),
        "resuming",
        "training that was interrupted and resumed ends with other weights: ",
    ),
    "deaf": (
        well(
            more="""
            def train(run):
                for step in range(1, 4):
                    try:
                        run.record(step, loss=1.0)
                    except KeyboardInterrupt:
                        pass
                from diffx.io import checkpoint
                checkpoint.save(run.checkpoints / "weights.safetensors", {"a": torch.ones(2)}, {"kind": "weights"})

            @diffx.hookimpl
            def diffx_tasks():
                return {"train": train}
            """
        ),
        "resuming",
        "task=train, interrupted after a step, ends with code 0 instead of 130",
    ),
    "silent": (well(more=WRITES.format("return []")), "sampling", "task=sample writes no file"),
    "hollow": (
        well(more=WRITES.format('(folder / "a.txt").write_text(""); return [folder / "a.txt"]')),
        "sampling",
        "task=sample writes a.txt, which is empty",
    ),
    "unlike": (
        well(
            more=WRITES.format(
                'import numpy as np; np.save(folder / "a.npy", np.random.default_rng().random(3)); return [folder]'
            )
        ),
        "sampling",
        "task=sample draws another a.npy when asked again with the same seed",
    ),
    "raising": (well(more=WRITES.format("1 / 0")), "sampling", "failed in diffx_write: ZeroDivisionError"),
}

FORGETS = (
    CONFIG
    + """
    def __post_init__(self):
        self.size = min(self.size + 1, 9.0)  # each time that it is read
"""
)

EXAMINE = """if True:
    import json, sys
    from pathlib import Path
    from diffx.checks.contract.domain import Domain
    from diffx.errors import DiffxError
    found = {}
    for name, part in json.loads(sys.argv[1]).items():
        domain = Domain(name, [], Path(name))
        parts = [part] if part else ["data", "saving", "training", "resuming", "sampling"]
        try:
            found[name] = [line for one in parts for line in getattr(domain, one)()]
        except DiffxError as error:
            found[name] = [str(error)]
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is found in each case; one process for all, since importing torch is most of the time."""
    strangers = Strangers(tmp_path_factory.mktemp("contract") / "site")
    strangers.folder.mkdir()
    for name, (plugin, _, _) in CASES.items():
        code = plugin.replace("NAME", name)
        config = FORGETS if name == "forgets" else CONFIG
        strangers.add(name, plugin=code, config=config, manifest=MANIFEST.format(name=name))
    parts = {name: part for name, (_, part, _) in CASES.items()}
    done = strangers.python("-c", EXAMINE, json.dumps(parts))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_a_broken_promise_is_found(found: dict[str, list[str]], name: str) -> None:
    cause = CASES[name][2]
    if not cause:
        assert found[name] == []
    else:
        assert any(cause in line for line in found[name]), found[name]


EXTENSION = """
import dataclasses, diffx, math, torch
from diffx.plan import Plan, Row, SOLVERS
from diffx.schedule import Cosine

@diffx.hookimpl
def diffx_samplers():
    def shrinks(schedule, times):  # each step loses 2 %
        plan = SOLVERS["ddim"](schedule, times)
        rows = [dataclasses.replace(r, a=0.98 * r.a, b=tuple(0.98 * b for b in r.b)) for r in plan.rows]
        return Plan("shrinks", tuple(rows))
    def stops(schedule, times):
        return SOLVERS["ddim"](schedule, times[:-1])
    def infinite(schedule, times):
        rows = SOLVERS["ddim"](schedule, times).rows
        return Plan("infinite", (dataclasses.replace(rows[0], a=math.nan), *rows[1:]))
    def raises(schedule, times):
        raise KeyError("h")
    return {"fine": SOLVERS["heun"], "shrinks": shrinks, "stops": stops, "infinite": infinite, "raises": raises}

@diffx.hookimpl
def diffx_schedules():
    class Rates(Cosine):
        def rates(self, t):
            a, s = super().rates(t)
            return a, -s
    class Time(Cosine):
        def time(self, ratio):
            return super().time(ratio) ** 2
    class Falls(Cosine):
        def ratio(self, t):
            return 1 / super().ratio(t)
    return {"fine": Cosine, "rates": Rates, "time": Time, "falls": Falls}

@diffx.hookimpl
def diffx_networks():
    class Net(torch.nn.Module):
        def __init__(self, cut=0, factor=1.0):
            super().__init__()
            self.cut, self.w = cut, torch.nn.Parameter(torch.tensor(factor))
        def forward(self, x, level, condition):
            return (self.w * x)[:, self.cut:]
    def flat_only(cfg, spec, conditioning):
        raise ValueError("this network is for molecules")
    return {
        "fine": lambda cfg, spec, conditioning: Net(),
        "cut": lambda cfg, spec, conditioning: Net(1),
        "infinite": lambda cfg, spec, conditioning: Net(0, math.inf),
        "nothing": flat_only,
    }

@diffx.hookimpl
def diffx_step(run, step, values):
    if step == 2:
        raise RuntimeError("disk full")
"""


def test_what_is_wrong_with_an_extension(strangers: Strangers) -> None:
    manifest = "plugins:\n  ext:\n    summary: s\n    module: stranger_ext.plugin\n    api: 1.0\n"
    strangers.add("ext", plugin=EXTENSION, manifest=manifest)
    done = strangers.diffx("plugins", "check", "ext")
    assert done.returncode == 3
    assert "import         ok\ncontract       not ok" in done.stdout
    said = [line.removeprefix("diffx: error: plugin 'ext' (stranger-ext 1.2): ") for line in done.stderr.splitlines()]
    assert not [line for line in said if " fine:" in line]
    for cause in (
        "sampler shrinks: on EDM, 100 steps: of data with mean 0 and deviation 0.5 it draws mean ",
        "sampler stops: on EDM, 100 steps: its plan goes from 80 to 0.00",
        "sampler infinite: on EDM, 100 steps: its plan holds numbers that are not finite",
        "sampler raises: KeyError: 'h'",
        "schedule rates: rates() gives another d sigma/dt than the differences of sigma",
        "schedule time: time() is not the inverse of ratio()",
        "schedule falls: sigma/alpha does not grow with time",
        "network cut: for a state [3, 2, 16] it returns [3, 1, 16]",
        "network infinite: for a state [3, 2, 16] its output or its gradients are not finite",
        "network nothing: it takes no state of one, two or three dimensions: ValueError: this network is for molecules",
        "plugin 'ext' (stranger-ext 1.2) failed in diffx_step: RuntimeError: disk full",
    ):
        assert any(cause in line for line in said), (cause, said)


def test_the_contract_as_tests_finds_the_same(strangers: Strangers, tmp_path: Path) -> None:
    """`diffx.checks.testing.PluginContract` on one that is well but for its files, in a pytest of its own."""
    code = CASES["silent"][0].replace("NAME", "silent")
    strangers.add("silent", plugin=code, config=CONFIG, manifest=MANIFEST.format(name="silent"))
    test = "from diffx.checks.testing import PluginContract\n\n"
    test += "class TestSilent(PluginContract):\n    plugin = 'silent'\n"
    (tmp_path / "test_silent.py").write_text(test)
    done = strangers.python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), cwd=tmp_path)
    assert "1 failed, 6 passed" in done.stdout, done.stdout
    assert "AssertionError: task=sample writes no file into the run's folder samples/" in done.stdout


def test_a_plugin_without_data_at_hand_says_where_to_name_some(strangers: Strangers) -> None:
    code = well(
        "return Data(", "if cfg.size == 1:\n        raise diffx.UsageError('size= says how big')\n    return Data("
    )
    strangers.add("asks", plugin=code.replace("NAME", "asks"), config=CONFIG, manifest=MANIFEST.format(name="asks"))
    done = strangers.diffx("plugins", "check", "asks")
    assert done.returncode == 2 and "size= says how big" in done.stderr
    done = strangers.diffx("plugins", "check", "asks", "size=20")
    assert done.returncode == 2 and "size=20: expected a number from 0 to 10" in done.stderr
