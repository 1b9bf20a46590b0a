"""The core's tasks through the command line, on plugins that leave all but the must to the core."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Strangers

from diffx.io.checkpoint import load, under
from diffx.train.posthoc import WIDTHS

HEAD = """
import torch
import diffx
from diffx.condition import Class, Spatial, Tokens
from diffx.noise import Noise
from stranger_{name}.config import Config

@diffx.hookimpl
def diffx_config():
    return Config

class Data:
    def __len__(self):
        return 12

    def __getitem__(self, k):
        noise = Noise([k])
"""

WAVES = (
    HEAD.format(name="waves")
    + """
        x = noise["x"].normal(2, 11)[0]
        return {"x": x, "kind": ("a", "b", None)[k % 3], "mains": None if k % 4 == 3 else x[:1] + 1,
                "words": noise["w"].normal(k % 3, 5)[0]}

@diffx.hookimpl
def diffx_data(cfg, split):
    return Data() if split == "train" else []

@diffx.hookimpl
def diffx_conditioning(cfg, spec):
    return {"kind": Class(["a", "b"], 8), "mains": Spatial(1, spec.size), "words": Tokens(5, 6)}
"""
)

ROWS = (
    HEAD.format(name="rows")
    + """
        return {"x": {"size": noise["x"].normal(2)[0], "kind": torch.tensor([k % 3, k % 2])}}

@diffx.hookimpl
def diffx_data(cfg, split):
    return Data() if split == "train" else []

@diffx.hookimpl
def diffx_conditioning(cfg, spec):
    return {}

@diffx.hookimpl
def diffx_process(cfg, spec):
    from diffx.process import Gaussian, Product
    from diffx.schedule import EDM
    from diffx.process.masked import Masked
    return Product({"size": Gaussian(EDM()), "kind": Masked([3, 2])})

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2 + 6)

    def forward(self, x, level, condition=None):
        raw = self.layer(torch.cat([x["size"], x["kind"].float()], 1))
        return {"size": raw[:, :2], "kind": raw[:, 2:].view(-1, 2, 3)}

@diffx.hookimpl
def diffx_denoiser(cfg, spec, conditioning):
    from diffx.predict import Affine, JointDenoiser, Tokens
    assert spec.shape == {"size": (2,), "kind": (2,)}
    process = diffx_process(cfg, spec)
    size, kind = process.leaves["size"], process.leaves["kind"]
    return JointDenoiser(Net(), {"size": Affine("edm", size.schedule, 1.0), "kind": Tokens(kind)})
"""
)

CONFIG = """
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional
import diffx

@dataclass
class Config(diffx.RunConfig):
    kind: Optional[str] = diffx.option(None, help="which")
    where: Path = diffx.option(Path("a/b"), help="a path")
    there: Optional[Path] = diffx.option(None, help="a path or none")
    files: list[Path] = diffx.option([Path("c"), Path("d e")], help="paths")
    sizes: tuple[int, ...] = diffx.option((1, 2), help="whole numbers")
    pair: tuple[float, str] = diffx.option((0.5, "x,y"), help="a number and a text")
    way: Literal["up", "down"] = diffx.option("up", help="which way")
    limit: float = diffx.option(float("inf"), help="a number that is not finite")
"""

MANIFEST = """
plugins:
  {name}:
    summary: a stranger's plugin
    module: stranger_{name}.plugin
    config: stranger_{name}.config:Config
    api: 1.0
    default_task: train
    tasks: {{train: learn, sample: draw, average: average}}
