"""Training as a function of (seed, step): stopping, killing, cutting into parts and spreading out change nothing."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_training as toy
from torch import nn

from diffx.config import TrainConfig
from diffx.errors import DataError, DiffxError, UsageError
from diffx.io import checkpoint
from diffx.nets import add_lora
from diffx.nets.precision import autocast_dtype
from diffx.noise import Noise
from diffx.plan import make_plan
from diffx.sampling import sample
from diffx.schedule import EDM
from diffx.train import PowerEMA
from diffx.train.ema import gamma_of
from diffx.train.muon import Muon, orthogonalised
from diffx.train.order import Batches, item, permutation
from diffx.train.signals import StopAtBoundary
from diffx.train.trainer import learning_rate


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / f"{name}.safetensors")[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def start(mode: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(toy.__file__)), mode, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def answer(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


# ----------------------------------------------------------------------------------------------- stopping and resuming


def test_killed_and_resumed_training_ends_with_the_same_bits(tmp_path) -> None:
    """SIGTERM and SIGKILL at random moments, several each, on a run of 90 steps with checkpoints every 7."""
    result = answer(start("kill", tmp_path))
    assert result["stops"] >= 2 and result["kills"] >= 2
    assert result["whole"] == result["term"] == result["kill"]


def test_stopping_at_every_step_changes_nothing(tmp_path) -> None:
    """The state between any two steps is complete; average, moments and weights, to the bit."""
    options = {"steps": 6, "cond_dropout": 0.3, "accumulate": 2, "workers": 0}
    toy.train(tmp_path / "whole", **options)

    def stop(step: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    for k in range(6):
        with pytest.raises(KeyboardInterrupt):
            toy.train(tmp_path / "parts", monitor=toy.Quiet(stop), resume=k > 0, **options)
        assert checkpoint.read_meta(tmp_path / "parts" / "last.safetensors")["step"] == k + 1
        assert not (tmp_path / "parts" / "weights.safetensors").exists()
    _, monitor = toy.train(tmp_path / "parts", resume=True, **options)
    assert monitor.logged == ["resumed at step 6 of 6"] and not monitor.lines
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "parts"))
    assert same(tensors(tmp_path / "whole", "weights"), tensors(tmp_path / "parts", "weights"))


@pytest.mark.parametrize("adapters", [False, True])
def test_stopping_changes_nothing_with_everything_on(tmp_path, adapters) -> None:
    """Mixed states, every kind of condition, a map through noise, learned weights, snapshots, adapters."""
    options = {"steps": 6, "cond_dropout": 0.3, "weight_decay": 0.1, "uncertainty": True, "ema_snapshots": 2}

    def run(folder: Path, **more) -> None:
        model, process = toy.make_mixed()
        if adapters:
            add_lora(model, 2)
        toy.train(tmp_path / folder, model=model, process=process, data=toy.Rich(), **options, **more)

    run("whole")
    for k in (1, 4):
        stop = toy.Quiet(lambda step, k=k: os.kill(os.getpid(), signal.SIGTERM) if step == k else None)
        with pytest.raises(KeyboardInterrupt):
            run("parts", monitor=stop, resume=k > 1)
        assert checkpoint.read_meta(tmp_path / "parts" / "last.safetensors")["step"] == k
    run("parts", resume=True, workers=1)
    for file in ("last", "weights", *(f"snapshots/{k:09d}" for k in (2, 4, 6))):
        assert same(tensors(tmp_path / "whole", file), tensors(tmp_path / "parts", file)), file
    last, shipped = tensors(tmp_path / "whole"), tensors(tmp_path / "whole", "weights")
    assert last["uncertainty.weight"].abs().min() > 0 and "optimiser.uncertainty.weight.exp_avg" in last
    assert not any(name.startswith("uncertainty") for name in shipped)
    start = toy.make_mixed()[0]
    adapted = "parametrizations.weight.original"
    found = {name: last.get(f"model.{name}") for name, _ in start.named_parameters()}
    if adapters:
        found = {n: last[f"model.{n.replace('weight', adapted)}"] if v is None else v for n, v in found.items()}
    for name, value in start.named_parameters():
        assert torch.equal(found[name], value) == adapters, name


def test_snapshots_cannot_begin_halfway(tmp_path) -> None:
    toy.train(tmp_path, steps=2)
    with pytest.raises(DataError, match="kept from the start"):
        toy.train(tmp_path, steps=4, ema_snapshots=2, resume=True)


def test_data_loading_processes_and_validation_change_nothing(tmp_path) -> None:
    toy.train(tmp_path / "a", steps=6)
    _, monitor = toy.train(tmp_path / "b", steps=6, workers=1, validation=toy.Points(10, seed=1), val_every=2)
    assert same(tensors(tmp_path / "a"), tensors(tmp_path / "b"))
    assert len(monitor.curve("val_loss")) == 3
    toy.train(tmp_path / "c", steps=6, seed=6)
    assert not same(tensors(tmp_path / "a"), tensors(tmp_path / "c"))


def test_no_global_generator_is_read_or_moved(tmp_path) -> None:
    toy.train(tmp_path / "a", steps=3, validation=toy.Points(4), val_every=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        state = torch.get_rng_state()
        toy.train(tmp_path / "b", steps=3, validation=toy.Points(4), val_every=1)
        assert torch.equal(torch.get_rng_state(), state)
    assert same(tensors(tmp_path / "a"), tensors(tmp_path / "b"))


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopAtBoundary() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):  # a second Ctrl-C does not wait
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_what_cannot_be_resumed_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no such file"):
        toy.train(tmp_path, steps=2, resume=True)
    toy.train(tmp_path, steps=2)
    (tmp_path / "last.safetensors").replace(tmp_path / "kept")
    (tmp_path / "weights.safetensors").replace(tmp_path / "last.safetensors")
    with pytest.raises(DataError, match="resumes from a checkpoint"):
        toy.train(tmp_path, steps=2, resume=True)
    (tmp_path / "kept").replace(tmp_path / "last.safetensors")
    with pytest.raises(DataError, match="does not fit this network"):
        toy.train(tmp_path, steps=2, resume=True, model=toy.make(width=16)[0])
    with pytest.raises(DataError, match="nothing to train on"):
        toy.train(tmp_path, data=[])
    with pytest.raises(UsageError, match="fp16 needs CUDA"):
        toy.train(tmp_path, steps=2, precision="fp16")


# -------------------------------------------------------------------------------------------------- cutting the batch


def test_two_times_four_is_eight(tmp_path) -> None:
    """Accumulation: the same losses and gradients to float tolerance, at equal global batch."""
    one = toy.train(tmp_path / "a", batch=8, steps=15)[1]
    for batch, accumulate in ((4, 2), (2, 4), (1, 8)):
        cut = toy.train(tmp_path / "b", batch=batch, accumulate=accumulate, steps=15)[1]
        np.testing.assert_allclose(cut.curve(), one.curve(), rtol=2e-5)
        np.testing.assert_allclose(cut.curve("grad_norm"), one.curve("grad_norm"), rtol=1e-4)
    assert len(set(one.curve())) == 15


def test_two_processes_are_one(tmp_path) -> None:
    """Two gloo processes under Accelerate, each with half of the batch: losses and gradient norms of one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    pair = [start("curve", tmp_path / "two", RANK=str(r), LOCAL_RANK=str(r), **common) for r in (0, 1)]
    two, also_two = (answer(process) for process in pair)
    model, process = toy.make_mixed()
    one = toy.train(tmp_path / "one", model=model, process=process, data=toy.Rich(), batch=8, **toy.SPREAD)[1]
    assert two == also_two
    np.testing.assert_allclose(two["loss"], one.curve(), rtol=5e-5)
    np.testing.assert_allclose(two["grad_norm"], one.curve("grad_norm"), rtol=2e-4)
    for file in ("weights", "snapshots/000000006"):
        for name, tensor in tensors(tmp_path / "one", file).items():
            torch.testing.assert_close(tensors(tmp_path / "two", file)[name], tensor, rtol=0, atol=2e-3)
    learned = [tensors(tmp_path / run)["uncertainty.weight"] for run in ("one", "two")]
    assert learned[0].abs().max() > 5e-3
    torch.testing.assert_close(learned[1], learned[0], rtol=0, atol=1e-4)


