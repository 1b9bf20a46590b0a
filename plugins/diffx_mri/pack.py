"""From a BIDS folder to what training reads: one codec file and one file of latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from diffx.data import is_held_out
from diffx.data.packed import pack_arrays, read_arrays
from diffx.errors import DataError
from diffx.io import checkpoint

from .align import Brain, prepare, read_mask
from .bids import Scan, find_scans
from .brain_extraction import extract_brain
from .codec import BrainCodec
from .fit import fit_codec, head_template
from .geometry import Geometry
from .volume import Volume, load

FORMAT = "brain latents 2"
_CHUNK = 8


@dataclass
class Packed:
    """Latents `z` [N, 3+K, *grid] float16 and, per item: subject, session, age (years or None), sex, split, flipped."""

    z: torch.Tensor
    rows: list[dict]

    def select(self, split: str) -> list[int]:
        """Indices of "train" (train, or not told) or "val" (everything else: val, test, dev, holdout, ...)."""
        return [i for i, row in enumerate(self.rows) if is_held_out(row["split"]) == (split != "train")]


def pack(
    root: str | Path,
    folder: str | Path,
    codec: BrainCodec | None = None,
    mask_codec: BrainCodec | None = None,
    geometry: Geometry | None = None,
    components: int = 24,
    reference: Volume | None = None,
    whole_head: bool = False,
    log: Callable[[str], None] = print,
    fail: Callable[[str, str], None] = lambda item, reason: None,
    flag: Callable[[str], None] = lambda text: None,
) -> tuple[Path, Path]:
    """Encode every T1w scan under a BIDS folder; returns (codec.safetensors, latents.safetensors) in `folder`.

    Without `codec` one is fitted to the scans not held out (participants.tsv column split). Scans without a mask
    derivative get a quick mask from `mask_codec` (or `codec`). Killed and started again with the same folder it goes on
    where it was. `fail(item, reason)` is told of scans that could not be used, the rest goes on; `flag(text)` of masks
    whose header disagrees with the scan's; both again where all is there already. Raises DataError when fewer than 8
    can be used.
    """
    folder = Path(folder)
    codec_file, latents_file, partial = (
        folder / n for n in ("codec.safetensors", "latents.safetensors", "partial.safetensors")
    )
    scans, problems = find_scans(root)
    for problem in problems:
        log(problem)
    if latents_file.is_file() and codec_file.is_file():
        log(f"{latents_file} is already there")
        told = _told(latents_file)
        for item, reason in told["failed"]:
            fail(item, reason)
        for text in told["flagged"]:
            flag(text)
        return codec_file, latents_file
    told, fail, flag = _recording(fail, flag)
    geometry = codec.geometry if codec else geometry or Geometry()
    whole_head = codec.whole_head if codec else whole_head
    names = [_name(scan) for scan in scans]
    done: dict[str, torch.Tensor] = {}
    if codec is None and codec_file.is_file():
        codec = BrainCodec.load(codec_file)
    if codec is not None and partial.is_file():
        done = dict(read_arrays(partial, FORMAT).arrays)
        log(f"resumed: {len(done)} of {len(scans)} scans are encoded")
    todo = [(name, scan) for name, scan in zip(names, scans, strict=True) if name not in done]
    if codec is None:
        chosen = [(name, scan) for name, scan in todo if not is_held_out(scan.split)]
        brains, kept = _prepare_all(chosen, geometry, mask_codec, whole_head, log, fail, flag)
        if len(brains) < 8:
            raise DataError(
                f"{root}: only {len(brains)} usable T1w scans; fitting a codec takes at least 8 (or give a codec)"
            )
        codec, latents = _fit(brains, kept, geometry, components, reference, whole_head, log)
        codec.save(codec_file)
        done.update({name: z.half() for (name, _), z in zip(kept, latents, strict=True)})
        pack_arrays(partial, FORMAT, done, {})
        todo = [item for item in todo if item not in chosen]
    else:
        codec.save(codec_file)
    for first in range(0, len(todo), _CHUNK):
        part = todo[first : first + _CHUNK]
        brains, kept = _prepare_all(part, geometry, mask_codec or codec, whole_head, log, fail, flag)
        if not brains:
            continue
        z, _ = codec.encode(brains)
        done.update({name: item.half() for (name, _), item in zip(kept, z, strict=True)})
        pack_arrays(partial, FORMAT, done, {})
        log(f"encoded {min(first + _CHUNK, len(todo))} of {len(todo)}")
    if not done:
        raise DataError(f"{root}: none of {len(scans)} scans could be encoded")
    order = [(name, scan) for name, scan in zip(names, scans, strict=True) if name in done]
    z = torch.stack([done[name] for name, _ in order])
    rows = [_row(scan, False) for _, scan in order] + [_row(scan, True) for _, scan in order]
    both = torch.cat([z, codec.flip(z.float()).half()])
    about = {"rows": rows, "geometry": geometry.to_dict(), "told": told}
    pack_arrays(latents_file, FORMAT, {"z": both}, about)
    partial.unlink(missing_ok=True)
    log(f"{latents_file}: {tuple(both.shape)}, mirrored copies included")
    return codec_file, latents_file


def read_latents(path: str | Path) -> Packed:
    """Read what `pack` wrote. Raises DataError when the file is missing, damaged or something else."""
    found = read_arrays(path, FORMAT)
    return Packed(found.arrays["z"], found.index["rows"])


def _fit(
    brains: list[Brain], kept: list[tuple[str, Scan]], geometry: Geometry, components: int,
    reference: Volume | None, whole_head: bool, log: Callable[[str], None],
) -> tuple[BrainCodec, torch.Tensor]:  # fmt: skip
    codec, latents, poses = fit_codec(
        brains, geometry, components, reference=reference, whole_head=whole_head, progress=log
    )
    velocities = latents[:, :3] * codec.deviation[:3] + codec.mean[:3]

    def heads():
        for (_, scan), brain, pose, velocity in zip(kept, brains, poses, velocities, strict=True):
            image = load(scan.path)
            mask = read_mask(scan, image, lambda text: None)  # told when the brains were read
            if mask is not None:
                image.data = image.data / np.percentile(image.data[mask.data > 0], 99)
                yield image, mask, brain.shift, pose, velocity

    if not whole_head:
        codec = codec.with_head(*head_template(heads(), geometry))
        log("mean whole head made, for masks of scans that come without")
    return codec, latents


def _prepare_all(
    items: list[tuple[str, Scan]], geometry: Geometry, mask_codec: BrainCodec | None, whole_head: bool,
    log: Callable[[str], None], fail: Callable[[str, str], None], flag: Callable[[str], None],
) -> tuple[list[Brain], list[tuple[str, Scan]]]:  # fmt: skip
    brains, kept, quick = [], [], 0
    for name, scan in items:
        try:
            image = load(scan.path)
            mask = read_mask(scan, image, flag)
            if mask is None:
                if mask_codec is None:
                    raise DataError(f"{scan.path}: no brain mask among the derivatives, and no codec to make one with")
                mask, quick = extract_brain(image, mask_codec), quick + 1
            brains.append(prepare(image, mask, geometry, whole_head))
            kept.append((name, scan))
        except DataError as error:
            log(f"{name}: left out: {error}")
            fail(name, str(error))
    log(f"{len(brains)} of {len(items)} scans read" + (f", {quick} with a quick mask" if quick else ""))
    return brains, kept


def _recording(
    fail: Callable[[str, str], None], flag: Callable[[str], None]
) -> tuple[dict[str, list], Callable[[str, str], None], Callable[[str], None]]:
    """What is told to the two from now on, and two to tell that keep it."""
    told: dict[str, list] = {"failed": [], "flagged": []}

    def failed(item: str, reason: str) -> None:
        told["failed"].append([item, reason])
        fail(item, reason)

    def flagged(text: str) -> None:
        told["flagged"].append(text)
        flag(text)

    return told, failed, flagged


def _told(path: Path) -> dict[str, list]:
    """What was told when a file of latents was made; nothing where it is damaged, which is said when it is read."""
    try:
        return {"failed": [], "flagged": [], **checkpoint.read_meta(path)["index"].get("told", {})}
    except (DataError, KeyError):
        return {"failed": [], "flagged": []}


def _name(scan: Scan) -> str:
    return scan.subject if scan.session is None else f"{scan.subject}_{scan.session}"


def _row(scan: Scan, flipped: bool) -> dict:
    row = {key: value for key, value in asdict(scan).items() if key in ("subject", "session", "age", "sex", "split")}
    return {**row, "flipped": flipped}
