"""A problem small enough to train in seconds: one number, two labels. Also a program, for tests that need processes.

python toy_training.py kill FOLDER      stop and kill training at random moments; digests of what comes out
python toy_training.py curve FOLDER     losses of a run, as one of the processes Accelerate's environment describes
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffx.condition import Class, Conditioning, Spatial, Tokens
from diffx.config import TrainConfig
from diffx.io import checkpoint
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.predict import Affine, Denoiser, JointDenoiser
from diffx.predict import Tokens as TokenPreconditioner
from diffx.process import Gaussian, Product, min_snr_weight
from diffx.process.masked import Masked
from diffx.schedule import EDM, lognormal
from diffx.train import Monitor, fit

MEANS, STD = {"low": -1.0, "high": 1.5}, 0.3


class Points:
    """x ~ N(mean of its label, 0.3^2), one item in eight without its label."""

    def __init__(self, n: int = 64, seed: int = 0):
        self.z = Noise([seed])["points"].normal(n)[0]

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, index: int) -> dict[str, Any]:
        label = ("low", "high")[index % 2]
        x = (MEANS[label] + STD * self.z[index]).view(1)
        return {"x": x, "label": None if index % 8 == 7 else label}


class Mlp(nn.Module):
    def __init__(self, width: int = 32, vector: int = 8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 + vector, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor, level: Tensor, condition=None) -> Tensor:
        return self.layers(torch.cat([x, level[:, None], condition.vector], dim=1))


def make(width: int = 32) -> tuple[Model, Gaussian]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        process = Gaussian(EDM(), sigma_data=1.3, noise_distribution=lognormal(-0.5, 1.3))
        denoiser = Denoiser(Mlp(width), "edm", process.schedule, process.sigma_data)
        return Model(denoiser, Conditioning({"label": Class(list(MEANS), dim=8)})), process


class Rich(Points):
    """A number and a category, told by a label, up to two words and a map, any of which may be missing."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        words = self.z[index] * torch.ones(index % 3, 2)
        level = None if index % 5 == 4 else self.z[index].view(1, 1)
        return {"x": {"number": item["x"], "kind": torch.tensor([index % 2])}, "label": item["label"],
                "words": words, "level": level}  # fmt: skip


class RichNet(nn.Module):
    """Numbers, tokens, noise levels and conditions in; a number and the logits of a category out."""

    def __init__(self, told: int, kinds: int, width: int = 32):
        super().__init__()
        self.kinds = kinds
        self.layers = nn.Sequential(
            nn.Linear(1 + kinds + 1 + 2 + told, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, 1 + kinds),
        )  # fmt: skip

    def forward(self, x: dict[str, Tensor], level: dict[str, Tensor], condition=None) -> dict[str, Tensor]:
        parts = [x["number"], torch.nn.functional.one_hot(x["kind"][:, 0], self.kinds + 1).float()]
        parts += [level["number"][:, None], level["kind"][:, None]]
        if condition is not None and condition.tokens is not None:
            mean = condition.tokens.sum(1) / condition.tokens_mask.sum(1, keepdim=True)
            parts += [condition.vector, mean, condition.spatial.flatten(1)]
        raw = self.layers(torch.cat(parts, dim=1))
        return {"number": raw[:, :1], "kind": raw[:, None, 1:]}