def test_an_epoch_holds_every_item_once() -> None:
    for epoch in range(3):
        assert sorted(item(4, epoch * 10 + k, 10) for k in range(10)) == list(range(10))
    assert not torch.equal(permutation(4, 0, 100), permutation(4, 1, 100))
    assert not torch.equal(permutation(4, 0, 100), permutation(5, 0, 100))
    first = np.mean([permutation(seed, 0, 10)[0].item() for seed in range(2000)])  # any item may come first
    assert first == pytest.approx(4.5, abs=5 * math.sqrt(99 / 12 / 2000))


def test_batches_start_anywhere_and_split_over_processes() -> None:
    whole = iter(Batches(3, 11, 0, micro=12))
    steps = [next(whole) for _ in range(6)]
    later = iter(Batches(3, 11, 4, micro=12))
    assert [next(later) for _ in range(2)] == steps[4:]
    ranks = [iter(Batches(3, 11, 0, micro=2, accumulate=3, rank=r, world=2)) for r in (0, 1)]
    for step in steps:
        assert [k for _ in range(3) for rank in ranks for k in next(rank)] == step


# ------------------------------------------------------------------------------------------------- average, rate


@pytest.mark.parametrize("std", [0.01, 0.05, 0.1, 0.25])
def test_the_average_is_the_power_profile(std) -> None:
    """Weights (k^(g+1) - (k-1)^(g+1)) / n^(g+1), the integral of t^g over step k; relative width std."""
    gamma, n = gamma_of(std), 400
    assert math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) == pytest.approx(std, rel=1e-9)
    values = Noise([1]).normal(n, 3)[0].double()
    parameter = nn.Parameter(torch.zeros(3))
    ema = PowerEMA([parameter], std)
    for step in range(1, n + 1):
        parameter.data = values[step - 1].float()
        ema.update(step)
        if step in (1, 2, 17, n):
            k = torch.arange(1, step + 1, dtype=torch.float64)
            weight = (k / step) ** (gamma + 1) - ((k - 1) / step) ** (gamma + 1)
            assert float(weight.sum()) == pytest.approx(1)
            torch.testing.assert_close(ema.average[0].double(), weight @ values[:step], rtol=1e-4, atol=1e-5)


