"""Which scans are held out, and which brains are drawn beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from diffx.data import assign, is_held_out
from diffx.errors import DataError, UsageError
from diffx.evaluation import LEAST as GOALS
from diffx.io.cache import cache_path
from diffx.noise import derive

from ...bids import Scan, find_scans
from ...codec import BrainCodec
from ..config import AGES
from ..model import Person
from .scans import Posed, read_posed

LEAST = 6  # scans on each side: fewer have no spread worth a figure
MOST = 30  # brains drawn where nobody says how many


def check_folder(cfg: Any) -> None:
    """Whether ``data.root`` can be compared with, before anything is read. Raises UsageError, DataError."""
    if not cfg.data.root:
        raise UsageError("data.root= says which BIDS folder of T1w scans to compare with")
    scans, _ = find_scans(cfg.data.root)
    parts(_assigned(scans, cfg), cfg.seed)


def _assigned(scans: list[Scan], cfg: Any) -> list[Scan]:
    """The scans with their split, chosen here where participants.tsv has none, and only ages that are modelled."""
    rows: list[dict[str, Any]] = [{"subject": s.subject, "split": s.split} for s in scans]
    assign(rows, cfg.data.split, cfg.seed)
    return [
        replace(s, split=row["split"], age=s.age if s.age is not None and AGES[0] <= s.age <= AGES[1] else None)
        for s, row in zip(scans, rows, strict=True)
    ]


def read_scans(run: Any, codec: BrainCodec) -> Posed:
    """The scans of ``data.root`` in the pose of the codec; those that cannot be used are listed and left out.

    Ages outside 18 to 90 are taken as unknown. Where participants.tsv has no split, the subjects that task=train with
    this seed holds out are held out here. Raises UsageError, DataError.
    """
    return posed_scans(run.cfg, codec, fail=run.fail, progress=run.progress, log=run.log, flag=run.flag)


def posed_scans(cfg: Any, codec: BrainCodec, **tell: Any) -> Posed:
    """`read_scans` without a run; `tell`: what is told of the work, and the `spacing`, as `read_posed` has them."""
    if codec.whole_head:
        raise UsageError("these weights draw whole heads; scans are put beside skull-stripped brains alone")
    cache = cache_path(cfg.data.cache, "posed", plugin="mri_synth")
    posed = read_posed(cfg.data.root, codec, cache, **tell)
    return replace(posed, scans=_assigned(posed.scans, cfg))


def parts(scans: list[Scan], seed: int = 0) -> tuple[list[int], list[int], bool]:
    """Numbers of the scans that are not held out and of those that are, and whether the former may be called the
    training set.

    Where nearly all is of one split, half of the subjects, chosen by seed, stand in for the other: real is compared
    with real in any case, but what was seen in training is then not known. Raises DataError for too few scans.
    """
    held = [i for i, s in enumerate(scans) if is_held_out(s.split)]
    rest = [i for i in range(len(scans)) if i not in set(held)]
    known = min(len(held), len(rest)) >= LEAST
    if not known:
        subjects = sorted({s.subject for s in scans}, key=lambda name: derive(seed, "halves", name))
        half = set(subjects[: len(subjects) // 2])
        held = [i for i, s in enumerate(scans) if s.subject in half]
        rest = [i for i, s in enumerate(scans) if s.subject not in half]
    if min(len(held), len(rest)) < LEAST:
        raise DataError(
            f"{len(scans)} usable scans are too few: a comparison takes at least {LEAST} that are held out and {LEAST} "
            f"others, and {GOALS} of each to say whether goals are met"
        )
    return rest, held, known


def people(scans: list[Scan], n: int, seed: int) -> list[Person]:
    """Whom to draw: n people with the ages and sexes of the scans, evenly over age, with seeds from `seed` on."""
    order = sorted(range(len(scans)), key=lambda i: (scans[i].age is None, scans[i].age or 0.0, scans[i].subject))
    rest = np.linspace(0, len(order), n % len(order), endpoint=False).astype(int).tolist()
    chosen = order * (n // len(order)) + [order[i] for i in rest]
    return [Person(scans[i].age, scans[i].sex, seed + number) for number, i in enumerate(chosen)]
