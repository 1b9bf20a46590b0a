# ruff: noqa: F401 - __all__ is made of _PUBLIC, which ruff does not follow
"""diffx: a suite of conditional diffusion models.

Importing this package costs nothing: public names are loaded when first used (PEP 562), so that the command line
answers without torch. The same names, and more, are in the modules named below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffx.version import __version__

_PUBLIC = {
    "diffx.condition": ("Class", "Condition", "Conditioning", "Scalar", "Spatial", "Tokens"),
    "diffx.config": ("DataConfig", "RunConfig", "SampleConfig", "TrainConfig", "option"),
    "diffx.errors": ("DataError", "DiffxError", "ExtraError", "PluginError", "UsageError"),
    "diffx.guide": ("autoguidance", "cfg", "keep", "posterior"),
    "diffx.likelihood": ("elbo", "log_prob"),
    "diffx.nets": ("AutoencoderKL", "DiT", "Model", "UNet"),
    "diffx.noise": ("Noise",),
    "diffx.pipeline": ("Batch", "Pipeline"),
    "diffx.plan": ("Plan", "make_plan"),
    "diffx.plugins.hookspecs": ("hookimpl",),
    "diffx.predict": ("Denoiser", "JointDenoiser"),
    "diffx.process": ("Categorical", "Gaussian", "Geodesic", "Masked", "Product"),
    "diffx.sampling": ("sample",),
    "diffx.schedule": ("EDM", "VE", "Cosine", "RectifiedFlow"),
    "diffx.train": ("fit",),
}
_MODULE = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *_MODULE]

if TYPE_CHECKING:
    from diffx.condition import Class, Condition, Conditioning, Scalar, Spatial, Tokens
    from diffx.config import DataConfig, RunConfig, SampleConfig, TrainConfig, option
    from diffx.errors import DataError, DiffxError, ExtraError, PluginError, UsageError
    from diffx.guide import autoguidance, cfg, keep, posterior
    from diffx.likelihood import elbo, log_prob
    from diffx.nets import AutoencoderKL, DiT, Model, UNet
    from diffx.noise import Noise
    from diffx.pipeline import Batch, Pipeline
    from diffx.plan import Plan, make_plan
    from diffx.plugins.hookspecs import hookimpl
    from diffx.predict import Denoiser, JointDenoiser
    from diffx.process import Categorical, Gaussian, Geodesic, Masked, Product
    from diffx.sampling import sample
    from diffx.schedule import EDM, VE, Cosine, RectifiedFlow
    from diffx.train import fit


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'diffx' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