def test_swapping_twice_restores() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    ema = PowerEMA([parameter])
    parameter.data = torch.tensor([5.0, 6.0])
    ema.swap()
    assert parameter.tolist() == [1, 2] and ema.average[0].tolist() == [5, 6]
    ema.swap()
    assert parameter.tolist() == [5, 6] and ema.average[0].tolist() == [1, 2]
    for std in (0.0, 0.29, -1.0):
        with pytest.raises(ValueError, match=r"\(0, 0.28\)"):
            PowerEMA([parameter], std)


def test_training_saves_the_average_of_its_own_path(tmp_path) -> None:
    path: list[dict[str, torch.Tensor]] = []
    model, _ = toy.make()
    monitor = toy.Quiet(lambda step: path.append({k: v.clone() for k, v in model.state_dict().items()}))
    toy.train(tmp_path, monitor=monitor, model=model, steps=12, ema_std=0.15)
    gamma, k = gamma_of(0.15), np.arange(1, 13)
    weight = (k / 12) ** (gamma + 1) - ((k - 1) / 12) ** (gamma + 1)
    saved, exported = tensors(tmp_path), tensors(tmp_path, "weights")
    for name, last in model.state_dict().items():
        expected = sum(w * p[name].double() for w, p in zip(weight, path, strict=True)).float()
        torch.testing.assert_close(saved[f"ema.{name}"], expected, rtol=1e-4, atol=1e-6)
        assert torch.equal(saved[f"model.{name}"], path[-1][name])
        assert torch.equal(exported[f"model.{name}"], saved[f"ema.{name}"].half())
        assert torch.equal(last, saved[f"ema.{name}"])  # the model itself ends with its average
    assert (path[0]["denoiser.net.layers.0.weight"] - path[-1]["denoiser.net.layers.0.weight"]).abs().max() > 1e-3


def test_learning_rate() -> None:
    config = TrainConfig(steps=1000, warmup=100, lr=2.0)
    assert [learning_rate(k, config) for k in (0, 49, 99)] == pytest.approx([0.02, 1.0, 2.0])
    assert learning_rate(550, config) == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert learning_rate(1000, config) == pytest.approx(0.02)
    rates = [learning_rate(k, config) for k in range(100, 1001)]
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert learning_rate(0, TrainConfig(steps=1, warmup=0, lr=1.0)) == 1


