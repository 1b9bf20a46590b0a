"""The tasks every plugin has: train, sample and average, put together from its hooks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffx.build import build, describe, flat, measure_spread, restore
from diffx.condition import Condition, Values, forget
from diffx.config import RunConfig
from diffx.data.spec import Spec
from diffx.errors import UsageError
from diffx.guide import cfg as classifier_free
from diffx.io import checkpoint
from diffx.nets import add_lora, merge
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.plan import JointPlan, Plan
from diffx.plugins.loader import Plugins, plugins_of
from diffx.plugins.weights import resolve_weights
from diffx.predict import Predict
from diffx.predict.selfcondition import clean
from diffx.process import Process
from diffx.sampling import sample as run_plan
from diffx.state import each
from diffx.train import export, fit, reconstruct
from diffx.train.objective import Dataset
from diffx.train.posthoc import SNAPSHOTS
from diffx.train.precision import autocast_dtype, pick_device

if TYPE_CHECKING:
    from diffx.run import Run


class _Monitor:
    """A run that also tells the extensions of each recorded step."""

    def __init__(self, run: Run, plugins: Plugins):
        self.log = run.log
        self._run, self._plugins = run, plugins

    def progress(self, items: int, label: str, done: int = 0) -> Any:
        self._run.begin()  # the checkpoint that is resumed fits
        return self._run.progress(items, label, done)

    def record(self, step: int, **values: float) -> None:
        self._run.record(step, **values)
        self._plugins.collect("diffx_step", run=self._run, step=step, values=values)


def train(
    run: Run,
    extra: Mapping[str, Tensor] | None = None,
    meta: Mapping[str, Any] | None = None,
    data: Mapping[str, Dataset] | None = None,
) -> None:
    """Train from scratch, from other weights (``from=``), or on from a stopped run (``resume=true``).

    Args:
        extra: tensors the plugin needs beside the network, kept in the same file.
        meta: JSON-able facts the plugin needs, kept in the file's header.
        data: the splits "train" and "val", where they are at hand; otherwise ``diffx_data`` is asked for them.
    """
    cfg = run.cfg
    plugins = plugins_of(cfg)
    splits = data or {split: plugins.call("diffx_data", cfg=cfg, split=split) for split in ("train", "val")}
    spec = Spec.of(splits["train"])
    model, process = build(plugins, cfg, spec)
    last = run.checkpoints / "last.safetensors"
    resume = cfg.resume and last.exists()
    if resume:
        _say_what_changed(run, describe(cfg, spec)["config"], checkpoint.read_meta(last).get("config", {}))
    elif cfg.from_:
        _start_from(model, plugins, cfg, spec)
    else:
        measure_spread(model, splits["train"])
    if cfg.train.lora_rank:
        _adapt(model, cfg, resume)
    size = sum(p.numel() for p in model.parameters())
    moved = sum(p.numel() for p in model.parameters() if p.requires_grad)
    run.log(
        f"{len(splits['train'])} samples to train on, {len(splits['val'])} to validate; "
        f"network of {size / 1e6:.1f} M parameters" + (f", {moved / 1e6:.2g} M of them trained" * (moved < size))
    )
    weights = fit(
        model,
        process,
        splits["train"],
        cfg.train,
        seed=cfg.seed,
        folder=run.checkpoints,
        monitor=_Monitor(run, plugins),
        meta={**describe(cfg, spec), **(meta or {})},
        extra=extra,
        validation=splits["val"],
        device=cfg.device,
        resume=resume,
        finished=partial(_merged, model) if cfg.train.lora_rank else dict,
    )
    run.report.facts(
        {"steps": cfg.train.steps, "parameters": f"{size / 1e6:.1f} M", "training samples": len(splits["train"])}
    )
    run.log(f"weights: {weights}")


def _start_from(model: Model, plugins: Plugins, cfg: RunConfig, spec: Spec) -> None:
    """Take up the weights of ``from=``. UsageError where they were made for another network or process."""
    start, _, _, _, _, header = restore(plugins, type(cfg), resolve_weights(cfg.from_ or "", cfg.plugin))
    ours = describe(cfg, spec)["config"]
    made_with = {k: v for k, v in header["config"].items() if k.startswith(("net.", "process.")) and ours.get(k) != v}
    free = ("process.level", "process.weight", "process.gamma")  # where training looks, not what the network means
    unlike = [f"{key}={value}" for key, value in made_with.items() if not key.startswith(free)]
    if unlike:
        raise UsageError(f"from={cfg.from_}: it was trained with {' '.join(unlike)}; give the same options")
    model.load_state_dict(start.state_dict())


def _adapt(model: Model, cfg: RunConfig, resume: bool) -> None:
    if not (cfg.from_ or resume):
        raise UsageError("train.lora_rank adapts weights that are there: from= says which")
    if cfg.train.ema_snapshots:
        raise UsageError("train.lora_rank and train.ema_snapshots do not go together; choose train.ema_std instead")
    add_lora(model, cfg.train.lora_rank, seed=cfg.seed)


def _merged(model: Model, averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with the averaged adapters folded in, which load without adapters."""
    model.load_state_dict(dict(averaged))
    merge(model)
    return model.state_dict()


