"""What of mri_synth's inputs can be checked in a moment: that files and folders are there, and options go together."""

from __future__ import annotations

from diffx.errors import DataError, UsageError

from ..bids import check_file, check_folder
from ..header import header_of
from ..translate.inputs import check_inputs as check_translate
from .config import PLUGIN, VOXELS, WEIGHTS, SynthConfig
from .handover import translate_config

_ON_A_FOLDER = {  # what data.root= is for
    "train": "train on",
    "adapt": "learn a scanner from",
    "evaluate": "compare with",
    "train_measures": "train the measures on",
}


def check_inputs(cfg: SynthConfig) -> None:
    """Every path that the task will read is there and of the right kind, and its options go together.

    Nothing is read but names and headers of weights, and neither torch nor nibabel is imported.

    Raises:
        UsageError: options that do not go together, or are missing.
        DataError: a file, a folder or weights that are not there.
    """
    if cfg.task == "translate":
        check_translate(translate_config(cfg))
        return
    if cfg.voxel != VOXELS[0] and cfg.task != "sample":
        raise UsageError(f"voxel={cfg.voxel} goes with task=sample; task={cfg.task} works at {VOXELS[0]} mm")
    if cfg.task in ("inpaint", "superres"):
        check_restoring(cfg, cfg.task == "inpaint")
    elif cfg.task in _ON_A_FOLDER:
        if not cfg.data.root:
            raise UsageError(f"data.root= says which BIDS folder of T1w scans to {_ON_A_FOLDER[cfg.task]}")
        check_folder(cfg.data.root)
    if cfg.task == "average":  # the core's, of a run
        return
    for source in _weights(cfg):
        header_of(source, PLUGIN)
    if cfg.task == "evaluate":
        header_of(cfg.evaluate.measures, PLUGIN, "measures")


def check_restoring(cfg: SynthConfig, lesions: bool) -> None:
    """``data.*`` of task=inpaint (with lesions) and task=superres. Raises UsageError, DataError."""
    data = cfg.data
    if bool(data.file) == bool(data.root):
        raise UsageError("data.file= names one T1w scan, or data.root= a BIDS folder of them: give one of the two")
    if data.root:
        if data.mask or data.brain:
            raise UsageError("data.mask= and data.brain= go with data.file=; a BIDS folder has its own masks")
        check_folder(data.root)
        return
    if lesions and not data.mask:
        raise UsageError("data.mask= names the mask of what is to be filled in data.file=")
    if data.mask and not lesions:
        raise UsageError("data.mask= goes with task=inpaint; task=superres takes the brain mask, data.brain=")
    for key, path in (("data.file", data.file), ("data.mask", data.mask), ("data.brain", data.brain)):
        if path:
            _check(key, path)


def _check(key: str, path: str) -> None:
    try:
        check_file(path)
    except DataError as error:
        raise DataError(f"{key}={error}") from None


def _weights(cfg: SynthConfig) -> list[str]:
    """The weights that the task reads: an id, a file or a run folder each."""
    named: list[str | None] = [cfg.from_]
    if cfg.task in ("sample", "evaluate", "inpaint", "superres", "adapt", "train_measures"):
        named = [cfg.from_ or WEIGHTS]
    if cfg.task in ("sample", "evaluate"):
        named.append(cfg.sample.weak if cfg.sample.autoguidance != 1 else None)
        named += [*(cfg.sample.stages or []), *(cfg.sample.weak_stages or [])]
        named.append(cfg.sample.fine if cfg.voxel != VOXELS[0] else None)
    if cfg.task == "train" and cfg.stage:
        named.append(cfg.pose)
    return [name for name in named if name]
