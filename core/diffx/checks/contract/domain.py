"""A domain tried out on a few of its own samples: data, three training steps, an interruption, two sampling steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.condition import Conditioning
from diffx.config import RunConfig, resolve
from diffx.data.spec import Spec
from diffx.errors import DiffxError
from diffx.io import checkpoint
from diffx.pipeline import describe
from diffx.pipeline.weights import recorded
from diffx.plugins.loader import config_type, load
from diffx.plugins.registry import find, manifest_of
from diffx.plugins.weights import newest_checkpoint
from diffx.run import Run, execute
from diffx.run.progress import Screen
from diffx.state import each

SMALL = (
    *("device=cpu", "n=2", "sample.steps=2", "sample.batch=2"),
    *("train.steps=3", "train.batch=2", "train.accumulate=1", "train.workers=0", "train.precision=fp32"),
    *("train.log_every=1", "train.checkpoint_every=1", "train.val_every=3", "train.compile=false"),
)
LOOKED_AT = 32  # items of a split


class Domain:
    """The checks of one domain; training happens once, on the CPU, below `folder`.

    options: further `key=value` words, such as where its data lie; they go over the small numbers of the checks.
    Raises PluginError, ExtraError where the plugin does not load, UsageError for the options.
    """

    def __init__(self, name: str, options: Sequence[str], folder: Path):
        self.found = find(name)
        self.manifest = manifest_of(self.found)
        self.options, self.folder = list(options), folder
        self.cfg = self._configure()
        self.plugins = load(name, tuple(self.cfg.extensions))

    @property
    def trains(self) -> bool:
        """Whether the plugin can be told to train and to sample; the checks need both."""
        return {"train", "sample"} <= set(self.manifest.tasks)

    def data(self) -> Iterator[str]:
        """Items are the same when asked again, finite, all of one spec, and fit the conditioners."""
        spec: Spec | None = None
        for split in ("train", "val"):
            once, twice = (self.plugins.call("diffx_data", cfg=self.cfg, split=split) for _ in range(2))
            if not len(once):
                if split == "train":
                    yield "diffx_data: the split 'train' is empty"
                    return
                continue
            if len(once) != len(twice):
                yield f"diffx_data: {split!r} has {len(once)} items, and {len(twice)} when asked again"
                return
            spec = spec or Spec.of(once)
            chosen = sorted({round(i) for i in np.linspace(0, len(once) - 1, LOOKED_AT)})
            items = {number: once[number] for number in chosen}
            yield from _first(_item_problems(items, twice, spec, split))
            yield from self._conditioner_problems(list(items.values()), spec, split)

    def _conditioner_problems(self, items: list[Mapping[str, Any]], spec: Spec, split: str) -> Iterator[str]:
        conditioning = Conditioning(self.plugins.call("diffx_conditioning", cfg=self.cfg, spec=spec))
        fields = list(conditioning.fields)
        for name in fields:
            if not any(name in item for item in items):
                yield f"diffx_conditioning names {name!r}, which no item of {split!r} has (they have {spec.fields})"
            if not ("sample" in self.plugins.own_tasks() or hasattr(self.cfg, name)):
                yield f"diffx_conditioning names {name!r}, but there is no option {name}= to ask for it"
        try:
            conditioning.collate([{name: item.get(name) for name in fields} for item in items])
        except ValueError as error:
            yield f"diffx_data, {split!r}: {error}"

    def saving(self) -> Iterator[str]:
        """The options are read back from the header of weights as they were; training tries the weights themselves."""
        spec = Spec.of(self.plugins.call("diffx_data", cfg=self.cfg, split="train"))
        try:
            facts = checkpoint.header(describe(self.cfg, spec))
            again = describe(recorded(type(self.cfg), facts, "the weights to be"), spec)["config"]
        except DiffxError as error:
            yield str(error)
            return
        for key, value in facts["config"].items():
            if again.get(key) != value:
                yield f"the option {key}={value} is read back from the weights as {again.get(key)}"

    def training(self) -> Iterator[str]:
        """Three steps end with weights and a loss that is finite."""
        code, said = self._run(self._configure("task=train", f"out={self._straight}"), self._task("train"))
        if code:
            yield f"task=train ends with code {code}: {said}"
            return
        recorded = self._straight / "metrics.jsonl"
        lines = recorded.read_text(encoding="utf-8").splitlines() if recorded.exists() else []
        losses = [row["loss"] for row in map(json.loads, lines) if "loss" in row]
        if not losses:
            yield "task=train records no loss"
        elif None in losses:
            yield f"task=train records losses that are not finite: {losses}"
        yield from self._no_weights(self._straight)

    def resuming(self) -> Iterator[str]:
        """Training interrupted after a step and resumed ends with the same weights, to the bit."""
        if not self._trained():
            yield "there was no training to resume"
            return
        cut = self.folder / "cut"
        train = self._task("train")
        code, said = self._run(self._configure("task=train", f"out={cut}"), _interrupted(train))
        if code != 130:
            yield f"task=train, interrupted after a step, ends with code {code} instead of 130: {said}"
            return
        code, said = self._run(self._configure("task=train", f"out={cut}", "resume=true"), train)
        if code:
            yield f"task=train resume=true ends with code {code}: {said}"
            return
        one, two = _tensors(self._straight), _tensors(cut)
        unlike = [
            name for name in {**one, **two} if name not in one or name not in two or not _same(one[name], two[name])
        ]
        if unlike:
            what = f"{len(unlike)} of {len(one)} tensors differ, such as {unlike[0]}"
            yield f"training that was interrupted and resumed ends with other weights: {what}"

    def sampling(self) -> Iterator[str]:
        """Two steps write files that are not empty, the same when drawn again, and figures that are finite."""
        if not self._trained():
            yield "there were no weights to sample from"
            return
        runs = [self._sample(self.folder / name) for name in ("once", "again")]
        for code, said, _ in runs[:1]:
            if code:
                yield f"task=sample ends with code {code}: {said}"
                return
        files = [self._files(folder) for _, _, folder in runs]
        if not files[0]:
            yield "task=sample writes no file into the run's folder samples/"
        for name, content in files[0].items():
            if not content:
                yield f"task=sample writes {name}, which is empty"
            elif name.endswith((".npy", ".npz")) and files[1].get(name) != content:
                yield f"task=sample draws another {name} when asked again with the same seed"
        status = json.loads((self.folder / "once/status.json").read_text(encoding="utf-8"))
        yield from (f"task=sample: {flag}" for flag in status["flags"] if "not finite" in flag)

    def _sample(self, folder: Path) -> tuple[int, str, Path]:
        words = ("task=sample", f"from={self._straight}", f"out={folder}")
        return *self._run(self._configure(*words), self._task("sample")), folder

    def _files(self, folder: Path) -> dict[str, bytes]:
        samples = folder / "samples"
        return {str(p.relative_to(samples)): p.read_bytes() for p in sorted(samples.rglob("*")) if p.is_file()}

    @property
    def _straight(self) -> Path:
        return self.folder / "straight"

    def _trained(self) -> bool:
        if not self._straight.exists():
            list(self.training())
        return not list(self._no_weights(self._straight))

    def _no_weights(self, folder: Path) -> Iterator[str]:
        try:
            newest_checkpoint(folder)
        except DiffxError:
            yield "task=train leaves no weights (checkpoints/*.safetensors in the run's folder)"

    def _task(self, name: str) -> Callable[[Run], Any]:
        return self.plugins.task(name)

    def _configure(self, *words: str) -> RunConfig:
        return resolve(
            config_type(self.found),
            overrides=[f"plugin={self.found.name}", *SMALL, *self.options, *words],
            presets=self.manifest.presets,
            tasks=self.manifest.tasks,
            default_task=self.manifest.default_task,
        )

    def _run(self, cfg: RunConfig, task: Callable[[Run], Any]) -> tuple[int, str]:
        """As `diffx run` does it: the exit code, and the last line of what was said."""
        said = StringIO()
        with redirect_stderr(said), redirect_stdout(StringIO()):
            code = execute(cfg, task, ["plugins", "check", cfg.plugin], screen=Screen(quiet=True))
        lines = [line.removeprefix("diffx: error: ") for line in said.getvalue().splitlines() if line]
        return code, "; ".join(line.partition(" (traceback in ")[0] for line in lines)


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All that training leaves, the state to go on from too: in few steps the weights alone hardly move apart."""
    files = [*folder.glob("checkpoints/*.safetensors"), *folder.glob("*.safetensors")]
    return {f"{file.stem}: {name}": value for file in files for name, value in checkpoint.load(file)[0].items()}


