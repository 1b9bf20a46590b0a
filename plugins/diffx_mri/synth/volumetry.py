"""Tissues and ventricle volumes, read by the shipped segmenter from decoded brains: of training scans, and of what is
drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from torch import Tensor

from diffx.errors import DataError
from diffx.io.files import write_json

from ..codec import BrainCodec
from ..pack import Packed
from ..ventricles import response
from .segmentation.segment import Segmenter, litres
from .segmentation.tissues import VENTRICLES

_CLOSE = 0.02  # of the logarithm of a volume: near enough to what was asked for
_TRIES = 4


def segmenter_for(codec: BrainCodec, log: Callable[[str], None] = lambda text: None) -> Segmenter | None:
    """The shipped segmenter, a third of a second a brain on one core.

    None, and a line in the log, where it does not fit what the codec decodes or is not there.
    """
    try:
        if codec.whole_head:
            raise DataError("the segmenter is for skull-stripped brains")
        if codec.tone is None:
            raise DataError("no curve makes the contrast that the segmenter knows of that of the adapted site")
        found = Segmenter.load()
        if found.shape != codec.geometry.canvas:
            raise DataError(f"the segmenter is for a grid of {found.shape}, the codec has {codec.geometry.canvas}")
    except DataError as error:
        log(f"tissues are not segmented: {error}")
        return None
    return found


def ventricle_volume(tissues: np.ndarray, affine: np.ndarray) -> float:
    """The ml of ventricle in a segmentation [X, Y, Z] on voxels of that affine."""
    return 1000 * float(litres(tissues, affine)[VENTRICLES - 1])


def ventricle_meter(codec: BrainCodec, log: Callable[[str], None]) -> Callable[[np.ndarray], float] | None:
    """What reads the ml of ventricle in a decoded brain [*canvas]; None where `segmenter_for` has none."""
    segment, tone = segmenter_for(codec, log), codec.tone
    if segment is None or tone is None:
        return None
    return lambda brain: ventricle_volume(segment(tone.home(brain)), codec.affine)


def with_ventricles(
    decode: Callable[[float], Tensor], told: float, wanted: float, slope: float, read: Callable[[np.ndarray], float]
) -> Tensor:
    """The brain [*canvas] whose ventricles have the volume `wanted`, by secants in the logarithm of the volume.

    Args:
        decode: from the size that the trend is told to a brain.
        told: the size to begin with.
        wanted: ml.
        slope: of the log volume on that size, of mean brains.
        read: the ml of ventricle in a brain.
    """
    best: tuple[float, Tensor] | None = None
    before: tuple[float, float] | None = None
    for _ in range(_TRIES):
        brain = decode(told)
        off = math.log(max(read(brain.numpy()), 0.1) / wanted)
        if best is None or abs(off) < abs(best[0]):
            best = off, brain
        if abs(off) < _CLOSE:
            break
        if before is not None and told != before[0]:
            slope = min(max((off - before[1]) / (told - before[0]), slope / 3), slope * 3)
        before, told = (told, off), told - off / slope
    assert best is not None
    return best[1]


def with_response(codec: BrainCodec, read: Callable[[np.ndarray], float]) -> BrainCodec:
    """The codec, knowing how the ventricles of its mean brains follow the sizes they are told (`ventricles.response`).

    Read off 30 mean brains: three ages of the population, both sexes, sizes from -2 to 2.
    """
    people = codec.people
    assert people is not None
    low, middle, high = (float(np.quantile(people["ages"], q)) for q in (0.1, 0.5, 0.9))
    asked = list(product((low, middle, high), ("F", "M"), (-2.0, -1.0, 0.0, 1.0, 2.0)))
    volumes = [read(codec.decode(codec.expected([a], [s], [v]))[0].cpu().numpy()) for a, s, v in asked]
    ages, sexes, told = zip(*asked, strict=True)
    found = {**people["ventricles"], "response": response(ages, sexes, told, volumes, people)}
    return codec.with_facts(people={**people, "ventricles": found})


def measure_ventricles(
    packed: Packed, codec: BrainCodec, read: Callable[[np.ndarray], float] | None, folder: Path,
    log: Callable[[str], None],
) -> None:  # fmt: skip
    """Set "ventricles" of every row to their ml, None where they cannot be read; done once and kept in `folder`.

    What the codec makes of a scan is measured, not the scan, since samples are decoded too.
    """
    file = folder / "ventricles.json"
    known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if read and file.is_file() else {}
    before = len(known)
    if read and not known:
        log("measuring ventricles")
    for z, row in zip(packed.z, packed.rows, strict=True):
        name = f"{row['subject']}_{row['session']}"  # a mirror image has the same
        if read and name not in known:
            known[name] = round(read(codec.decode(z[None].float())[0].cpu().numpy()), 3)
        row["ventricles"] = known.get(name) or None
    if len(known) > before:
        write_json(file, known)
