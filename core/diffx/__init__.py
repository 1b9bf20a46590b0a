"""diffx: a suite of conditional diffusion models.

Importing this package costs nothing: public names are loaded when first used (PEP 562), so that the command line
answers without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "hookimpl": "diffx.plugins.hookspecs",
    "option": "diffx.config",
    "RunConfig": "diffx.config",
    "TrainConfig": "diffx.config",
    "SampleConfig": "diffx.config",
    "DataConfig": "diffx.config",
    "DiffxError": "diffx.errors",
    "UsageError": "diffx.errors",
    "PluginError": "diffx.errors",
    "ExtraError": "diffx.errors",
    "DataError": "diffx.errors",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from diffx.config import DataConfig as DataConfig
    from diffx.config import RunConfig as RunConfig
    from diffx.config import SampleConfig as SampleConfig
    from diffx.config import TrainConfig as TrainConfig
    from diffx.config import option as option
    from diffx.errors import DataError as DataError
    from diffx.errors import DiffxError as DiffxError
    from diffx.errors import ExtraError as ExtraError
    from diffx.errors import PluginError as PluginError
    from diffx.errors import UsageError as UsageError
    from diffx.plugins.hookspecs import hookimpl as hookimpl


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'diffx' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
