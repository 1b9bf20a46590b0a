"""Who is held out where participants.tsv does not say."""

from __future__ import annotations

from typing import Any


def hold_out(rows: list[dict[str, Any]], share: float, seed: int) -> None:
    """Hold out a share of the subjects where no row says who is held out: sets "split" of rows to train or val."""
    from diffx.noise import derive  # imports torch

    if any(row["split"] for row in rows):
        return
    subjects = sorted({row["subject"] for row in rows}, key=lambda name: derive(seed, "split", name))
    chosen = set(subjects[: round(share * len(subjects))])
    for row in rows:
        row["split"] = "val" if row["subject"] in chosen else "train"
