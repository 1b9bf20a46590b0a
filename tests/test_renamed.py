"""Files written before a module was renamed load to the same network."""

from __future__ import annotations

import re

import pytest
import torch

from diffx.errors import DataError
from diffx.io import checkpoint
from diffx.nets import AutoencoderKL, DiT, UNet
from diffx.noise import Noise
from diffx.predict import Denoiser
from diffx.process import Gaussian
from diffx.schedule import EDM
from diffx.train import Monitor, fit

FORMER = {
    "unet": [(r"^conv_in", "enter"), (r"^norm_out", "leave.0"), (r"^conv_out", "leave.2")],
    "dit": [(r"^conv_in", "enter"), (r"^conv_out", "leave"), (r"^modulation_out", "last")],
    "autoencoder": [(r"\.conv_in", ".0"), (r"^encoder\.conv_out", "encoder.9"), (r"^decoder\.conv_out", "decoder.9")],
}
NETS = {
    "unet": lambda: UNet(2, 1, channels=(8, 16), blocks=1, attention=()),
    "dit": lambda: DiT(2, 1, width=16, depth=1, heads=2),
    "autoencoder": lambda: AutoencoderKL(2, 1, channels=(8, 16), blocks=2),  # conv, 2 blocks, factor, 2, norm, SiLU
}


def former(name: str, kind: str) -> str:
    for now, before in FORMER[kind]:
        name = re.sub(now, before, name)
    return name


@pytest.mark.parametrize("kind", list(NETS))
@pytest.mark.parametrize("prefix", ["", "denoiser.net."])
def test_former_names_load(kind, prefix) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        source, target = NETS[kind](), NETS[kind]()
    last = str(len(source.encoder) - 1) if kind == "autoencoder" else ""
    old = {former(name, kind).replace("coder.9.", f"coder.{last}."): v for name, v in source.state_dict().items()}
    assert len(old) == len(source.state_dict()) and old.keys() != source.state_dict().keys()
    holder = target
    if prefix:
        holder = torch.nn.Module()
        holder.denoiser = torch.nn.Module()
        holder.denoiser.net = target
    checkpoint.load_into(holder, {prefix + name: value for name, value in old.items()}, "old")
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


def test_a_name_that_the_module_has_is_left_alone() -> None:
    """A stranger's network may call its own layers enter and last."""
    net = torch.nn.Module()
    net.enter, net.last = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    state = {name: torch.full_like(value, 3.0) for name, value in net.state_dict().items()}
    checkpoint.load_into(net, state, "own")
    assert all(bool((value == 3).all()) for value in net.state_dict().values())
    with pytest.raises(DataError, match=r"it lacks enter\.bias"):
        checkpoint.load_into(net, {"last.weight": state["last.weight"], "last.bias": state["last.bias"]}, "less")


def test_a_training_of_an_earlier_release_is_resumed_to_the_same_weights(tmp_path) -> None:
    """Weights, average and moments of a checkpoint under former names; to the bit."""
    data = [{"x": x} for x in Noise([1])["data"].normal(8, 1, 8)[0]]
    process = Gaussian(EDM(), 1.0)

    def model() -> Denoiser:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return Denoiser(UNet(1, 1, channels=(8,), blocks=1, attention=()), "edm", process.schedule)

    class Stop(Monitor):
        def record(self, step, **values):
            raise KeyboardInterrupt

    options = {"steps": 4, "batch": 4, "device": "cpu", "precision": "fp32", "lr": 1e-2, "warmup": 0}
    whole = fit(model(), process, data, folder=tmp_path / "whole", monitor=Monitor(), **options)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), process, data, folder=tmp_path, monitor=Stop(), log_every=3, checkpoint_every=2, **options)
    last = tmp_path / "last.safetensors"
    tensors, meta = checkpoint.load(last)
    old = {re.sub(r"conv_in", "enter", re.sub("norm_out", "leave.0", re.sub("conv_out", "leave.2", name))): value
           for name, value in tensors.items()}  # fmt: skip
    assert sum("enter" in name for name in old) == 2 * 5  # weight and bias: model, average, two moments and their step
    checkpoint.save(last, old, {key: value for key, value in meta.items() if key != "sha256"})
    resumed = fit(model(), process, data, folder=tmp_path, monitor=Monitor(), resume=True, **options)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