def test_a_rate_that_knows_no_end() -> None:
    """Constant, then 1 / sqrt(step): the same rate at a step however many are planned."""
    short, long = (TrainConfig(steps=n, warmup=10, lr=2.0, decay="inverse_sqrt", constant=400) for n in (500, 10_000))
    assert [learning_rate(k, long) for k in (0, 9, 399, 400, 1600, 6400)] == pytest.approx([0.2, 2, 2, 2, 1, 0.5])
    assert all(learning_rate(k, short) == learning_rate(k, long) for k in range(500))


def test_muon_makes_the_momentum_orthogonal() -> None:
    """Of a gradient U S V' the first step is along U V', of root mean square 0.4 lr, whatever its singular values."""
    noise = Noise([3])
    u, v = (torch.linalg.qr(noise[name].normal(n, 20)[0])[0] for name, n in (("u", 24), ("v", 54)))
    gradient = u @ torch.diag(torch.linspace(1, 8, 20)) @ v.T
    weight, gain = torch.nn.Parameter(torch.ones(24, 6, 3, 3)), torch.nn.Parameter(torch.ones(24))
    weight.grad, gain.grad = gradient.view(24, 6, 3, 3).clone(), torch.linspace(-1, 2, 24)
    Muon([weight, gain], lr=0.01, weight_decay=0.5).step()
    moved = (torch.full_like(weight, 1 - 0.01 * 0.5) - weight).detach().flatten(1)
    along = (moved * (u @ v.T)).sum() / (moved.norm() * (u @ v.T).norm())
    assert along > 0.96  # that of the gradient itself is 0.90
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.004 * (20 / 24) ** 0.5, rel=0.15)
    # a vector has no orthogonal form: AdamW's first step is lr times the sign
    torch.testing.assert_close(gain.detach(), 1 - 0.005 - 0.01 * gain.grad.sign(), rtol=1e-4, atol=1e-6)


def test_orthogonalised_singular_values_are_near_one() -> None:
    matrix = Noise([5]).normal(40, 30)[0] @ torch.diag(torch.logspace(0, -1.5, 30))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.equal(orthogonalised(matrix.T), orthogonalised(matrix).T)


def test_muon_resumes_to_the_bit(tmp_path) -> None:
    options = {"steps": 6, "optimizer": "muon", "decay": "inverse_sqrt", "weight_decay": 0.1}
    toy.train(tmp_path / "whole", **options)
    toy.train(tmp_path / "parts", **{**options, "steps": 3})
    toy.train(tmp_path / "parts", resume=True, **options)
    assert same(tensors(tmp_path / "whole"), tensors(tmp_path / "parts"))
    toy.train(tmp_path / "adamw", **{**options, "optimizer": "adamw"})
    assert not same(tensors(tmp_path / "whole", "weights"), tensors(tmp_path / "adamw", "weights"))


def test_clipping_and_weight_decay_do_what_adamw_says(tmp_path) -> None:
    """AdamW's first step is lr g / (|g| + eps), whatever the clipping; decay takes lr times its share off."""
    before = toy.make()[0].state_dict()
    toy.train(tmp_path / "a", steps=1, warmup=0, lr=1e-3, clip=0.01)
    toy.train(tmp_path / "b", steps=1, warmup=0, lr=1e-3, clip=0.0, weight_decay=0.5)
    for name, old in before.items():
        a, b = tensors(tmp_path / "a")[f"model.{name}"], tensors(tmp_path / "b")[f"model.{name}"]
        moment_a, moment_b = (tensors(tmp_path / f)[f"optimiser.{name}.exp_avg"] for f in "ab")
        moved = moment_a.abs() > 1e-6
        torch.testing.assert_close((old - a)[moved], 1e-3 * moment_a[moved].sign(), rtol=0.05, atol=1e-7)
        torch.testing.assert_close((a - b)[moved], 1e-3 * 0.5 * old[moved], rtol=0, atol=3e-5)
        assert moment_a.norm() <= 0.1 * 0.01 + 1e-8 and moment_b.norm() >= moment_a.norm()