"""

SMALL = "net.channels=[8,8] net.blocks=1 net.attention=[1] train.batch=4 train.warmup=0 train.lr=1e-2 device=cpu"
SEEN = "net.self_condition=true"
GUIDED = "sample.steps=3 sample.guidance=2 sample.guidance_interval=0.2,2 sample.guidance_rescale=0.5 device=cpu"
NEW = f"train.steps=4 train.ema_snapshots=2 train.uncertainty=true {SEEN}"
RUNS = [
    (f"waves task=train {SMALL} {NEW} out=first", 0),
    ("waves task=average from=first train.ema_std=0.1 device=cpu out=wide", 0),
    (f"waves task=train {SMALL} train.steps=3 train.lora_rank=2 {SEEN} process.weight=min_snr from=first out=tuned", 0),
    (f"waves task=train {SMALL} train.steps=3 train.lora_rank=2 {SEEN} from=first train.ema_snapshots=2 out=no1", 2),
    (f"waves task=train {SMALL} train.steps=3 train.lora_rank=2 out=no2", 2),
    (f"waves task=train {SMALL} net.blocks=2 {SEEN} train.steps=1 from=first out=no3", 2),
    ("waves task=train net.name=dit net.width=16 net.heads=2 net.depth=1 train.steps=2 device=cpu out=dit", 0),
    ("waves task=sample from=wide kind=b n=3 sample.steps=4 sample.guidance=2 device=cpu out=drawn", 0),
    ("waves task=sample from=wide kind=b n=3 sample.batch=3 sample.steps=4 sample.guidance=2 device=cpu out=again", 0),
    ("waves task=sample from=tuned/checkpoints/last.safetensors sample.steps=2 device=cpu out=unmerged", 0),
    ("waves task=sample from=tuned sample.steps=2 device=cpu out=merged", 0),
    (f"waves task=train {SMALL} {SEEN} train.steps=1 from=tuned/checkpoints/last.safetensors out=further", 0),
    ("waves task=sample from=dit kind=c device=cpu out=no4", 2),
    (f"waves task=sample from=wide kind=b n=2 {GUIDED} sample.sampler=adaptive sample.tolerance=0.01 out=adaptive", 0),
    (f"waves task=sample from=wide kind=b n=2 {GUIDED} sample.sampler=ddim sample.correct_steps=1 out=corrected", 0),
    ("waves task=sample from=wide sample.guidance_interval=2 device=cpu out=no5", 2),
    ("waves task=sample from=wide sample.correct_steps=1 device=cpu out=no6", 2),
    ("waves task=sample from=wide sample.eta=0 sample.sampler=ddpm device=cpu out=no7", 2),
    ("rows task=train train.steps=3 train.batch=4 device=cpu out=rows", 0),
    ("rows task=sample from=rows n=2 sample.steps=5 device=cpu out=table", 0),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All runs, one after another in one process: its folder."""
    site = tmp_path_factory.mktemp("site")
    strangers = Strangers(site)
    for name, plugin in (("waves", WAVES), ("rows", ROWS)):
        strangers.add(name, plugin=plugin, config=CONFIG, manifest=MANIFEST.format(name=name))
    code = f"""if True:
        import torch
        from diffx.cli import main
        torch.set_num_threads(1)
        for words, code in {RUNS!r}:
            found = main(["run", *f"plugin={{words}}".split()])
            assert found == code, (words, found)
        from diffx import Pipeline
        from stranger_rows.config import Config
        cfg, usual = Pipeline.load("rows").config, Config()
        for name in ("where", "there", "files", "sizes", "pair", "way", "limit"):
            one, two = getattr(cfg, name), getattr(usual, name)
            assert one == two and type(one) is type(two), (name, one, two)
    """
    done = strangers.python("-c", code)
    assert done.returncode == 0, done.stderr[-3000:]
    (site / "stderr.txt").write_text(done.stderr)
    return site


def weights(folder: Path, run: str, name: str = "weights") -> dict[str, torch.Tensor]:
    return load(folder / run / "checkpoints" / f"{name}.safetensors")[0]


