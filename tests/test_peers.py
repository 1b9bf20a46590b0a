"""The same numbers as the peers where they are right: their samplers, on any network, in float64.

Of the bugs found in their current releases, DDIM's and PNDM's transitions on the wrong level are shown here beside the
right ones. That ours does not have the others is shown where ours is tested: repeated times and times in fp16 in
``test_schedule``, a second use of a plan and a plan of one step in ``test_plan``, a Langevin step size averaged over
the batch in ``test_correct``, likelihood in ``test_likelihood``.
"""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch

from diffx.noise import Noise
from diffx.plan import (
    GRIDS,
    Plan,
    ddim,
    ddpm,
    dpm2,
    dpmpp,
    dpmpp_2s,
    euler,
    euler_ancestral,
    heun,
    lms,
    pndm,
    unipc,
)  # fmt: skip
from diffx.process import Gaussian
from diffx.schedule import EDM, Cosine, RectifiedFlow, Schedule
from oracles import execute

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

START = np.random.default_rng(0).standard_normal(40)
DRAWS = np.random.default_rng(1).standard_normal((40, 40))


def network(x: np.ndarray, ratio: float) -> np.ndarray:
    """x_0-hat of x at alpha = 1: any smooth function does, the formulas must agree whatever the network says."""
    return np.tanh(1.3 * x / np.hypot(1, ratio) + 0.4) * (1 + 0.3 * np.sin(np.log(ratio))) + 0.1 * np.cos(x)


def ours(plan: Plan, schedule: Schedule) -> np.ndarray:
    """From START times sigma at the plan's first time."""

    def denoise(x: np.ndarray, t: float) -> np.ndarray:
        return network(x / schedule.alpha(t), float(schedule.ratio(t)))

    return execute(plan, denoise, START * schedule.sigma(plan.rows[0].t), lambda number: DRAWS[number])


def same(got: torch.Tensor, expected: np.ndarray, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(got).ravel(), expected, rtol=rtol, atol=rtol)


class Tabulated(Schedule):
    """A peer's discrete schedule: time k + 1 is its step k, time 0 is clean."""

    t_max = 1000.0

    def __init__(self, bars: torch.Tensor):
        object.__setattr__(self, "bars", np.concatenate([[1.0], bars.double().numpy()]))

    def alpha(self, t):
        return np.sqrt(self.bars[np.asarray(t).astype(int)])

    def sigma(self, t):
        return np.sqrt(1 - self.bars[np.asarray(t).astype(int)])

    def rates(self, t):
        raise AssertionError("a table of steps has no rates, and no plan here may ask for them")

    def time(self, ratio):
        raise AssertionError("a table of steps has no times between them, and no plan here may ask for them")

    def times(self, steps) -> tuple[float, ...]:
        return (*(float(k) + 1 for k in steps), 0.0)


# ------------------------------------------------------------------------------------------------------- k-diffusion


@pytest.fixture(scope="module")
def k_diffusion():
    return pytest.importorskip("k_diffusion.sampling")


