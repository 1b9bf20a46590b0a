"""Ventricle volumes, read by the shipped segmenter from decoded brains: of training scans, and of what is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np

from diffx.errors import DataError
from diffx.io.files import write_json

from ..codec import BrainCodec
from ..pack import Packed
from ..ventricles import response


def ventricle_meter(codec: BrainCodec, log: Callable[[str], None]) -> Callable[[np.ndarray], float] | None:
    """What reads the ml of ventricle in a decoded brain [*canvas], half a second on one core.

    None, and a line in the log, where the shipped segmenter does not fit the codec or is not there.
    """
    from .evaluate.measures import Measures
    from .evaluate.scans import to_bytes
    from .evaluate.segment import litres, segment
    from .evaluate.tissues import VENTRICLES

    try:
        if codec.whole_head:
            raise DataError("the segmenter is for skull-stripped brains")
        if codec.facts.get("site"):
            raise DataError("the segmenter was not tested on the contrast of an adapted site")
        measures = Measures.load()
        measures.check(codec.geometry.canvas)
    except DataError as error:
        log(f"ventricles are not measured: {error}")
        return None

    def read(brain: np.ndarray) -> float:
        return 1000 * float(litres(segment(measures.segmenter, to_bytes(brain)), codec.affine)[VENTRICLES - 1])

    return read


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