def average(run: Run) -> None:
    """Weights of the run ``from=`` averaged over another width, ``train.ema_std``, from its snapshots."""
    cfg = run.cfg
    if not cfg.from_:
        raise UsageError("from= says which run's snapshots to average")
    source = resolve_weights(cfg.from_, cfg.plugin)
    model, _, _, _, extra, meta = restore(plugins_of(cfg), type(cfg), source)
    tensors, step = reconstruct(source.parent / SNAPSHOTS, cfg.train.ema_std)
    facts = {**meta, "step": step, "config": {**meta["config"], "train.ema_std": cfg.train.ema_std}}
    del facts["sha256"]
    path = run.checkpoints / "weights.safetensors"
    export(path, {**model.state_dict(), **tensors}, facts, extra)
    run.log(f"weights: {path}")


def _say_what_changed(run: Run, now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """A resumed run with other options does not end where the first would have: that is to be known, not forbidden."""
    changed = [f"{key}={now[key]} (was {before[key]})" for key in now if key in before and now[key] != before[key]]
    if changed:
        run.flag(f"resumed with other options than before: {', '.join(changed)}")


def ready(model: Model, device: str = "auto") -> torch.device:
    """Bring a model to its device, ready to sample; the device.

    The network will run in the device's best precision; everything around it in fp32.
    """
    place = pick_device(device)
    model.to(place).eval()
    model.denoiser.autocast = autocast_dtype("auto", place)
    return place


@torch.no_grad()
def predictor(model: Model, values: Values, guidance: float) -> tuple[Predict, Condition]:
    """A guided prediction and the condition, for a batch of condition values and a model that is :func:`ready`."""
    condition, null = model.conditioning(values), model.conditioning(forget(values))
    return classifier_free(model.denoiser, guidance, null), condition


def plan_of(plugins: Plugins, process: Process, cfg: RunConfig) -> Plan | JointPlan:
    """The plan that ``cfg.sample`` names, of all solvers loaded. UsageError for unknown names."""
    try:
        return plugins.call("diffx_plan", cfg=cfg, process=process)
    except ValueError as error:
        raise UsageError(str(error)) from None


def sample(run: Run) -> None:
    """``cfg.n`` samples with seeds ``cfg.seed``, ``cfg.seed + 1``, ..., written by ``diffx_write``."""
    cfg = run.cfg
    plugins = plugins_of(cfg)
    if not cfg.from_:
        raise UsageError("from= says which weights to sample from: an id, a file or a run folder")
    model, process, trained, spec, _, _ = restore(plugins, type(cfg), resolve_weights(cfg.from_, cfg.plugin))
    say_whose(run, trained)
    record = {name: getattr(cfg, name) for name in model.conditioning.fields if hasattr(cfg, name)}
    plan = plan_of(plugins, process, cfg)
    place = ready(model, cfg.device)
    done = []
    for first in run.progress(range(0, cfg.n, cfg.sample.batch), "sampling", unit="batch"):
        seeds = [cfg.seed + i for i in range(first, min(first + cfg.sample.batch, cfg.n))]
        try:
            values = model.conditioning.collate([record] * len(seeds))
        except ValueError as error:
            raise UsageError(str(error)) from None
        seen = model.conditioning.augment(values, Noise(seeds)["augment"])
        predict, condition = predictor(model, seen, cfg.sample.guidance)
        state = run_plan(predict, process, plan, spec.shape, seeds, condition, device=place)
        done.append(each(lambda leaf: leaf.cpu(), clean(process, state)))
    samples = each(lambda *parts: torch.cat(parts), *done)
    flag_broken(run, samples)
    files = list(plugins.call("diffx_write", cfg=cfg, samples=samples, folder=run.samples))
    metrics: Mapping[str, Any] = plugins.call("diffx_metrics", cfg=cfg, run=run, samples=samples)
    for name, value in metrics.items():
        run.metric(name, value)
    plugins.call("diffx_report", cfg=cfg, run=run)
    run.log(f"{len(files)} files in {run.samples}")


def say_whose(run: Run, trained: RunConfig) -> None:
    """Log the options of network and process in which the weights differ from this run's: theirs are used."""
    mine, theirs = (dict(flat(cfg)) for cfg in (run.cfg, trained))
    unlike = [f"{k}={theirs[k]}" for k in theirs if k.startswith(("net.", "process.")) and theirs[k] != mine[k]]
    if unlike:
        run.log(f"of the weights, whatever config.yaml says: {' '.join(unlike)}")


def flag_broken(run: Run, samples: Any) -> None:
    """Flag samples [n, ...], or leaves of them, that are not finite or, being numbers, all alike."""
    leaves = samples if isinstance(samples, Mapping) else {"": samples}
    for leaf, values in leaves.items():
        for number, one in enumerate(values):
            name = f"{leaf} of sample {number}" if leaf else f"sample {number}"
            if not one.isfinite().all():
                run.flag(f"{name} is not finite")
            elif one.is_floating_point() and one.numel() > 1 and one.std() == 0:
                run.flag(f"{name} is constant")
