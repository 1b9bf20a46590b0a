"""Diffusion of poses: translation in R^3, rotation on SO(3), torsions on the torus, one clock for all three."""

from __future__ import annotations

import torch
from torch import Tensor

from diffx.process import SO3, Euclidean, Geodesic, Product, Torus
from diffx.schedule import VE

from .pose import Body

# Smallest and largest spread, in Å and radians: DiffDock's (Corso et al. 2023), with the translation of a known pocket.
TRANSLATION, ROTATION, TORSION = (0.1, 5.0), (0.03, 1.55), (0.0314, 3.14)


def pose_process() -> Product:
    """The process of {"translation": [B, 3], "rotation": [B, 3, 3], "torsion": [B, m]}.

    Translations are relative to the middle of the pocket's box: the prior lies around 0.
    """
    return Product(
        {
            "translation": Geodesic(Euclidean(3), VE(*TRANSLATION)),
            "rotation": Geodesic(SO3(), VE(*ROTATION)),
            "torsion": Geodesic(Torus(), VE(*TORSION)),
        }
    )


def pose_shape(body: Body) -> dict[str, tuple[int, ...]]:
    """Shape of one pose, as the core's ``sample`` wants it."""
    return {"translation": (3,), "rotation": (3, 3), "torsion": (len(body.axes),)}


def shifted(pose: dict[str, Tensor], by: Tensor) -> dict[str, Tensor]:
    """The pose moved by a vector [3]: from the box's frame to the receptor's and back."""
    return {**pose, "translation": pose["translation"] + torch.as_tensor(by).to(pose["translation"])}
