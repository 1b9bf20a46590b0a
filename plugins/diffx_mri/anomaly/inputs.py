"""Which scans a task looks at, and what of them can be checked in a moment: names, files, options that go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffx.data import is_held_out
from diffx.errors import DataError, UsageError
from diffx.io.home import expanded
from diffx.plugins.weights import check_safetensors

from ..bids import Name, check_file, check_folder, find_lesions, find_scans, images, sessions
from ..contrast import Contrast
from ..header import header_of
from .config import PLUGIN, WEIGHTS, AnomalyConfig

ELLIPSOIDS = "ellipsoids"  # evaluate.simulate= without a folder of masks
_ON_A_FOLDER = {"train": "to train on", "calibrate": "of healthy scans to count in", "evaluate": "to evaluate on",
                "pack": "to pack"}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One scan: ``path``, its BIDS ``name`` and the ``folder`` of what is made of it; ``mask`` of the brain in which to
    look, ``lesion`` and ``brain`` mask where there are; ``subject`` and ``split``, None where nobody tells."""

    path: Path
    name: Name
    folder: Path
    mask: Path | None = None
    lesion: Path | None = None
    brain: Path | None = None
    subject: str | None = None
    split: str | None = None


def check_inputs(cfg: AnomalyConfig) -> None:
    """Every path that the task will read is there and of the right kind, and its options go together.

    Nothing is read but names and headers of weights, and neither torch nor nibabel is imported.

    Raises:
        UsageError: options that do not go together, or are missing.
        DataError: a file, a folder or weights that are not there.
    """
    if cfg.task == "average":  # the core's, of a run
        return
    root, packed = cfg.data.root, cfg.task == "train" and cfg.data.root and expanded(cfg.data.root).is_file()
    if cfg.task == "detect":
        if cfg.image and root:
            raise UsageError("image= names one scan, data.root= a BIDS folder of them: give one of the two")
        if cfg.mask and not cfg.image:
            raise UsageError("mask= goes with image=; a BIDS folder has its masks in derivatives/")
    elif not root:
        raise UsageError(f"data.root= says which BIDS folder {_ON_A_FOLDER.get(cfg.task, 'to read')}")
    for key, path in (("image", cfg.image), ("mask", cfg.mask), ("calibration", cfg.calibration)):
        _check(key, path, check_file)
    if packed:
        check_safetensors(expanded(str(root)))
    elif root:
        check_folder(root)
    if cfg.task in ("train", "pack"):
        if not cfg.contrast:
            raise UsageError("contrast= says which scans of the folder to learn, as in contrast=FLAIR")
        return
    if cfg.evaluate.simulate not in (None, ELLIPSOIDS) and not any(shapes_in(cfg.evaluate.simulate)):
        raise DataError(f"evaluate.simulate={cfg.evaluate.simulate}: no folder with NIfTI masks, nor `{ELLIPSOIDS}`")
    contrast = contrast_of(cfg)
    weights_for(contrast, cfg.from_)
    for other in cfg.evaluate.others if cfg.task == "evaluate" else ():
        weights_for(contrast, other)


def weights_for(contrast: str, source: str | None = None) -> str:
    """The id of the shipped weights of a contrast; or ``source``, where that is given.

    Raises:
        UsageError: no weights know the contrast.
        DataError: weights that are missing, damaged or of another contrast.
    """
    if source is None and contrast not in WEIGHTS:
        raise UsageError(f"contrast={contrast}: there are weights for {' and '.join(WEIGHTS)}; from= names your own")
    found = source or WEIGHTS[contrast]
    facts = header_of(found, PLUGIN)
    known = facts.get("contrast") or facts["config"].get("contrast")
    if known and known != contrast:
        raise DataError(f"{found}: weights of {known}, and the scan is {contrast}")
    return found


def contrast_of(cfg: AnomalyConfig) -> str:
    """FLAIR, T1w or what ``contrast=``, the file's name or the scans of the folder say.

    Raises:
        UsageError: nothing says it, or two say different things.
    """
    if cfg.image:
        return told(cfg.image, cfg.contrast)
    if cfg.contrast:
        return Contrast.of(cfg.contrast).name
    if not cfg.data.root:
        return "T1w"  # of the example
    found = _contrasts_in(cfg.data.root)
    if len(found) == 1:
        return found[0]
    held = " and ".join(found) if found else f"neither {' nor '.join(WEIGHTS)}"
    raise UsageError(f"data.root={cfg.data.root} holds {held}; contrast= says which to look at")


def told(path: str | Path, asked: str | None = None) -> str:
    """The contrast of a file, by its name or by what was asked for. Raises UsageError as :func:`contrast_of`."""
    name = Name.parse(path)
    own = _names(name.suffix)
    if own and name.get("ce"):
        own = f"{own} after contrast agent"
    if asked is None:
        if own in WEIGHTS:
            return own
        said = f"shows {own}" if own else f"does not tell {' or '.join(WEIGHTS)}"
        raise UsageError(f"image={path}: the name {said}; contrast= says what it is")
    wanted = Contrast.of(asked).name
    if own and own != wanted:
        raise UsageError(f"contrast={asked}, but {Path(path).name} is named as {own}")
    return wanted


def requests(cfg: AnomalyConfig, contrast: str, log: Callable[[str], None] = lambda text: None) -> list[Request]:
    """The scans of ``image`` or ``data.root``; `log` is told what a folder does not tell. Raises DataError."""
    if cfg.image:
        path = expanded(cfg.image)
        *parts, last = Name.parse(path).stem.split("_")
        parts = parts if _names(last) else [*parts, last]
        return [Request(path, Name.of(parts, contrast, ".nii.gz"), Path(), expanded(cfg.mask) if cfg.mask else None)]
    scans, problems = find_scans(str(cfg.data.root), contrast)
    lesions, several = find_lesions(str(cfg.data.root), scans)
    for problem in (*problems, *several):
        log(problem)
    return [
        Request(
            scan.path,
            Name.parse(scan.path).but(extension=".nii.gz"),
            Path(*filter(None, (scan.subject, scan.session)), "anat"),
            scan.mask if cfg.data.masks else None,
            lesions.get((scan.subject, scan.session)),
            scan.mask,
            scan.subject,
            scan.split,
        )
        for scan in scans
    ]


def held_out(asked: list[Request]) -> list[Request]:
    """Those that participants.tsv keeps from training; all of them where it tells of none."""
    return [one for one in asked if is_held_out(one.split)] or asked


def _names(suffix: str) -> str | None:
    """FLAIR or T1w, where a file's suffix says so: T1w, t1, flair."""
    return next((c for c in WEIGHTS if suffix.upper() in (c.upper(), c.removesuffix("w").upper())), None)


def _contrasts_in(root: str) -> list[str]:
    found = set()
    for session, folder in sessions(root).items():
        for _, name in images(session, folder, lambda name: name.suffix in WEIGHTS and not name.get("ce"))[0]:
            found.add(name.suffix)
    return sorted(found)


def shapes_in(folder: str) -> list[Path]:
    """The NIfTI files of a folder of masks, in order."""
    return sorted(path for path in expanded(folder).glob("**/*.nii*") if path.is_file())


def _check(key: str, path: str | None, check: Callable[[str], None]) -> None:
    if path:
        try:
            check(path)
        except DataError as error:
            raise DataError(f"{key}={error}") from None