def test_bf16_learns_as_fp32_does(tmp_path) -> None:
    full, low = (toy.train(tmp_path / p, steps=60, batch=32, lr=1e-2, precision=p)[1].curve() for p in ("fp32", "bf16"))
    assert full != low
    assert np.mean(full[-20:]) < 0.8 * np.mean(full[:5])
    np.testing.assert_allclose(low[:10], full[:10], rtol=0.05)
    assert np.mean(low[-20:]) == pytest.approx(np.mean(full[-20:]), rel=0.1)
    assert all(t.dtype == torch.float32 for t in tensors(tmp_path / "bf16").values())  # masters and moments


def test_precision_names() -> None:
    cpu = torch.device("cpu")
    assert autocast_dtype("fp32", cpu) is None and autocast_dtype("bf16", cpu) is torch.bfloat16
    assert autocast_dtype("auto", cpu) in (None, torch.bfloat16)


# ------------------------------------------------------------------------------------------------------ failing loudly


def test_nan_in_the_data_stops_with_the_step_and_keeps_the_last_good_checkpoint(tmp_path) -> None:
    data, step = toy.Points(), 4
    data.z[item(5, 8 * step - 3, 64)] = math.nan
    for log_every in (1, 3, 50):
        with pytest.raises(DiffxError, match=rf"the loss became nan at step {step};.*{tmp_path}.*last.safetensors"):
            toy.train(tmp_path, data=data, checkpoint_every=2, log_every=log_every, steps=60)
        saved, meta = checkpoint.load(tmp_path / "last.safetensors")
        assert meta["step"] == (step - 1) // 2 * 2
        assert all(t.isfinite().all() for t in saved.values())
    toy.train(tmp_path / "clean", steps=60, checkpoint_every=60)
    toy.train(tmp_path, steps=60, resume=True)  # and from there training goes on, to the same end
    assert same(tensors(tmp_path), tensors(tmp_path / "clean"))


class Poison(torch.autograd.Function):
    """The identity, with a gradient of NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def test_a_gradient_of_nan_under_a_finite_loss_is_caught_before_it_is_saved(tmp_path) -> None:
    model, _ = toy.make()
    calls = []

    def poison(module, args, out):
        calls.append(1)
        return Poison.apply(out) if len(calls) == 5 else out

    model.denoiser.net.register_forward_hook(poison)
    with pytest.raises(DiffxError, match="the gradient norm became nan at step 5;"):
        toy.train(tmp_path, model=model, checkpoint_every=1, log_every=50)
    saved, meta = checkpoint.load(tmp_path / "last.safetensors")
    assert meta["step"] == 4 and all(t.isfinite().all() for t in saved.values())


def test_without_a_checkpoint_the_error_says_so(tmp_path) -> None:
    data = toy.Points()
    data.z[:] = math.inf
    with pytest.raises(DiffxError, match="at step 1; last good checkpoint: none yet"):
        toy.train(tmp_path, data=data)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------------- learning


def test_a_trained_network_samples_what_it_is_told(tmp_path) -> None:
    """Means and deviations for both labels, and the mixture of both for none."""
    model, _ = toy.train(tmp_path, steps=500, batch=48, lr=1e-2, warmup=20, cond_dropout=0.15, data=toy.Points(4096))
    checkpoint.load_into(model, checkpoint.under(tensors(tmp_path, "weights"), "model"), "weights")
    model.eval()
    _, process = toy.make()
    plan = make_plan(EDM(), "dpmpp_2m", 24)
    n, drawn = 2000, {}
    for label in ("low", "high", None):
        condition = model.conditioning(model.conditioning.collate([{"label": label}] * n))
        drawn[label] = sample(model.denoiser, process, plan, (1,), range(n), condition).flatten()
    for label, mean in toy.MEANS.items():
        assert float(drawn[label].mean()) == pytest.approx(mean, abs=0.08)
        assert float(drawn[label].std()) == pytest.approx(toy.STD, rel=0.25)
    # those without a label: the items that never had one, all "high", and what dropout made of the others
    dropped = 0.15 * 7 / 8
    low_share = 0.15 / 2 / (dropped + 1 / 8)
    assert float((drawn[None] < 0.25).float().mean()) == pytest.approx(low_share, abs=0.06)
    # two modes: far fewer between them than one mode of the same mean and deviation would have
    one = torch.distributions.Normal(drawn[None].mean(), drawn[None].std())
    between = float(((drawn[None] > -0.2) & (drawn[None] < 0.7)).float().mean())
    assert between < 0.75 * float(one.cdf(torch.tensor(0.7)) - one.cdf(torch.tensor(-0.2)))