def test_karras_and_exponential_grids_of_k_diffusion(k_diffusion) -> None:
    for name in ("karras", "exponential"):
        theirs = getattr(k_diffusion, f"get_sigmas_{name}")(11, 0.002, 80.0)
        np.testing.assert_allclose(GRIDS[name](EDM(), 11), theirs.numpy(), rtol=2e-5)


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(
    ("name", "options", "solver"),
    [
        ("euler", {}, euler),
        ("euler", {}, ddim),
        ("euler_ancestral", {}, euler_ancestral),
        ("euler_ancestral", {"eta": 0.7}, partial(euler_ancestral, eta=0.7)),
        ("euler_ancestral", {}, ddpm),
        ("heun", {}, heun),
        ("dpm_2", {}, dpm2),
        ("dpm_2_ancestral", {"eta": 0.6}, partial(dpm2, eta=0.6)),
        ("lms", {}, lms),
        ("lms", {"order": 3}, partial(lms, order=3)),
        ("dpmpp_2s_ancestral", {"eta": 0.0}, dpmpp_2s),
        ("dpmpp_2s_ancestral", {"eta": 0.6}, partial(dpmpp_2s, eta=0.6)),
        ("dpmpp_2m", {}, dpmpp),
        ("dpmpp_2m_sde", {"eta": 0.6}, partial(dpmpp, eta=0.6)),
        ("dpmpp_2m_sde", {"eta": 1.0, "solver_type": "heun"}, partial(dpmpp, eta=1.0, rule="heun")),
        ("dpmpp_3m_sde", {"eta": 0.0}, partial(dpmpp, order=3)),
        ("dpmpp_3m_sde", {"eta": 0.8}, partial(dpmpp, order=3, eta=0.8)),
    ],
)
def test_samplers_of_k_diffusion(k_diffusion, name, options, solver, to_zero) -> None:
    times = GRIDS["karras"](EDM(), 9)
    if not to_zero:
        times = times[:-1]
    elif name == "lms":
        return  # theirs extrapolates to 0, ours hands on the prediction
    plan = solver(EDM(), times)
    ends = [k for k, row in enumerate(plan.rows) if not row.hold]  # our rows that end a step draw its noise
    draws = iter(DRAWS[ends])
    noise = {"noise_sampler": lambda a, b: torch.from_numpy(next(draws))[None]} if "eta" in options else {}
    if name == "euler_ancestral" and not options:
        noise = {"noise_sampler": lambda a, b: torch.from_numpy(next(draws))[None]}
    end = getattr(k_diffusion, f"sample_{name}")(
        lambda x, sigma: torch.from_numpy(network(x.numpy(), float(sigma[0]))),
        torch.from_numpy(START * times[0])[None],
        torch.tensor(times, dtype=torch.float64),
        disable=True,
        **options,
        **noise,
    )
    same(end, ours(plan, EDM()), rtol=1e-8)


# --------------------------------------------------------------------------------------------------------- diffusers


@pytest.fixture(scope="module")
def diffusers():
    return pytest.importorskip("diffusers")


def by_sigma(scheduler, n: int, variance_preserving: bool) -> tuple[np.ndarray, np.ndarray]:
    """Run a scheduler of diffusers that steps through ``sigmas``: those, and the state before its last step."""
    scheduler.set_timesteps(n)
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = scheduler.sigmas.numpy()
    x = torch.from_numpy(START * sigmas[0] / (np.hypot(1, sigmas[0]) if variance_preserving else 1))[None]
    for index, t in enumerate(scheduler.timesteps[:-1]):
        alpha = 1 / np.hypot(1, sigmas[index]) if variance_preserving else 1.0
        scheduler.is_scale_input_called = True
        x = scheduler.step(torch.from_numpy(network(x.numpy() / alpha, sigmas[index])), t, x).prev_sample
    return sigmas, x.numpy().ravel()


@pytest.mark.parametrize(
    ("name", "options", "solver"),
    [
        ("EulerDiscreteScheduler", {}, euler),
        ("LMSDiscreteScheduler", {}, lms),
        ("HeunDiscreteScheduler", {"use_karras_sigmas": True}, heun),
    ],
)
def test_schedulers_of_diffusers_in_sigma(diffusers, name, options, solver) -> None:
    scheduler = getattr(diffusers, name)(prediction_type="sample", **options)
    sigmas, end = by_sigma(scheduler, 9, variance_preserving=False)
    schedule = EDM(sigma_max=float(sigmas[0]))
    times = list(dict.fromkeys(float(s) for s in sigmas))[:-1]
    same(end, ours(solver(schedule, times), schedule), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "solver"),
    [
        ("DPMSolverMultistepScheduler", {"solver_order": 1}, ddim),
        ("DPMSolverMultistepScheduler", {"solver_order": 2}, dpmpp),
        ("DPMSolverMultistepScheduler", {"solver_order": 2, "solver_type": "heun"}, partial(dpmpp, rule="heun")),
        *(
            ("UniPCMultistepScheduler", {"solver_order": p, "solver_type": b}, partial(unipc, order=p, variant=b))
            for p in (1, 2, 3)
            for b in ("bh1", "bh2")
        ),
    ],
)
def test_schedulers_of_diffusers_in_log_snr(diffusers, name, options, solver) -> None:
    scheduler = getattr(diffusers, name)(prediction_type="sample", lower_order_final=False, **options)
    sigmas, end = by_sigma(scheduler, 20, variance_preserving=True)
    times = [float(Cosine().time(s)) for s in sigmas[:-1]]
    same(end, ours(solver(Cosine(), times), Cosine()), rtol=1e-6)


