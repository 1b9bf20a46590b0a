"""A trained model as one object: it is loaded, drawn from and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.condition import Condition, Values, forget
from diffx.config import SampleConfig
from diffx.data.spec import Spec
from diffx.errors import DataError, UsageError, did_you_mean
from diffx.guide import cfg as classifier_free
from diffx.guide import interval_between
from diffx.io import checkpoint
from diffx.nets import add_lora, merge
from diffx.nets.model import Model
from diffx.nets.precision import autocast_dtype, pick_device
from diffx.noise import Noise
from diffx.pipeline.batch import Batch, Guide, Record, in_batches, paired
from diffx.pipeline.build import build
from diffx.pipeline.weights import export, recorded
from diffx.plan import JointPlan, Plan
from diffx.plugins.loader import Plugins, config_type, load
from diffx.plugins.registry import find
from diffx.plugins.weights import resolve_weights, shipped
from diffx.predict import Predict
from diffx.process import Process
from diffx.sampling import Sampler, plan_for
from diffx.sampling import sample as run_plan
from diffx.state import Shape, each

_announced: set[str] = set()  # licences that this process has been told of


class Pipeline:
    """A network with all that drawing from it takes.

    Args:
        model: a denoiser with its conditioning; it is moved to ``device`` and set to inference.
        process: what noised the data in training.
        spec: of the data; or the shape of one sample, [C, *S], or one a leaf.
        device: "auto", "cpu" or "cuda".
        precision: of the network: "auto", "fp32", "bf16" or "fp16"; everything around it is in fp32.
        config: of training; None for a model that no plugin made.
        plugins: whose solvers are known and whose ``diffx_plan`` is asked; None: the core's.
        meta: further facts, as the header of the file says them.
        extra: tensors that belong to the weights though they are not trained.
        path: of the file it was loaded from.

    Raises:
        UsageError: a device or a precision that this machine does not have.
    """

    def __init__(
        self,
        model: Model,
        process: Process,
        spec: Spec | Shape | Sequence[int],
        *,
        device: str = "auto",
        precision: str = "auto",
        config: Any = None,
        plugins: Plugins | None = None,
        meta: Mapping[str, Any] | None = None,
        extra: Mapping[str, Tensor] | None = None,
        path: Path | None = None,
    ):
        self.device = pick_device(device)
        self.model, self.process = model.to(self.device).eval(), process
        self.model.denoiser.autocast = autocast_dtype(precision, self.device)
        self.spec = spec if isinstance(spec, Spec) else Spec(spec if isinstance(spec, Mapping) else tuple(spec))
        self.config, self.plugins, self.path = config, plugins, path
        self.meta, self.extra = dict(meta or {}), dict(extra or {})

    @classmethod
    def load(cls, source: str | Path, device: str = "auto", precision: str = "auto", **chosen: Any) -> Pipeline:
        """The model in a file; of a checkpoint the averaged weights are taken.

        Args:
            source: id of shipped weights ("mri-synth-ixi"), run folder, or file.
            device: as of the class.
            precision: as of the class.
            chosen: ``plugin``, ``extensions`` of :meth:`from_checkpoint`.

        Raises:
            DataError: the file is missing, damaged, foreign, or belongs to another plugin.
            PluginError: its plugin is not installed or fails.
        """
        path = resolve_weights(source, chosen.get("plugin", ""))
        tensors, meta = checkpoint.load(path)
        weights = checkpoint.under(tensors, "model") | checkpoint.under(tensors, "ema")
        extra = checkpoint.under(tensors, "extra")
        return cls.from_checkpoint(weights, meta, path, extra, device, precision, **chosen)

    @classmethod
    def from_checkpoint(
        cls,
        weights: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        path: Path,
        extra: Mapping[str, Tensor] | None = None,
        device: str = "auto",
        precision: str = "auto",
        plugin: str = "",
        extensions: Sequence[str] = (),
    ) -> Pipeline:
        """The model that a header describes, with these weights.

        Args:
            weights: the model's state dict.
            meta: the header.
            path: of the file that both come from.
            extra: as of the class.
            device: as of the class.
            precision: as of the class.
            plugin: whose weights they must be; "": the plugin that the header names.
            extensions: plugins that bring further samplers, networks and schedules.
        """
        name = meta.get("plugin")
        if plugin and name != plugin:
            raise DataError(f"{path} holds weights of {name!r}, not of {plugin!r}")
        if not isinstance(name, str):
            raise DataError(f"{path}: no plugin rebuilds its model: make a Pipeline of yours and call load_state")
        plugins = load(name, tuple(extensions))
        config = replace(recorded(config_type(find(name)), meta, path), extensions=plugins.names[1:], device=device)
        spec = Spec.from_json(meta["spec"])
        model, process = build(plugins, config, spec)
        adapted = config.train.lora_rank and meta.get("kind") == "checkpoint"
        if adapted:
            add_lora(model, config.train.lora_rank)
        checkpoint.load_into(model, weights, path)
        if adapted:
            merge(model)
        of_file: dict[str, Any] = {"config": config, "plugins": plugins, "meta": meta, "extra": extra, "path": path}
        return cls(model, process, spec, device=device, precision=precision, **of_file)

    def load_state(self, path: str | Path) -> None:
        """Take up the weights that :meth:`save` wrote of a model like this one. DataError where they do not fit."""
        tensors, self.meta = checkpoint.load(path)
        self.extra = checkpoint.under(tensors, "extra")
        checkpoint.load_into(self.model, checkpoint.under(tensors, "model"), path)

    def save(
        self, path: str | Path, meta: Mapping[str, Any] | None = None, extra: Mapping[str, Tensor] | None = None
    ) -> None:
        """Write the weights in fp16, with what :meth:`load` has to know.

        Args:
            path: of the file, safetensors.
            meta: facts that are added to those of the pipeline.
            extra: tensors in place of those of the pipeline.
        """
        facts = {**self.meta, **(meta or {})}
        export(path, self.model.state_dict(), facts, self.extra if extra is None else extra)

    @property
    def licence(self) -> str:
        """What the weights may be used for, as the catalogue says or else their header; "" where neither does."""
        return next((w.entry.licence for w in shipped() if w.path == self.path), "") or self.meta.get("licence", "")

    def announce(self, say: Callable[[str], None], name: str | Path | None = None) -> None:
        """Tell the licence of the weights, once in a process.

        Args:
            say: is told one line; nothing where no licence is stated.
            name: of the weights, as the user knows them.
        """
        licence = self.licence
        if licence and str(self.path) not in _announced:
            _announced.add(str(self.path))
            say(f"licence of {name or self.path}: {licence}")

    def plan(self, options: SampleConfig) -> Plan | JointPlan | Sampler:
        """The plan that the options name, of all solvers loaded. UsageError for an unknown name."""
        try:
            if self.plugins is None:
                return plan_for(self.process, options)
            return self.plugins.call("diffx_plan", cfg=replace(self.config, sample=options), process=self.process)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def check(self, records: Iterable[Record]) -> None:
        """Raise UsageError for a field or a value that the conditioners do not know, before anything is drawn."""
        for record in records:
            _asked(self.model.conditioning.parse, record)

    @torch.no_grad()
    def condition(self, records: Sequence[Record], seeds: Sequence[int]) -> Condition:
        """What the network is told of samples. Noise that a conditioner adds (``Spatial``) is that of their seeds."""
        return self.model.conditioning(self._values(records, seeds))

    def draw(
        self,
        records: Record | Iterable[Record],
        seeds: Iterable[int],
        options: SampleConfig | None = None,
        guide: Guide | None = None,
        **more: Any,
    ) -> Iterator[Any]:
        """Samples one by one, each [C, *S] on the host, or a mapping of leaves; each depends on its own seed alone.

        They are made while they are asked for, ``options.batch`` together, and none is kept.

        Args:
            records: what is asked of each sample; or one record for all.
            seeds: of each sample.
            options: sampler, steps, guidance, batch, ...; None: the defaults of the plugin.
            guide: makes the prediction another one, for each batch; it is given the classifier-free guided one.
            more: further arguments of :meth:`batches`; single options by name, ``steps=32``.

        Raises:
            UsageError: an unknown sampler, field or value.
        """
        return _one_by_one(self.batches(records, seeds, options, guide, **more))

    def batches(
        self,
        records: Record | Iterable[Record],
        seeds: Iterable[int],
        options: SampleConfig | None = None,
        guide: Guide | None = None,
        *,
        shape: Any = None,
        plan: Plan | JointPlan | Sampler | None = None,
        start: Callable[[Batch], Any] | None = None,
        callback: Callable[[Batch, int, Any, Any], None] | None = None,
        **changes: Any,
    ) -> Iterator[tuple[Batch, Any]]:
        """Samples by batches, (batch, state [B, C, *S] on the device), for what goes on with them there.

        Args:
            records: as of :meth:`draw`, like seeds, options and guide.
            shape: of one sample; None: that of the data. A network that takes other sizes draws other sizes.
            plan: in place of what the options ask for, as for image to image, which begins at less noise.
            start: from a batch to its state at the first time of the plan, for image to image; None: the prior.
            callback: told (batch, number of the row, state, prediction) after each row of the plan.
            changes: single options by name, over ``options``.
        """
        options = self._options(options, changes)
        plan, asked = self.plan(options) if plan is None else plan, paired(records, seeds)
        if shape is None:
            shape = self.spec.shape

        @torch.no_grad()
        def together(records: tuple[Record, ...], seeds: tuple[int, ...], first: int) -> tuple[Batch, Any]:
            conditioning, values = self.model.conditioning, self._values(records, seeds)
            batch = Batch(records, seeds, conditioning(values), self.device, first)
            predict = self._guided(options, values)
            if guide is not None:
                predict = guide(predict, batch)
            begin = None if start is None else start(batch)
            tell = None if callback is None else partial(callback, batch)
            told = batch.condition
            state = run_plan(predict, self.process, plan, shape, seeds, told, begin, self.device, tell)
            return batch, state

        def drawn() -> Iterator[tuple[Batch, Any]]:
            first = 0
            for some, their_seeds in in_batches(asked, options.batch):
                yield together(some, their_seeds, first)
                first += len(some)

        return drawn()

    def _guided(self, options: SampleConfig, values: Values) -> Predict:
        """The network's prediction, with classifier-free guidance where the options ask for it."""
        interval = None
        if options.guidance_interval:
            try:
                interval = interval_between(options.guidance_interval, self.process)
            except ValueError as error:
                raise UsageError(f"sample.guidance_interval: {error}") from None
        if options.guidance == 1:
            return self.model.denoiser
        null = self.model.conditioning(forget(values))
        return classifier_free(self.model.denoiser, options.guidance, null, interval, options.guidance_rescale)

    def _values(self, records: Sequence[Record], seeds: Sequence[int]) -> Values:
        conditioning = self.model.conditioning
        return conditioning.augment(_asked(conditioning.collate, records), Noise(seeds)["augment"])

    def _options(self, options: SampleConfig | None, changes: Mapping[str, Any]) -> SampleConfig:
        if options is None:
            options = SampleConfig() if self.config is None else type(self.config.sample)()
        for name in changes:
            if not hasattr(options, name):
                raise UsageError(f"{name}: no option of sampling{did_you_mean(name, vars(options))}")
        return replace(options, **changes)


def _asked(read: Callable[[Any], Any], what: Any) -> Any:
    try:
        return read(what)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _one_by_one(batches: Iterator[tuple[Batch, Any]]) -> Iterator[Any]:
    for batch, state in batches:
        state = each(lambda leaf: leaf.cpu(), state)
        for number in range(len(batch)):
            yield _of(state, number)
        del state  # before the next one is drawn


def _of(state: Any, number: int) -> Any:
    return each(lambda leaf: leaf[number], state)
