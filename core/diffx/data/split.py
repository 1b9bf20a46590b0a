"""Who is trained on and who is held out: by group, the same each time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

TRAIN = frozenset({"train", "training", "trn"})
G = TypeVar("G", str, int)


def is_held_out(split: str | None) -> bool:
    """Whether a case of this split is kept from training: all but what is called train, or not told at all.

    "val", "test", "dev", "holdout" and words that nobody foresaw are held out. Case, spaces, - and _ do not count.
    """
    return bool(split) and re.sub(r"[\s_-]+", "", str(split).lower()) not in TRAIN


def hold_out(groups: Iterable[G], share: float, seed: int) -> set[G]:
    """Which groups (patients, houses) to hold out: a share of them, chosen by seed and name, whatever their order.

    Args:
        groups: names, each as often as it likes.
        share: of the different groups, rounded to a whole number of them.
        seed: another one holds out others.
    """
    from diffx.noise import derive  # loads torch

    ordered = sorted(set(groups), key=lambda name: (derive(seed, "split", name), str(name)))
    return set(ordered[: round(share * len(ordered))])


def assign(rows: Sequence[dict[str, Any]], share: float, seed: int, group: str = "subject") -> None:
    """Set "split" of all rows to "train" or "val", a whole group at a time; nothing where any row has one already."""
    if any(row.get("split") for row in rows):
        return
    chosen = hold_out((row[group] for row in rows), share, seed)
    for row in rows:
        row["split"] = "val" if row[group] in chosen else "train"
