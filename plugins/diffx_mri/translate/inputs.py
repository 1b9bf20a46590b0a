"""What of mri_translate's inputs can be checked in a moment: that files are there, and that options go together."""

from __future__ import annotations

from pathlib import Path

from diffx.errors import DataError, UsageError
from diffx.io.home import expanded
from diffx.plugins.weights import check_safetensors

from ..bids import check_folder
from ..contrast import Contrast, check_known, contrasts_in, find_contrast
from ..header import header_of
from .config import PLUGIN, WEIGHTS, TranslateConfig

_ON_A_FOLDER = {"translate": "holds the scans", "pack": "to pack"}


def check_inputs(cfg: TranslateConfig) -> None:
    """Every path that the task will read is there and of the right kind, and its options go together.

    Nothing is read but names and headers of weights, and neither torch nor nibabel is imported.

    Raises:
        UsageError: options that do not go together, or are missing.
        DataError: a file, a folder or weights that are not there; no scan of the source contrast.
    """
    if cfg.task == "average":  # the core's, of a run
        return
    _check_contrasts(cfg)
    root = cfg.data.root
    if not root:
        what = _ON_A_FOLDER.get(cfg.task)
        raise UsageError(f"data.root= says which BIDS folder {what}" if what else
                         "data.root= says which BIDS folder, or which packed file, to read")  # fmt: skip
    if expanded(root).is_file() and cfg.task not in _ON_A_FOLDER:
        check_safetensors(expanded(root))
    else:
        check_folder(expanded(root))
    if cfg.task == "train" and not cfg.regression and not cfg.from_:
        raise UsageError("from= names the regression whose residual to learn: train one first, with regression=true")
    if cfg.task in ("translate", "evaluate") or cfg.from_:
        facts = header_of(cfg.from_ or WEIGHTS, PLUGIN)
        if cfg.source and cfg.target and "contrasts" in facts:
            check_known(cfg.source, cfg.target, facts["contrasts"])
    if cfg.task == "translate":
        check_source(root, Contrast.of(str(cfg.source)))


def _check_contrasts(cfg: TranslateConfig) -> None:
    if cfg.task == "translate":
        for name in ("source", "target"):
            if not getattr(cfg, name):
                raise UsageError(f"{name}= says which contrast, as in source=FLAIR target=T1ce")
    if cfg.task == "evaluate" and bool(cfg.source) != bool(cfg.target):
        raise UsageError("give both source= and target=, or neither for every direction")
    named = [Contrast.of(name).name for name in (cfg.source, cfg.target) if name]
    if len(named) == 2 and named[0] == named[1]:
        raise UsageError(f"source and target are both {named[0]}")
    if cfg.task in ("train", "pack") and len({Contrast.of(name).name for name in cfg.data.contrasts}) < 2:
        raise UsageError("data.contrasts: translation takes at least two different contrasts")


def check_source(root: str | Path, contrast: Contrast) -> None:
    """Raises DataError where a BIDS folder holds no scan of the contrast, and names what it holds."""
    if not find_contrast(root, contrast):
        found = ", ".join(contrasts_in(root)) or "no NIfTI file"
        raise DataError(f"{root}: no {contrast.name} scan in it (found: {found})")