def tabled(scheduler, times: tuple[float, ...], predict: str, schedule: Tabulated, **step) -> np.ndarray:
    """Run a scheduler that looks its steps up in a table; predict: what it is told, sample or epsilon."""
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    x = torch.from_numpy(START * schedule.sigma(times[0]))[None, None]
    for k in scheduler.timesteps:
        alpha, sigma = float(schedule.alpha(k + 1)), float(schedule.sigma(k + 1))
        told = network(x.numpy() / alpha, sigma / alpha)
        if predict == "epsilon":
            told = (x.numpy() - alpha * told) / sigma
        result = scheduler.step(torch.from_numpy(told), int(k), x, **step)
        before, x = x, result[0] if isinstance(result, tuple) else result.prev_sample
    return np.stack([before.numpy().ravel(), x.numpy().ravel()])


@pytest.mark.parametrize("eta", [0.0, 0.7])
def test_ddim_of_diffusers(diffusers, eta) -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, prediction_type="sample", timestep_spacing="leading")
    scheduler.set_timesteps(10)
    schedule = Tabulated(scheduler.alphas_cumprod)
    times = schedule.times(scheduler.timesteps)
    draws = iter(DRAWS)
    step = {"eta": eta}
    if eta:
        original = scheduler.step
        scheduler.step = lambda *a, **k: original(*a, **k, variance_noise=torch.from_numpy(next(draws))[None, None])
    _, end = tabled(scheduler, times, "sample", schedule, **step)
    same(end, ours(ddim(schedule, times, eta), schedule))


