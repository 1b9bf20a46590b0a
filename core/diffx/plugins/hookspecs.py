"""The hooks: everything a plugin can say to diffx. It must answer three; for the others the core has an answer.

A plugin is a module with functions of these names, each marked `@diffx.hookimpl`. A function may leave out arguments
that it does not need. `x` is the clean state: float32, scaled to about unit variance; int64 where it is categories; or
a mapping of such leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from diffx.config import RunConfig

hookspec = pluggy.HookspecMarker("diffx")
hookimpl = pluggy.HookimplMarker("diffx")

# -- must ------------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def diffx_config() -> type[RunConfig]:  # type: ignore[empty-body]
    """The dataclass of the plugin's options; it inherits `diffx.RunConfig`. Imports nothing heavy."""


@hookspec(firstresult=True)
def diffx_data(cfg: RunConfig, split: str) -> Any:
    """The data of a split ("train", "val", "test"), map-style: `len(data)`, and `data[i]`, a dict with the state "x".

    "x" is a tensor [C, *S], whole numbers where it is categories, or a dict of such leaves. The other entries (tensors,
    numbers, text; None or NaN: not known) are the fields that condition it.
    """


@hookspec(firstresult=True)
def diffx_conditioning(cfg: RunConfig, spec: Any) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """One conditioner for each field that conditions the state: {"age": Scalar(18, 90), ...}, of `diffx.condition`."""


# -- may: the first of plugin, extensions, core that does not return None answers ------------------------------------


@hookspec(firstresult=True)
def diffx_denoiser(cfg: RunConfig, spec: Any, conditioning: Any) -> Any:
    """The network, a `torch.nn.Module`, for a state of this spec; or a whole denoiser, such as a `JointDenoiser`.

    It is told what the conditioners make: `conditioning.vector`, `.tokens` and `.spatial` are the widths, 0 for none.
    The core's answer: the network `net.name`.
    """


@hookspec(firstresult=True)
def diffx_process(cfg: RunConfig, spec: Any) -> Any:
    """What noise does to the state: a `diffx.process.Process`. The core's answer: a Gaussian process."""


@hookspec(firstresult=True)
def diffx_plan(cfg: RunConfig, process: Any) -> Any:
    """The plan that `sample.*` asks for. The core's answer: what the process makes of the solver and the grid."""


@hookspec(firstresult=True)
def diffx_write(cfg: RunConfig, samples: Any, folder: Path) -> Iterable[Path]:  # type: ignore[empty-body]
    """Write samples into a folder in the field's own format; the files written.

    The core's answer: .npy, with a .png of each image; .npz where the state is mixed.
    """


@hookspec(firstresult=True)
def diffx_metrics(cfg: RunConfig, run: Any, samples: Any) -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Final figures of samples by stable name, each beside its trivial baseline. The core's answer: mean and spread."""


@hookspec(firstresult=True)
def diffx_report(cfg: RunConfig, run: Any, samples: Any) -> bool | None:
    """Add pictures and tables of samples to `run.report`; True when done.

    The core's answer: how they were drawn, and a gallery: waves, images, planes of volumes, histograms of columns.
    """


@hookspec
def diffx_tasks() -> Mapping[str, Callable[[Any], None]]:  # type: ignore[empty-body]
    """The former way to bring tasks, {"dock": function of the run, ...}, accepted until API 2: see the manifest."""


# -- collected from the plugin and every extension -------------------------------------------------------------------


@hookspec
def diffx_samplers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Solvers for `sample.sampler=`: {"name": (schedule, times, eta) -> Plan}; or a class with `from_options`."""


@hookspec
def diffx_schedules() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Noise schedules for `process.schedule=`: {"name": () -> Schedule}."""


@hookspec
def diffx_networks() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Networks for `net.name=`: {"name": (cfg, spec, conditioning) -> module}, as in diffx_denoiser."""


@hookspec
def diffx_doctor() -> Iterable[tuple[str, bool, str]]:  # type: ignore[empty-body]
    """Checks of the installation for `diffx doctor plugin=...`: (name, whether it is well, one line)."""


@hookspec
def diffx_step(run: Any, step: int, values: Mapping[str, Any], recorded: bool) -> None:
    """Called after every training step with its {"loss": ..., "grad_norm": ..., "lr": ...}, and after a validation.

    recorded: the values are numbers, and a line of metrics.jsonl; the loss is the mean since the last such line. Else
    loss and grad_norm are tensors on the training device, and reading one (`float(loss)`) makes the device wait.
    """


@hookspec
def diffx_finish(run: Any, error: BaseException | None) -> None:
    """Called once when a run ends, well or not."""


MUST = ("diffx_config", "diffx_data", "diffx_conditioning")
HOOKS = {name: value for name, value in globals().items() if name.startswith("diffx_")}
MAPPINGS = {name for name, value in HOOKS.items() if str(value.__annotations__["return"]).startswith("Mapping")}
