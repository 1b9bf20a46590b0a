"""The tasks every plugin has: train, sample and average, put together from its hooks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffx.config import RunConfig, renamed
from diffx.data.spec import Spec
from diffx.errors import UsageError
from diffx.io import checkpoint
from diffx.nets import add_lora, merge
from diffx.nets.model import Model
from diffx.pipeline import Pipeline, build, describe, flat
from diffx.pipeline.build import measure_element_sigma_data
from diffx.pipeline.weights import differences, recorded
from diffx.plugins.loader import Plugins, plugins_of
from diffx.plugins.registry import find, manifest_of
from diffx.plugins.weights import resolve_weights
from diffx.preview import Preview
from diffx.state import each
from diffx.train import Monitor, fit, reconstruct
from diffx.train.objective import Dataset
from diffx.train.posthoc import SNAPSHOTS

if TYPE_CHECKING:
    from diffx.run import Run

__all__ = ["average", "flag_broken", "plugins_of", "sample", "train"]


class _Told(Monitor):
    """A run, and the extensions, are told of each step."""

    def __init__(self, run: Run, plugins: Plugins):
        self._run, self._plugins = run, plugins

    def log(self, text: str) -> None:
        self._run.log(text)

    def progress(self, items: int, label: str, done: int = 0) -> Any:
        self._run.begin()  # the checkpoint that is resumed fits
        return self._run.progress(items, label, done)

    def step(self, step: int, **values: Any) -> None:
        self._plugins.collect("diffx_step", run=self._run, step=step, values=values, recorded=False)

    def record(self, step: int, **values: float) -> None:
        self._run.record(step, **values)
        self._plugins.collect("diffx_step", run=self._run, step=step, values=values, recorded=True)


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
    facts = {**describe(cfg, spec), **(meta or {})}
    recorded(type(cfg), checkpoint.header(facts), "the weights to be")  # what cannot be read back is not worth training
    model, process = build(plugins, cfg, spec)
    last = run.checkpoints / "last.safetensors"
    resume = cfg.resume and last.exists()
    if resume:
        before = renamed(type(cfg), checkpoint.read_meta(last).get("config", {}))
        _say_what_changed(run, facts["config"], before)
    elif cfg.from_:
        _start_from(model, cfg, facts["config"])
    else:
        measure_element_sigma_data(model, splits["train"])
    if cfg.train.lora_rank:
        _adapt(model, cfg, resume)
    size = sum(p.numel() for p in model.parameters())
    moved = sum(p.numel() for p in model.parameters() if p.requires_grad)
    run.log(
        f"{len(splits['train'])} samples to train on, {len(splits['val'])} to validate; "
        f"network of {size / 1e6:.1f} M parameters" + (f", {moved / 1e6:.2g} M of them trained" * (moved < size))
    )
    preview = _preview(run, plugins, model, process, spec, splits)
    trained = fit(
        model,
        process,
        splits["train"],
        cfg.train,
        seed=cfg.seed,
        folder=run.checkpoints,
        monitor=_Told(run, plugins),
        meta=facts,
        extra=extra,
        validation=splits["val"],
        device=cfg.device,
        resume=resume,
        finished=partial(_merged, model) if cfg.train.lora_rank else dict,
        show=preview,
        show_at=preview.due if preview else (),
    )
    if preview:
        preview.report()
    run.report.facts(
        {"steps": cfg.train.steps, "parameters": f"{size / 1e6:.1f} M", "training samples": len(splits["train"])}
    )
    run.log(f"weights: {trained.path}")
    _say_what_next(run)


def _preview(
    run: Run, plugins: Plugins, model: Model, process: Any, spec: Spec, splits: Mapping[str, Dataset]
) -> Preview | None:
    """Samples on the way, where they are what the plugin's `task=sample` draws: the core's own."""
    tasks = manifest_of(find(run.cfg.plugin)).tasks
    if "sample" not in tasks or "sample" in plugins.own_tasks():
        return None
    cfg, precision = run.cfg, run.cfg.train.precision
    pipeline = Pipeline(model, process, spec, device=cfg.device, precision=precision, config=cfg, plugins=plugins)
    return Preview(run, pipeline, splits["val"] if len(splits["val"]) else splits["train"])


def _say_what_next(run: Run) -> None:
    """The command that uses the weights."""
    manifest = manifest_of(find(run.cfg.plugin))
    task = "sample" if "sample" in manifest.tasks else manifest.default_task
    words = ["diffx", "run", f"plugin={run.cfg.plugin}", *([f"task={task}"] if task != manifest.default_task else [])]
    if run.cfg.extensions:
        words.append(f"extensions=[{','.join(run.cfg.extensions)}]")
    command = shlex.join([*words, f"from={run.folder}"])
    if task and task != run.cfg.task:
        run.report.text("Next", command)
        run.log(f"next: {command}")


def _start_from(model: Model, cfg: RunConfig, ours: Mapping[str, Any]) -> None:
    """Take up the weights of ``from=``. UsageError where they were made for another network or process."""
    start = _pipeline(cfg, "cpu")
    free = ("process.noise_", "process.weight", "process.gamma")  # where training looks, not what the network means
    made_with = differences(renamed(type(cfg), start.meta["config"]), ours)
    unlike = [f"{k}={v}" for k, v in made_with.items() if not k.startswith(free)]
    if unlike:
        raise UsageError(f"from={cfg.from_}: it was trained with {' '.join(unlike)}; give the same options")
    model.load_state_dict(start.model.state_dict())


def _pipeline(cfg: RunConfig, device: str | None = None) -> Pipeline:
    """What ``from=`` names, for this plugin with the extensions of this run."""
    return Pipeline.load(cfg.from_ or "", device or cfg.device, plugin=cfg.plugin, extensions=cfg.extensions)


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
    pipeline = _pipeline(cfg, "cpu")
    tensors, step = reconstruct(source.parent / SNAPSHOTS, cfg.train.ema_std)
    checkpoint.load_into(pipeline.model, {**pipeline.model.state_dict(), **tensors}, source)
    path = run.checkpoints / "weights.safetensors"
    pipeline.save(path, {"step": step, "config": {**pipeline.meta["config"], "train.ema_std": cfg.train.ema_std}})
    run.log(f"weights: {path}")


def _say_what_changed(run: Run, now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """A resumed run with other options does not end where the first would have: that is to be known, not forbidden."""
    changed = [f"{key}={now[key]} (was {before[key]})" for key in now if key in before and now[key] != before[key]]
    if changed:
        run.flag(f"resumed with other options than before: {', '.join(changed)}")


def sample(run: Run) -> None:
    """``cfg.n`` samples with seeds ``cfg.seed``, ``cfg.seed + 1``, ..., written by ``diffx_write``."""
    cfg = run.cfg
    plugins = plugins_of(cfg)
    if not cfg.from_:
        raise UsageError("from= says which weights to sample from: an id, a file or a run folder")
    pipeline = _pipeline(cfg)
    pipeline.announce(run.log, cfg.from_)
    trained = differences(dict(flat(pipeline.config)), dict(flat(cfg)))
    if trained:
        said = " ".join(f"{key}={value}" for key, value in trained.items())
        run.log(f"of the weights, whatever config.yaml says: {said}")
    record = {name: getattr(cfg, name) for name in pipeline.model.conditioning.fields if hasattr(cfg, name)}
    done = []
    with run.progress(cfg.n, "sampling", unit="sample") as bar:
        for state in pipeline.draw(record, range(cfg.seed, cfg.seed + cfg.n), cfg.sample):
            done.append(state)
            bar.advance()
    samples = each(lambda *one: torch.stack(one), *done)
    flag_broken(run, samples)
    files = list(plugins.call("diffx_write", cfg=cfg, samples=samples, folder=run.samples))
    metrics: Mapping[str, Any] = plugins.call("diffx_metrics", cfg=cfg, run=run, samples=samples)
    for name, value in metrics.items():
        run.metric(name, value)
    plugins.call("diffx_report", cfg=cfg, run=run, samples=samples)
    run.log(f"{len(files)} files in {run.samples}")


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
