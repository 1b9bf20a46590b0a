"""Scans whose lesions are known: marked by hand, or put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diffx.errors import DataError
from diffx.noise import derive

from ...overlay import on_grid
from ...volume import Volume, load
from ..config import AnomalyConfig
from ..inputs import ELLIPSOIDS, Request, held_out, requests, shapes_in
from ..lesions import kept_from_training
from ..simulate import Shape, simulate

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Known:
    """A ``scan``, the ``brain`` mask in which to look, None for the whole head, and where lesions are: ``truth``, bool
    [X, Y, Z] on the scan's voxels; ``simulated`` volumes in ml where they were put in."""

    request: Request
    scan: Volume
    brain: Volume | None
    truth: np.ndarray
    simulated: tuple[float, ...] = ()


def chosen(cfg: AnomalyConfig, contrast: str, log: Tell) -> list[Request]:
    """The scans of ``data.root`` to evaluate on: those held out, with a lesion mask or with lesions to be put in.

    Raises DataError where there is none.
    """
    asked = requests(cfg, contrast, log)
    asked = asked if cfg.evaluate.all else held_out(asked)
    if cfg.evaluate.simulate:
        return asked
    known = [one for one in asked if one.lesion]
    if not known:
        raise DataError(
            f"{cfg.data.root}: none of {len(asked)} {contrast} scans has a lesion mask (derivatives/*/sub-*/anat/"
            "*_label-lesion_mask.nii.gz); evaluate.simulate= puts lesions into healthy scans"
        )
    for one in asked:
        if not one.lesion:
            log(f"{one.path.name}: no lesion mask, left out")
    return known


def known(cfg: AnomalyConfig, contrast: str, some: list[Request], fail: Callable, say: Tell) -> Iterator[Known]:
    """Each of the scans with its lesions. Those that cannot be used are told to ``fail(item, reason)``."""
    for request in some:
        try:
            yield _simulated(cfg, contrast, request, say) if cfg.evaluate.simulate else _marked(request, say)
        except DataError as error:
            fail(request.path.name, error)


def _marked(request: Request, say: Tell) -> Known:
    scan = load(request.path)
    brain = on_grid(request.mask, scan, say) if request.mask else None
    assert request.lesion is not None
    return Known(request, scan, brain, on_grid(request.lesion, scan, say, empty=True).data > 0)


def _simulated(cfg: AnomalyConfig, contrast: str, request: Request, say: Tell) -> Known:
    if request.brain is None:
        raise DataError(f"{request.path}: no brain mask among the derivatives, which says where lesions may be put")
    scan = load(request.path)
    brain = on_grid(request.brain, scan, say)
    rng = np.random.default_rng(derive(cfg.seed, "lesions", request.path.name))
    options = cfg.evaluate
    if options.simulate == ELLIPSOIDS:
        shapes = [Shape.ellipsoid(rng) for _ in range(options.lesions)]
    else:
        every = shapes_in(str(options.simulate))
        files = [file for file in every if kept_from_training(file.name)] or every
        shapes = [Shape.of_mask(files[k]) for k in rng.integers(len(files), size=options.lesions)]
    low, high = min(options.volumes), max(options.volumes)
    made = simulate(scan, brain.data > 0, shapes, (low, high), contrast, rng)
    return Known(request, made.scan, brain if request.mask else None, made.truth, tuple(made.volumes))
