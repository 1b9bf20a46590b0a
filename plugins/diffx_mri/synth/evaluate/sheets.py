"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffx.evaluation import typical, worst
from diffx.run.figures import HELD_OUT, REAL, SYNTHETIC, sheet

from ... import pictures
from ...bids import Scan
from ..model import Person
from ..segmentation.kept import STEP
from .figures import Brains, misread
from .scans import Posed


def side_by_side(
    real: np.ndarray, scans: Sequence[Scan], drawn: np.ndarray, people: Sequence[Person], affine: np.ndarray
) -> Image.Image:
    """Held-out scans above, synthetic brains of like age and sex below; four of each, the youngest to the oldest."""
    order = sorted(range(len(scans)), key=lambda i: scans[i].age or 0.0)
    some = [order[int(i)] for i in np.linspace(0, len(order) - 1, min(4, len(order)))]
    like = [min(range(len(people)), key=lambda j: _unlike(people[j], scans[i])) for i in some]
    volumes = [real[i] * STEP for i in some] + [drawn[j] * STEP for j in like]
    captions = [f"real: {_who(scans[i].age, scans[i].sex)}" for i in some]
    captions += [f"synthetic: {_who(people[j].age, people[j].sex)}" for j in like]
    return pictures.grid(volumes, [affine] * len(volumes), captions, columns=len(some))


def neighbours(drawn: np.ndarray, people: Sequence[Person], train: Posed, rows: Tensor, known: Tensor) -> Image.Image:
    """The three synthetic brains nearest to a training scan (or its mirror image), each beside that scan. `rows` [n, d]
    and `known` [2 N, d] are what distances are taken of, the mirror images after the N scans."""
    distance, nearest = torch.cdist(rows, known).min(1)
    volumes, captions = [], []
    for i in distance.argsort()[:3].tolist():
        j = int(nearest[i])
        scan, image = train.scans[j % len(train)], train.images[j % len(train)]
        volumes += [drawn[i] * STEP, (image[::-1] if j >= len(train) else image) * STEP]
        captions += [f"synthetic: {_who(people[i].age, people[i].sex)}", f"nearest: {_who(scan.age, scan.sex)}"]
    return pictures.grid(volumes, [train.affine] * len(volumes), captions, columns=6)


def worst_and_typical(
    drawn: np.ndarray, people: Sequence[Person], brains: Brains, affine: np.ndarray, most: int = 3
) -> Image.Image:
    """The synthetic brains whose age is read most wrongly, and one in the middle."""
    off = misread(brains).tolist()
    order = range(len(people))
    chosen = [*worst(order, lambda i: off[i], most), typical(order, lambda i: off[i])]
    captions = [
        f"asked {_who(people[i].age, people[i].sex)}"
        + (f", read {brains.readings.years[i]:.0f} y" if off[i] >= 0 else "")
        for i in chosen
    ]
    captions[-1] = f"typical: {captions[-1]}"
    return pictures.grid([drawn[i] * STEP for i in chosen], [affine] * len(chosen), captions, columns=4)


def scatter(train: Brains, held_out: Brains, synthetic: Brains) -> Any:
    """Ventricle volume over age, and the age read from the brain over the age it has: real and synthetic."""
    with sheet(9.6, 4.0) as page:
        left, right = page.subplots(1, 2)
        sets = (("real, training", train, REAL, 12), ("real, held out", held_out, HELD_OUT, 26))
        for name, brains, ink, size in (*sets, ("synthetic", synthetic, SYNTHETIC, 26)):
            left.scatter(brains.ages, brains.readings.ventricles, size, ink, label=name, linewidths=0, alpha=0.85)
            if brains is not train:
                right.scatter(brains.ages, brains.readings.years, size, ink, label=name, linewidths=0, alpha=0.85)
        ends = np.array([15.0, 85.0])
        right.plot(ends, ends, color=REAL, linewidth=1, zorder=0)
        left.set(xlabel="age, or age asked for (years)", ylabel="ventricles (ml)")
        right.set(xlabel="age, or age asked for (years)", ylabel="age read from the brain (years)")
        for axes in (left, right):
            axes.legend(loc="upper left")
    return page


def spectra(held_out: Brains, synthetic: Brains) -> Any:
    """Power over spatial frequency: mean over brains, and the range of the held-out ones."""
    with sheet(5.6, 3.4) as page:
        axes = page.subplots()
        frequency = (np.arange(held_out.spectra.shape[1]) + 0.5) / held_out.spectra.shape[1] * 0.25
        low, high = held_out.spectra.amin(0), held_out.spectra.amax(0)
        axes.fill_between(frequency, low, high, color=HELD_OUT, alpha=0.25, linewidth=0, label="real, held out: range")
        axes.plot(frequency, held_out.spectra.mean(0), color=HELD_OUT, label="real, held out: mean")
        axes.plot(frequency, synthetic.spectra.mean(0), color=SYNTHETIC, label="synthetic: mean")
        axes.set(xlabel="spatial frequency (cycles/mm)", ylabel="log10 power")
        axes.legend()
    return page


def _who(age: float | None, sex: str | None) -> str:
    return ", ".join(filter(None, [sex, f"{age:.0f} y" if age is not None else None])) or "anybody"


def _unlike(person: Person, scan: Scan) -> tuple[bool, float]:
    gap = abs(person.age - scan.age) if person.age is not None and scan.age is not None else 1e3
    return person.sex != scan.sex, gap