@pytest.mark.parametrize("skip_prk", [False, True])
def test_pndm_of_diffusers(diffusers, skip_prk) -> None:
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=skip_prk, timestep_spacing="leading")
    scheduler.set_timesteps(10)
    schedule = Tabulated(scheduler.alphas_cumprod)
    times = schedule.times(range(900, -1, -100))[:-1]
    before, _ = tabled(scheduler, times, "epsilon", schedule)
    same(before, ours(pndm(schedule, times, skip_prk), schedule))


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_ddim_whose_steps_end_where_the_next_begins(diffusers, spacing) -> None:
    """Theirs looks 1000 // n steps back, whatever its grid: for n = 13 that is not where it goes on from."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False, prediction_type="sample", timestep_spacing=spacing)
    scheduler.set_timesteps(13)
    schedule = Tabulated(scheduler.alphas_cumprod)
    times = schedule.times(scheduler.timesteps)
    if spacing == "trailing":
        np.testing.assert_allclose(np.array(GRIDS["trailing"](Cosine(), 13)) * 1000, times)
    shows_the_right_ddim(tabled(scheduler, times, "sample", schedule)[1], times, schedule)


def shows_the_right_ddim(theirs: np.ndarray, times: tuple[float, ...], schedule: Schedule) -> None:
    x = START * schedule.sigma(times[0])
    for t, s in itertools.pairwise(times):  # Song et al. 2021, eq. 12
        clean = network(x / schedule.alpha(t), float(schedule.ratio(t)))
        eps = (x - schedule.alpha(t) * clean) / schedule.sigma(t)
        x = schedule.alpha(s) * clean + schedule.sigma(s) * eps
    got = ours(ddim(schedule, times), schedule)
    same(got, x)
    assert np.abs(got - theirs).max() > 0.01  # if this fails, they have mended it


# ------------------------------------------------------------------------------------------------------------- MONAI


@pytest.fixture(scope="module")
def monai():
    return pytest.importorskip("monai.networks.schedulers")


def test_ddpm_of_monai(monai, monkeypatch) -> None:
    scheduler = monai.DDPMScheduler(num_train_timesteps=30, clip_sample=False, prediction_type="sample")
    for name in ("betas", "alphas", "alphas_cumprod", "one"):
        setattr(scheduler, name, getattr(scheduler, name).double())
    scheduler.alphas = 1 - scheduler.betas
    scheduler.alphas_cumprod = torch.cumprod(scheduler.alphas, 0)
    schedule = Tabulated(scheduler.alphas_cumprod)
    times = schedule.times(scheduler.timesteps)
    draws = iter(DRAWS)
    monkeypatch.setattr(torch, "randn", lambda *a, **k: torch.from_numpy(next(draws))[None, None])
    _, end = tabled(scheduler, times, "sample", schedule)
    same(end, ours(ddpm(schedule, times), schedule))


def test_rectified_flow_of_monai(monai) -> None:
    scheduler = monai.RFlowScheduler()
    scheduler.set_timesteps(10)
    steps = [float(k) for k in scheduler.timesteps]

    def denoise(x: np.ndarray, t: float) -> np.ndarray:
        return np.tanh(1.3 * x + 2 * t)

    x = torch.from_numpy(START)
    for k, following in zip(steps, [*steps[1:], 0.0], strict=True):
        t = k / 1000
        velocity = (x.numpy() - denoise(x.numpy(), t)) / t  # eps - x_0, which they have with the other sign
        x, _ = scheduler.step(torch.from_numpy(-velocity), k, x, following)
    plan = euler(RectifiedFlow(), GRIDS["uniform"](RectifiedFlow(), 10))
    np.testing.assert_allclose([row.t * 1000 for row in plan.rows], steps, rtol=1e-12)
    same(x, execute(plan, denoise, START))


def test_ddim_of_monai_lands_on_the_wrong_levels(monai) -> None:
    scheduler = monai.DDIMScheduler(clip_sample=False, prediction_type="sample")
    scheduler.set_timesteps(10)
    schedule = Tabulated(scheduler.alphas_cumprod)
    times = schedule.times(scheduler.timesteps)
    shows_the_right_ddim(tabled(scheduler, times, "sample", schedule)[1], times, schedule)


def test_pndm_of_monai_lags_a_step_behind(monai, diffusers) -> None:
    """Its multistep start moves the state one step for two of its times, and all later times are one too low; and after
    Runge-Kutta it looks back by another number of steps than its grid has. diffusers' and ours do neither."""
    for skip_prk in (False, True):
        scheduler = monai.PNDMScheduler(skip_prk_steps=skip_prk)
        scheduler.set_timesteps(10)
        schedule = Tabulated(scheduler.alphas_cumprod)
        times = schedule.times(range(900, -1, -100))[:-1]
        before, _ = tabled(scheduler, times, "epsilon", schedule)
        assert np.abs(before - ours(pndm(schedule, times, skip_prk), schedule)).max() > 0.01


def test_a_series_is_corrupted_like_a_volume() -> None:
    """A peer's rectified flow takes 4-D and 5-D tensors only."""
    process, t = Gaussian(RectifiedFlow()), np.array([0.25, 0.5])
    for shape in ((), (7,), (1, 9), (2, 3, 4), (1, 2, 2, 2)):
        x0 = torch.ones(2, *shape)
        noisy = process.corrupt(x0, t, Noise([1, 2]))
        eps = Noise([1, 2])["corrupt"].normal(*shape)
        column = torch.tensor([0.25, 0.5]).view(2, *(1,) * len(shape))
        torch.testing.assert_close(noisy.x, (1 - column) * x0 + column * eps)