def test_what_cannot_be_done_is_said_in_one_line(folder) -> None:
    errors = [line for line in (folder / "stderr.txt").read_text().splitlines() if line.startswith("diffx: error")]
    assert [line.removeprefix("diffx: error: ").split(":")[0] for line in errors] == [
        "train.lora_rank and train.ema_snapshots do not go together; choose train.ema_std instead",
        "train.lora_rank adapts weights that are there",
        "from=first",
        "kind",
        "sample.guidance_interval",
        "unipc_2(bh2) remembers what a correction makes stale; correct ddim, ddpm or euler",
        "ddpm has no eta, and so not one of 0",
    ]
    assert "net.blocks=1; give the same options" in errors[2] and "'c' is none of a, b" in errors[3]


def test_another_average_of_a_run_is_weights_like_any(folder) -> None:
    """Of the second kept width, at the last snapshot, it is that snapshot."""
    tensors, meta = load(folder / "wide/checkpoints/weights.safetensors")
    snapshot = under(load(folder / "first/checkpoints/snapshots/000000004.safetensors")[0], "profile1")
    assert meta["kind"] == "weights" and meta["step"] == 4 and meta["config"]["train.ema_std"] == WIDTHS[1] == 0.1
    assert tensors.keys() == weights(folder, "first").keys()
    for name, value in snapshot.items():
        torch.testing.assert_close(tensors[f"model.{name}"].float(), value.float(), rtol=2e-3, atol=1e-4)
    assert any(not torch.equal(v, weights(folder, "first")[k]) for k, v in tensors.items())


def test_adapted_weights_need_no_adapters_and_differ_by_their_rank(folder) -> None:
    before, after = weights(folder, "first"), weights(folder, "tuned")
    assert before.keys() == after.keys()
    changed = 0
    for name, old in before.items():
        difference = after[name].float() - old.float()
        if not difference.any():
            continue
        changed += 1
        assert name.endswith(".weight") and old.ndim > 1, name
        spectrum = torch.linalg.svdvals(difference.flatten(1))
        assert float(spectrum[2:].sum()) <= 0.1 * float(spectrum[0]), name  # rounding to fp16 fills the rest
    assert changed > 10
    merged, unmerged = (np.load(folder / run / "samples/sample-0000.npy") for run in ("merged", "unmerged"))
    np.testing.assert_allclose(unmerged, merged, atol=0.02)  # a checkpoint samples as the weights made of it


def test_samples_do_not_depend_on_their_batch(folder) -> None:
    for k in range(3):
        one, two = (np.load(folder / run / f"samples/sample-000{k}.npy") for run in ("drawn", "again"))
        assert one.shape == (2, 11) and one.std() > 0.1
        np.testing.assert_allclose(one, two, atol=2e-2)
    log = (folder / "drawn/log.txt").read_text()
    assert "of the weights, whatever config.yaml says:" in log and "net.channels=[8, 8]" in log


def test_adaptive_steps_corrections_and_guidance_are_options(folder) -> None:
    samples = [
        np.load(folder / run / f"samples/sample-000{k}.npy") for run in ("adaptive", "corrected") for k in (0, 1)
    ]
    assert all(one.shape == (2, 11) and np.isfinite(one).all() and one.std() > 0.1 for one in samples)


def test_mixed_states_are_written_leaf_by_leaf(folder) -> None:
    meta = load(folder / "rows/checkpoints/weights.safetensors")[1]
    assert meta["spec"] == {"shape": {"size": [2], "kind": [2]}, "fields": []}
    for k in range(2):
        row = np.load(folder / f"table/samples/sample-000{k}.npz")
        assert sorted(row) == ["kind", "size"] and row["kind"].dtype == np.int64 and row["size"].dtype == np.float32
        assert 0 <= row["kind"][0] < 3 and 0 <= row["kind"][1] < 2
    metrics = json.loads((folder / "table/metrics.json").read_text())
    assert set(metrics) == {"size_mean", "size_std", "kind_mean", "kind_std"}
    assert json.loads((folder / "table/status.json").read_text())["flags"] == []