def make_mixed(kinds: int = 2, told: bool = True, width: int = 32) -> tuple[Model, Product]:
    """A number and a category that share one clock; with ``told``, all kinds of conditions and a map through noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        levels = lognormal(-0.5, 1.3)
        number = Gaussian(
            EDM(), sigma_data=1.3, noise_distribution=levels, weight=None if told is False else min_snr_weight(1.3)
        )
        process = Product({"number": number, "kind": Masked(kinds)})
        conditioning = Conditioning(
            {"label": Class(list(MEANS), dim=8), "words": Tokens(2, 4), "level": Spatial(1, (1,), augment=0.5)}
            if told
            else {}
        )
        preconditioners = {
            "number": Affine("edm", number.schedule, 1.3),
            "kind": TokenPreconditioner(process.leaves["kind"]),
        }
        net = RichNet(8 + 4 + 3 if told else 0, kinds, width)
        return Model(JointDenoiser(net, preconditioners), conditioning), process


class Quiet(Monitor):
    """A monitor that keeps what it is told."""

    def __init__(self, on_record=None):
        self.lines: list[tuple[int, dict[str, float]]] = []
        self.logged: list[str] = []
        self.on_record = on_record

    def log(self, text: str) -> None:
        self.logged.append(text)

    def record(self, step: int, **values: float) -> None:
        self.lines.append((step, values))
        if self.on_record:
            self.on_record(step)

    def curve(self, name: str = "loss") -> list[float]:
        return [values[name] for _, values in self.lines if name in values]


def train(
    folder: Path, *, monitor: Quiet | None = None, resume: bool = False, model=None, process=None, data=None, **options
):
    """``fit`` on the toy; returns (model, monitor). Options beyond these are TrainConfig's."""
    seed, validation = options.pop("seed", 5), options.pop("validation", None)
    made, usual = make()
    model, process, monitor = model or made, process or usual, monitor or Quiet()
    config = TrainConfig(
        **{"steps": 20, "batch": 8, "lr": 3e-3, "warmup": 5, "precision": "fp32", "log_every": 1, "ema_std": 0.1}
        | options
    )
    fit(
        model,
        process,
        Points() if data is None else data,
        config,
        seed=seed,
        folder=folder,
        monitor=monitor,
        meta={"plugin": "toy"},
        validation=validation,
        device="cpu",
        resume=resume,
    )
    return model, monitor


def digests(folder: Path) -> dict[str, str]:
    """Of the final weights, and of everything a run is: weights, average, moments."""
    return {
        name: checkpoint.digest(checkpoint.load(folder / f"{name}.safetensors")[0], {}) for name in ("last", "weights")
    }


SPREAD = {"accumulate": 2, "steps": 12, "cond_dropout": 0.3, "uncertainty": True, "ema_snapshots": 6}
RUN = {"steps": 90, "checkpoint_every": 7, "accumulate": 2, "cond_dropout": 0.3}


def slowly(step: int) -> None:
    time.sleep(0.004)  # 0.36 s a run at the least, and the first two stops come within 0.24 s, however fast the machine


def moment(rng: random.Random, stops: int) -> float:
    """Seconds until the next stop: early at first, later so late that training gets ahead on any machine."""
    return rng.uniform(0.01, 0.12 if stops < 2 else 0.15 + 0.1 * stops)


def terminated(folder: Path, rng: random.Random) -> int:
    """Train to the end through SIGTERMs at random moments; how many there were."""
    stops = 0
    while True:
        timer = threading.Timer(moment(rng, stops), os.kill, (os.getpid(), signal.SIGTERM))

        def on_record(step: int, timer: threading.Timer = timer) -> None:
            if timer.ident is None:
                timer.start()
            slowly(step)

        try:
            train(folder, monitor=Quiet(on_record), resume=(folder / "last.safetensors").exists(), **RUN)
            return stops
        except KeyboardInterrupt:
            stops += 1
        finally:
            timer.cancel()


def killed(folder: Path, rng: random.Random) -> int:
    """The same with SIGKILL, which leaves no time to write anything."""
    kills = 0
    while True:
        child = os.fork()
        if child == 0:
            train(folder, monitor=Quiet(slowly), resume=(folder / "last.safetensors").exists(), **RUN)
            os._exit(0)
        time.sleep(moment(rng, kills))
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return kills
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1


def main(mode: str, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    if mode == "curve":
        world = int(os.environ["WORLD_SIZE"])
        model, process = make_mixed()
        monitor = train(folder, model=model, process=process, data=Rich(), batch=8 // world, **SPREAD)[1]
        return {"loss": monitor.curve(), "grad_norm": monitor.curve("grad_norm")}
    rng = random.Random(os.environ.get("TOY_SEED", "0"))
    train(folder / "whole", **RUN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # for the moments in which training does not listen
    stops, kills = terminated(folder / "term", rng), killed(folder / "kill", rng)
    return {"stops": stops, "kills": kills} | {n: digests(folder / n) for n in ("whole", "term", "kill")}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