def _interrupted(task: Callable[[Run], Any]) -> Callable[[Run], Any]:
    """The task, and Ctrl-C while it records its second step."""

    def stopped(run: Run) -> None:
        record = run.record

        def recording(step: int, **values: Any) -> None:
            record(step, **values)
            if step >= 2:
                raise KeyboardInterrupt("interrupted by the check")

        run.record = recording  # type: ignore[method-assign]
        task(run)

    return stopped


def _item_problems(items: Mapping[int, Any], again: Any, spec: Spec, split: str) -> Iterator[str]:
    for number, item in items.items():
        where = f"diffx_data: item {number} of {split!r}"
        if not _same(item, again[number]):
            yield f"{where} is another one when asked again: its randomness has to follow from cfg.seed and the index"
            continue
        one = Spec.of([item])
        if one != spec:
            yield f"{where} has state {one.shape} and fields {one.fields}, the first {spec.shape} and {spec.fields}"
            continue
        finite: list[bool] = []
        each(lambda leaf, found=finite: found.append(bool(torch.as_tensor(leaf).isfinite().all())), item["x"])
        if not all(finite):
            yield f"{where}: the state 'x' is not finite"


def _first(problems: Iterator[str]) -> Iterator[str]:
    """One line of many that are alike."""
    found = list(problems)
    yield from found[:1]
    if len(found) > 1:
        yield f"and so with {len(found) - 1} more items"


def _same(a: Any, b: Any) -> bool:
    """Equal to the bit; NaN is equal to NaN."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor | np.ndarray | float):
        one, two = np.asarray(a), np.asarray(b)
        return one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind in "fc")
    return type(a) is type(b) and bool(a == b)
