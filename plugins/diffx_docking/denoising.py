"""Training of the score network: denoising score matching on known poses, many noised poses of a complex at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.config import TrainConfig
from diffx.errors import DiffxError
from diffx.noise import Noise, derive
from diffx.process import Noisy
from diffx.train import PowerEMA, State, StopAtBoundary, item, learning_rate, stratified

from .pack import Packed
from .process import pose_process
from .scene import Scene, compared, drawn
from .score import ScoreNetwork

STATE = "learning.safetensors"  # what a training goes on from
MISSED = 1.5  # Å: a conformer that comes no nearer to the truth is left out
_MOVED = 1.5  # Å: how far the middle of the box is moved at most along each axis, since no user's box is centred


@dataclass(frozen=True)
class Lesson:
    """A complex to learn from: what the network sees and the pose that is right, relative to the middle of the box."""

    name: str
    scene: Scene
    pose: Mapping[str, Tensor]

    @classmethod
    def of(cls, one: Packed) -> Lesson:
        """Of a packed complex."""
        centre = torch.as_tensor(one.box.centre, dtype=torch.float32)
        pose = {**one.pose, "translation": one.pose["translation"] - centre}
        return cls(one.name, Scene(one.ligand, one.pocket, one.box.centre), pose)

    def noised(self, uniform: Tensor, seeds: Sequence[int]) -> tuple[Noisy, Tensor]:
        """As many noised poses as uniform variates [B], and middles that the box is said to have, [B, 3] in Å."""
        noise, batch = Noise(seeds), len(seeds)
        clean = {leaf: value.expand(batch, *value.shape) for leaf, value in self.pose.items()}
        noisy = _PROCESS.corrupt(clean, _PROCESS.times(uniform.double().numpy()), noise)
        return noisy, _MOVED * (2 * noise["box"].uniform(3) - 1)

    def losses(self, network: ScoreNetwork, uniform: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """Of each leaf, [B]: 1 on average where nothing is predicted."""
        noisy, middle = self.noised(uniform, seeds)
        code = self.scene.encoded(network)
        return compared(self.scene.scores(network, code, noisy.x, uniform.float(), middle), noisy)

    def trivial(self, uniform: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
        """The same of what needs no network: the box draws the middle, rotation and torsions are not predicted."""
        noisy, middle = self.noised(uniform, seeds)
        still = {leaf: torch.zeros_like(target) for leaf, target in noisy.target.items()}
        return compared({**still, "translation": drawn(noisy.x["translation"] - middle, uniform)}, noisy)


def learn(
    network: ScoreNetwork,
    lessons: Sequence[Lesson],
    config: TrainConfig,
    poses: int,
    seed: int,
    folder: Path,
    meta: Mapping[str, Any],
    resume: bool = False,
    told: Callable[[int, Mapping[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Train on known poses; the averaged weights. A function of seed and step, so that it goes on to the bit.

    Args:
        network: to be trained; it ends with the averaged weights.
        lessons: known complexes.
        config: steps, ``batch`` complexes in a step, rate, decay, clipping, width of the average.
        poses: noised poses of each complex in a step.
        seed: of the order, the noise and the levels.
        folder: of :data:`STATE`.
        meta: facts for its header.
        resume: go on from it.
        told: called with the step and the mean losses since the last call.

    Raises:
        DiffxError: the loss is not finite.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the checkpoint is written.
    """
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    state = State(network, PowerEMA(parameters, config.ema_std), optimiser, torch.amp.GradScaler("cpu", enabled=False))
    last, since = folder / STATE, _Mean()
    if resume and last.exists():
        state.load_state(last)
    network.train()
    with StopAtBoundary() as stop:
        while state.step < config.steps:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(state.step, config)
            for part in range(config.batch):
                since.add(_backward(network, lessons, config.batch, poses, seed, state.step, part))
            torch.nn.utils.clip_grad_norm_(parameters, config.clip or math.inf)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            state.advance()
            if state.step % config.log_every == 0 or state.step == config.steps:
                means = since.taken()
                if not all(map(math.isfinite, means.values())):
                    raise DiffxError(f"the loss is not finite at step {state.step}; the last good checkpoint: {last}")
                if told:
                    told(state.step, means)
            if stop.requested or state.step % config.checkpoint_every == 0 or state.step == config.steps:
                state.save(last, meta)
            if stop.requested:
                raise KeyboardInterrupt
    averaged = state.averaged()
    network.load_state_dict(averaged)
    network.eval()
    return averaged


def _backward(
    network: ScoreNetwork, lessons: Sequence[Lesson], batch: int, poses: int, seed: int, step: int, part: int
) -> dict[str, float]:
    """Gradients of one complex's poses; its mean losses."""
    number = step * batch + part
    lesson = lessons[item(seed, number, len(lessons))]
    uniform = stratified(seed, number, range(poses), poses)
    losses = lesson.losses(network, uniform, [derive(seed, "pose", number, k) for k in range(poses)])
    means = {leaf: loss.mean() for leaf, loss in losses.items()}
    (sum(means.values(), torch.zeros(())) / batch).backward()
    return {leaf: float(mean.detach()) for leaf, mean in means.items()}


@torch.no_grad()
def held_out(
    network: ScoreNetwork, lessons: Sequence[Lesson], poses: int, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean loss of each leaf over complexes at fixed noise and evenly spread levels; and without a network."""
    network.eval()
    own, without = _Mean(), _Mean()
    uniform = (torch.arange(poses) + 0.5) / poses
    for lesson in lessons:
        seeds = [derive(seed, "held out", lesson.name, k) for k in range(poses)]
        own.add({leaf: float(loss.mean()) for leaf, loss in lesson.losses(network, uniform, seeds).items()})
        without.add({leaf: float(loss.mean()) for leaf, loss in lesson.trivial(uniform, seeds).items()})
    return own.taken(), without.taken()


class _Mean:
    """Running means by name."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def taken(self) -> dict[str, float]:
        """The means, from which it begins anew."""
        out = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return out


_PROCESS = pose_process()
