"""The tasks every plugin has: train and sample, put together from its hooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffx import checkpoint
from diffx import plugins as loader
from diffx.build import build, describe, measure_spread, restore
from diffx.condition import Condition
from diffx.config import RunConfig
from diffx.errors import UsageError
from diffx.guide import cfg as classifier_free
from diffx.model import Model
from diffx.plan import Plan, make_plan
from diffx.plugins import Plugins
from diffx.predict import Predict
from diffx.process.gaussian import Gaussian
from diffx.sample import sample as run_plan
from diffx.spec import Spec
from diffx.train import fit
from diffx.train.precision import autocast_dtype, pick_device
from diffx.weights import resolve_weights

if TYPE_CHECKING:
    from diffx.run import Run


class _Monitor:
    """A run that also tells the extensions of each recorded step."""

    def __init__(self, run: Run, plugins: Plugins):
        self.log, self.progress = run.log, run.progress
        self._run, self._plugins = run, plugins

    def record(self, step: int, **values: float) -> None:
        self._run.record(step, **values)
        self._plugins.collect("diffx_step", run=self._run, step=step, values=values)


def plugins_of(cfg: RunConfig) -> Plugins:
    """The plugin and the extensions a configuration names, loaded once in a process."""
    return loader.load(cfg.plugin, tuple(cfg.extensions))


def train(run: Run, extra: Mapping[str, Tensor] | None = None, meta: Mapping[str, Any] | None = None) -> None:
    """Train on ``diffx_data`` from scratch, from other weights (``from=``), or on from a stopped run (``resume=true``).

    Args:
        extra: tensors the plugin needs beside the network, kept in the same file.
        meta: JSON-able facts the plugin needs, kept in the file's header.
    """
    cfg = run.cfg
    plugins = plugins_of(cfg)
    data = plugins.call("diffx_data", cfg=cfg, split="train")
    validation = plugins.call("diffx_data", cfg=cfg, split="val")
    spec = Spec.of(data)
    model, process = build(plugins, cfg, spec)
    last = run.checkpoints / "last.safetensors"
    resume = cfg.resume and last.exists()
    if resume:
        _say_what_changed(run, describe(cfg, spec)["config"], checkpoint.read_meta(last).get("config", {}))
    if cfg.from_ and not resume:
        start, _, _, _, _, header = restore(plugins, type(cfg), resolve_weights(cfg.from_, cfg.plugin))
        ours = describe(cfg, spec)["config"]
        made_with = {
            k: v for k, v in header["config"].items() if k.startswith(("net.", "process.")) and ours.get(k) != v
        }
        unlike = [f"{key}={value}" for key, value in made_with.items() if not key.startswith("process.level")]
        if unlike:
            raise UsageError(f"from={cfg.from_}: it was trained with {' '.join(unlike)}; give the same options")
        model.load_state_dict(start.state_dict())
    if not cfg.from_:
        measure_spread(model, data)
    size = sum(p.numel() for p in model.parameters())
    run.log(f"{len(data)} samples to train on, {len(validation)} to validate; network of {size / 1e6:.1f} M parameters")
    weights = fit(
        model,
        process,
        data,
        cfg.train,
        seed=cfg.seed,
        folder=run.checkpoints,
        monitor=_Monitor(run, plugins),
        meta={**describe(cfg, spec), **(meta or {})},
        extra=extra,
        validation=validation,
        device=cfg.device,
        resume=resume,
    )
    run.report.facts({"steps": cfg.train.steps, "parameters": f"{size / 1e6:.1f} M", "training samples": len(data)})
    run.log(f"weights: {weights}")


def _say_what_changed(run: Run, now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """A resumed run with other options does not end where the first would have: that is to be known, not forbidden."""
    changed = [f"{key}={now[key]} (was {before[key]})" for key in now if key in before and now[key] != before[key]]
    if changed:
        run.flag(f"resumed with other options than before: {', '.join(changed)}")


def predictor(model: Model, numbers: Tensor, guidance: float, device: str = "auto") -> tuple[Predict, Condition]:
    """A guided prediction and its condition for records [B, F], with the model on its device, ready to sample.

    The network runs in the device's best precision; everything around it in fp32.
    """
    place = pick_device(device)
    model.to(place).eval()
    model.denoiser.autocast = autocast_dtype("auto", place)
    with torch.no_grad():
        condition, null = model.conditioning(numbers), model.conditioning.null(len(numbers))
    return classifier_free(model.denoiser, guidance, null), condition


def plan_of(plugins: Plugins, process: Gaussian, cfg: RunConfig) -> Plan:
    """The plan that ``cfg.sample`` names, of all solvers loaded. UsageError for unknown names."""
    options = cfg.sample
    try:
        return make_plan(
            process.schedule,
            options.sampler,
            options.steps,
            options.grid,
            options.eta or None,
            options.stop,
            solvers=plugins.table("diffx_samplers"),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def sample(run: Run) -> None:
    """``cfg.n`` samples with seeds ``cfg.seed``, ``cfg.seed + 1``, ..., written by ``diffx_write``."""
    cfg = run.cfg
    plugins = plugins_of(cfg)
    if not cfg.from_:
        raise UsageError("from= says which weights to sample from: an id, a file or a run folder")
    model, process, _, spec, _, _ = restore(plugins, type(cfg), resolve_weights(cfg.from_, cfg.plugin))
    record = {name: getattr(cfg, name) for name in model.conditioning.fields if hasattr(cfg, name)}
    try:
        numbers = model.conditioning.parse(record)
    except ValueError as error:
        raise UsageError(str(error)) from None
    plan = plan_of(plugins, process, cfg)
    done: list[Tensor] = []
    for first in run.progress(range(0, cfg.n, cfg.sample.batch), "sampling", unit="batch"):
        seeds = [cfg.seed + i for i in range(first, min(first + cfg.sample.batch, cfg.n))]
        predict, condition = predictor(model, numbers.expand(len(seeds), -1), cfg.sample.guidance, cfg.device)
        done.append(
            run_plan(predict, process, plan, spec.shape, seeds, condition, device=pick_device(cfg.device)).cpu()
        )
    samples = torch.cat(done)
    for number, one in enumerate(samples):
        if not one.isfinite().all():
            run.flag(f"sample {number} is not finite")
        elif one.std() == 0:
            run.flag(f"sample {number} is constant")
    files = list(plugins.call("diffx_write", cfg=cfg, samples=samples, folder=run.samples))
    metrics: Mapping[str, Any] = plugins.call("diffx_metrics", cfg=cfg, run=run, samples=samples)
    for name, value in metrics.items():
        run.metric(name, value)
    plugins.call("diffx_report", cfg=cfg, run=run)
    run.log(f"{len(files)} files in {run.samples}")
