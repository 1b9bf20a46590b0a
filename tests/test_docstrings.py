"""Every public name of the core says what it is: shapes, units, ranges, errors, and where it comes from."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

MODULES = (
    *("schedule", "process", "plan", "predict", "guide", "likelihood", "nets", "condition", "metrics", "train"),
    *("sampling", "sampling.correct", "sampling.adaptive", "sampling.inversion", "tiling.windows", "tiling.blend"),
    *("noise", "nets.model", "data.spec", "io.checkpoint"),
)
#: Where a name stands for somebody's method, and its docstring says whose.
SOURCED = {
    "schedule": "Cosine EDM Linear RectifiedFlow SubVP ZeroTerminal Shifted Sigmoid lognormal",
    "process": "Categorical Geodesic Masked edm_weight min_snr_weight sigmoid_weight",
    "guide": "autoguidance cfg classifier energy keep posterior",
    "likelihood": "log_prob elbo",
    "nets": "AutoencoderKL DiT UNet add_lora",
    "metrics": "frechet_distance frechet_infinity kid prdc crps score_interval mmd2 bootstrap",
    "noise": "philox4x32",
    "tiling.windows": "windowed",
}


def public(module: str) -> dict[str, object]:
    """The functions and classes that a module of the core offers."""
    found = importlib.import_module(f"diffx.{module}")
    named = getattr(found, "__all__", None)
    names = named if named is not None else [n for n in vars(found) if not n.startswith("_")]
    values = {name: getattr(found, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and (value.__module__ == found.__name__ or (named is not None and value.__module__.startswith("diffx.")))
    }


@pytest.mark.parametrize("module", MODULES)
def test_public_names_say_what_they_are(module) -> None:
    silent = []
    for name, value in public(module).items():
        if not (value.__doc__ or "").strip() or value.__doc__.startswith(f"{name}("):  # what a dataclass writes itself
            silent.append(name)
        if not inspect.isclass(value):
            continue
        for method, function in vars(value).items():
            bare = function.__func__ if isinstance(function, classmethod | staticmethod) else function
            if not inspect.isfunction(bare) or method.startswith("_"):
                continue
            if not inspect.getdoc(getattr(value, method)):  # of a base class's method will do
                silent.append(f"{name}.{method}")
    assert not silent, f"diffx.{module}: no docstring on {', '.join(silent)}"


@pytest.mark.parametrize("module", SOURCED)
def test_methods_name_their_source(module) -> None:
    names = public(module)
    without = [n for n in SOURCED[module].split() if not re.search(r"\b(19|20)\d\d[a-z]?\b", names[n].__doc__ or "")]
    assert not without, f"diffx.{module}: no paper is named in {', '.join(without)}"


def test_solvers_and_grids_name_their_source() -> None:
    """A paper, the peer that gave it its name, or the one it is a case of."""
    from diffx.plan import GRIDS, SOLVERS

    for name, function in {**SOLVERS, **GRIDS}.items():
        text = getattr(function, "func", function).__doc__ or ""
        assert name == "uniform" or re.search(r"\b(19|20)\d\d[a-z]?\b|k-diffusion|``\w+``|:func:", text), name
