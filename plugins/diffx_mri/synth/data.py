"""Scans of a BIDS folder as latents, encoded once and kept in the user's cache folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffx.data import assign, cache_key, is_held_out
from diffx.errors import UsageError
from diffx.io.cache import cache_path
from diffx.plugins.weights import resolve_weights

from ..bids import find_scans, tables_of
from ..codec import BrainCodec
from ..geometry import Geometry
from ..normative import FEWEST
from ..pack import FORMAT, Packed, pack, read_latents
from ..ventricles import scores
from .cascade.crops import Crops
from .cascade.stages import STAGES
from .config import AGES, SynthConfig
from .segmentation.kept import STEP
from .volumetry import measure_ventricles, ventricle_meter, with_response

# A head with skin, ears and some neck is 19 x 24 x 19 cm; it may be a little larger than the template's.
HEAD = Geometry(box=(96, 120, 96), canvas=(112, 136, 112))


class Latents:
    """Items ``{"x": [3+K, *grid] float32, "age": years or None, "sex": "F", "M" or None}`` of one split.

    x is the latent less what is expected of that age, sex and size of the ventricles: the process learns how people
    differ from it.
    """

    def __init__(self, packed: Packed, index: list[int], codec: BrainCodec):
        self.packed, self.index, self.codec = packed, index, codec

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> dict[str, Any]:
        row = self.packed.rows[self.index[number]]
        x = self.packed.z[self.index[number]].float() - _expected(self.codec, [row])[0]
        return {"x": x, "age": row["age"], "sex": row["sex"]}


def _expected(codec: BrainCodec, rows: list[dict[str, Any]]) -> Tensor:
    ages, sexes, sizes = [row["age"] for row in rows], [row["sex"] for row in rows], None
    if codec.people is not None and codec.sized:
        sizes = scores(ages, sexes, [row.get("ventricles") for row in rows], codec.people)
    return codec.expected(ages, sexes, sizes)


def cache_folder(cfg: SynthConfig) -> Path:
    """Where the encoded scans of this configuration lie: one folder for each set of files, codec and kind of head."""
    scans, _ = find_scans(_root(cfg))
    files = [path for scan in scans for path in (scan.path, scan.mask)]
    files = [codec_source(cfg), *tables_of(_root(cfg)), *files]
    key = cache_key(FORMAT, cfg.data.head, cfg.data.components, files=files)
    return cache_path(cfg.data.cache, key, plugin="mri_synth")


def codec_source(cfg: SynthConfig) -> Path | None:
    """The weights whose codec encodes the scans: those of ``from=``; None: a codec is fitted to the scans."""
    return resolve_weights(cfg.from_, "mri_synth") if cfg.from_ else None


def prepare(
    cfg: SynthConfig,
    log: Callable[[str], None] = lambda text: None,
    fail: Callable[[str, str], None] = lambda item, reason: None,
    flag: Callable[[str], None] = lambda text: None,
) -> tuple[BrainCodec, Packed]:
    """Codec and latents of ``data.root``, encoded now unless that was done before.

    Scans without a mask derivative are masked with the shipped atlas. Raises DataError, UsageError.
    """
    folder = cache_folder(cfg)
    source = codec_source(cfg)
    codec = BrainCodec.of_weights(source) if source else None
    log(f"encoded scans are kept in {folder}")
    atlas = codec or shipped_codec()
    codec_file, latents = pack(
        _root(cfg),
        folder,
        codec=codec,
        mask_codec=atlas,
        geometry=HEAD if cfg.data.head else None,
        components=cfg.data.components,
        whole_head=cfg.data.head,
        log=log,
        fail=fail,
        flag=flag,
    )
    packed = read_latents(latents)
    assign(packed.rows, cfg.data.split, cfg.seed)
    for row in packed.rows:
        if row["age"] is not None and not AGES[0] <= row["age"] <= AGES[1]:
            if not row["flipped"]:
                log(f"{row['subject']}: age {row['age']:g} is outside {AGES[0]} to {AGES[1]} years; taken as unknown")
            row["age"] = None
    codec = BrainCodec.load(codec_file)
    read = ventricle_meter(codec, log)
    measure_ventricles(packed, codec, read, folder, log)
    return _with_people(codec, packed, read, log), packed


def _with_people(
    codec: BrainCodec, packed: Packed, read: Callable[[np.ndarray], float] | None, log: Callable[[str], None]
) -> BrainCodec:
    """The codec with trend and modes of the training scans, unless it brings its own; each time the same."""
    if codec.people is not None:
        return codec
    chosen = [i for i in packed.select("train") if not packed.rows[i]["flipped"]]
    rows = [packed.rows[i] for i in chosen]
    volumes = [row["ventricles"] for row in rows]
    codec = codec.with_people(
        packed.z[chosen],
        [row["age"] for row in rows],
        [row["sex"] for row in rows],
        None if None in volumes else volumes,
    )
    if codec.people is None:
        log(f"fewer than {FEWEST} scans of known age and sex: what these explain is left to the network")
    else:
        x = _expected(codec, rows)
        z = packed.z[chosen].float()
        shape, rest = (1 - ((z - x)[:, c].square().sum() / z[:, c].square().sum()) for c in (slice(3), slice(3, None)))
        told = "age and sex"
        if read and codec.sized:
            codec, told = with_response(codec, read), "age, sex and ventricles"
        log(f"{told} explain {shape:.1%} of shape and {rest:.1%} of appearance, by regression")
    return codec


def stage_crops(cfg: SynthConfig, **tell: Any) -> tuple[dict[str, Crops], dict[str, Any]]:
    """Crops of the scans of ``data.root`` for the stage ``stage``, by split, and the facts its weights need.

    `tell`: what is told of the work, as `read_posed` has it. Raises DataError, UsageError.
    """
    from .evaluate.sets import posed_scans

    codec = BrainCodec.of_weights(resolve_weights(cfg.pose, "mri_synth"))
    stage = STAGES[cfg.stage or ""]
    posed = posed_scans(cfg, codec, spacing=stage.source, **tell)
    images = torch.from_numpy(posed.images)
    rows = [{"age": scan.age, "sex": scan.sex} for scan in posed.scans]
    held = [is_held_out(scan.split) for scan in posed.scans]
    made: dict[str, Crops] = {}
    scale = None
    for split, wanted in (("train", False), ("val", True)):
        chosen = [i for i, out in enumerate(held) if out == wanted]
        some = ([images[i] for i in chosen], [rows[i] for i in chosen])
        made[split] = Crops(*some, stage, cfg.data.crop, cfg.seed, scale, STEP, augment=not wanted)
        scale = made[split].scale
    return made, {"scale": scale, "template": codec.pose_digest}


def shipped_codec() -> BrainCodec | None:
    """The codec of the shipped weights, for its head atlas; None in an installation without them."""
    from diffx.errors import DataError

    from .config import WEIGHTS

    try:
        return BrainCodec.of_weights(resolve_weights(WEIGHTS, "mri_synth"))
    except DataError:
        return None


def _root(cfg: SynthConfig) -> str:
    if not cfg.data.root:
        raise UsageError("data.root= says which BIDS folder of T1w scans to train on")
    return cfg.data.root
