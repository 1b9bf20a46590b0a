"""A brain as shape x appearance on one coarse grid: the product state that mri_synth diffuses.

Shape: a stationary velocity field v [3, *grid] in mm whose exponential takes template space to the rigidly aligned
brain, head size included. Appearance: what the brain would look like in template space, as principal components of
4x4x4 patches of its difference from the mean brain. Both are standardised node by node. Position and tilt of the head
in the scanner are nuisance and are removed. What age and sex explain of it (`trend`), and how whole shapes vary about
that (`modes`), is known in closed form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.errors import DataError
from diffx.io import checkpoint

from . import ventricles
from .align import Brain, linear_velocity
from .geometry import Geometry
from .modes import fit_modes
from .narrowing import narrow, storable, widen
from .normative import FEWEST, features, fit_slopes, population
from .patches import from_patches, to_patches
from .pull import on_canvas, posed, pull_back, push
from .register import pool, register_affine, register_velocity
from .tone import Tone
from .volume import Volume

FORMAT = "diffx-brain-codec-2"
_OLDER = ("diffx-brain-codec-1",)  # without a trend, its support not in bits
_SILENT = 0.06  # decoded values below this are background; 1.0 is the 99th percentile of the brain


class BrainCodec(torch.nn.Module):
    """Encodes brains as z float32 [3+K, *grid] and decodes them on the canvas. Made by `fit.fit_codec`, or `load`ed.

    Buffers: `template` [*box] mean brain, `support` [*box] where any brain was seen, `mean`, `deviation` [3+K, *grid],
    `basis` [K, cell^3], `signs` [3+K] of the channels under a mirror, `lapping` [cell^3, K, 27] what neighbouring
    nodes add to a patch, `head` [*canvas/2] mean whole head in template space, `head_brain` [*canvas/2] the probability
    of brain there, `trend` [3 or 4, 3+K, *grid] slopes of the latent on age, sex and ventricles, `modes` [M, 3, *grid]
    of shape about them; empty where none were fitted.
    """

    template: torch.Tensor
    support: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    basis: torch.Tensor
    signs: torch.Tensor
    lapping: torch.Tensor
    head: torch.Tensor
    head_brain: torch.Tensor
    trend: torch.Tensor
    modes: torch.Tensor
    points: torch.Tensor

    def __init__(self, geometry: Geometry, tensors: dict[str, torch.Tensor], facts: dict | None = None) -> None:
        super().__init__()
        self.geometry = geometry
        self.facts = dict(facts or {})
        for name, tensor in {"trend": torch.empty(0), "modes": torch.empty(0), **tensors}.items():
            self.register_buffer(name, tensor)

    @property
    def components(self) -> int:
        """Number of appearance channels K."""
        return len(self.basis)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of one latent, (3+K, *grid)."""
        return (3 + self.components, *self.geometry.grid)

    @property
    def affine(self) -> np.ndarray:
        """Index-to-world affine (RAS+, mm) of every decoded volume."""
        return self.geometry.affine(self.geometry.canvas)

    @property
    def pose_digest(self) -> str:
        """sha256 of the mean brain, whose pose all brains are put in."""
        return hashlib.sha256(self.template.cpu().numpy().tobytes()).hexdigest()

    def with_head(self, head: torch.Tensor, brain: torch.Tensor) -> BrainCodec:
        """This codec with a mean whole head and its brain probability, [*canvas] each, for `mask.extract_brain`.

        They are kept at twice the spacing, at which heads are registered.
        """
        coarse = {"head": pool(head[None, None], 2)[0, 0], "head_brain": pool(brain[None, None], 2)[0, 0]}
        return BrainCodec(self.geometry, {**self.state_dict(), **storable(coarse)}, self.facts)

    def with_facts(self, **facts: Any) -> BrainCodec:
        """This codec with some of its facts replaced."""
        return BrainCodec(self.geometry, self.state_dict(), {**self.facts, **facts})

    # --- people ---

    @property
    def people(self) -> dict[str, Any] | None:
        """Facts of the population the trend was fitted to (`trend.population`); None without a trend."""
        return self.facts.get("people") if self.trend.numel() else None

    @property
    def sized(self) -> bool:
        """Whether the trend is one of the size of the ventricles too."""
        return self.people is not None and "ventricles" in self.people

    def with_people(
        self,
        z: torch.Tensor,
        ages: Sequence[float | None],
        sexes: Sequence[str | None],
        volumes: Sequence[float] | None = None,
    ) -> BrainCodec:
        """This codec with the trend of latents z [N, 3+K, *grid] over age and sex, and the modes of shape about it.

        With the `volumes` of their ventricles in ml, over these too. Mirror images are implied. The trend is that of
        those of known age and sex; without `trend.FEWEST` of them this codec is returned as it is.
        """
        known = [i for i, (age, sex) in enumerate(zip(ages, sexes, strict=True)) if age is not None and sex is not None]
        if len(known) < FEWEST:
            return self
        some_ages, some_sexes = [ages[i] for i in known], [sexes[i] for i in known]
        facts = population(some_ages, some_sexes)  # type: ignore[arg-type]
        sizes: Sequence[float | None] | None = None
        if volumes is not None:
            norms = ventricles.norms(some_ages, some_sexes, [volumes[i] for i in known], facts)
            facts = {**facts, "ventricles": norms}
            sizes = ventricles.scores(ages, sexes, volumes, facts)
        told = features(ages, sexes, facts, sizes)
        even = torch.stack([(one + self.flip(one)) / 2 for one in (z[i].float() for i in known)])
        trend = storable({"trend": fit_slopes(even, told[known])})["trend"]
        rest = z[:, :3].float() - torch.einsum("np,pcxyz->ncxyz", told, trend[:, :3])
        mirrored = rest.flip(-3) * self.signs[:3, None, None, None]
        fitted = {"trend": trend, **storable({"modes": fit_modes(torch.cat([rest, mirrored]))})}
        return BrainCodec(self.geometry, {**self.state_dict(), **fitted}, {**self.facts, "people": facts})

    def expected(
        self,
        ages: Sequence[float | None],
        sexes: Sequence[str | None],
        sizes: Sequence[float | None] | None = None,
        ageing: float = 1.0,
    ) -> torch.Tensor:
        """Mean latent of each age (years), sex ("F", "M") and size of the ventricles, [N, 3+K, *grid].

        A size is a standard score, 0 what is usual for the age and the sex (`ventricles.scores`). None is the mean over
        the unknown. `ageing`: how many times over an age is told (`normative.features`). 0 for a codec without a trend.
        """
        if self.people is None:
            return self.mean.new_zeros(len(ages), *self.shape)
        told = features(ages, sexes, self.people, sizes, ageing).to(self.trend)
        return torch.einsum("np,pcxyz->ncxyz", told, self.trend)

    @property
    def tone(self) -> Tone | None:
        """From the intensities that are decoded to those of the scanner that stages and segmenter know; None where no
        curve is."""
        found = self.facts.get("tone", (1.0, 1.0))
        return None if found is None else Tone(*found)

    # --- scan to latent ---

    def pose(self, brains: list[Brain]) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Rigid poses [N, 4, 4], log stretches [N, 3, 3] and posed brains [N, 1, *canvas/2] of prepared brains."""
        geometry = self.geometry
        half = on_canvas(brains, np.tile(np.eye(4), (len(brains), 1, 1)), geometry, self.whole_head)
        template = pool(self.template[None, None], 2)
        matrices = torch.eye(4).repeat(len(brains), 1, 1)
        for factor, steps, rate in ((2, 80, 1.5), (1, 60, 0.5)):
            matrices, _ = register_affine(pool(half, factor), pool(template, factor), geometry, matrices, steps, rate)
        return posed(brains, matrices, geometry, self.whole_head)

    @torch.no_grad()
    def encode(self, brains: list[Brain], steps: int = 60) -> tuple[torch.Tensor, np.ndarray]:
        """Latents [N, 3+K, *grid] of prepared brains (`align.prepare`) and poses [N, 4, 4], canvas to centred scan.

        `steps` of the diffeomorphic registration. Raises DataError when a brain cannot be aligned.
        """
        with torch.enable_grad():
            poses, stretches, aligned = self.pose(brains)
            base = linear_velocity(torch.from_numpy(stretches), self.geometry)
            residual, _ = register_velocity(
                aligned, pool(self.template[None, None], 2), self.geometry, base, torch.zeros_like(base), steps
            )
        velocity = base + residual
        appearance = pull_back(brains, poses, velocity, self.geometry, self.whole_head)
        return self.pack(velocity, appearance), poses

    def pack(self, velocity: torch.Tensor, appearance: torch.Tensor) -> torch.Tensor:
        """Latent [B, 3+K, *grid] of velocities [B, 3, *grid] (mm) and template-space brains [B, *box]."""
        patches = to_patches(appearance - self.template, self.geometry.cell)
        state = torch.cat([velocity, torch.einsum("kp,bpxyz->bkxyz", self.basis, patches)], 1)
        return (state - self.mean) / self.deviation

    # --- latent to brain ---

    def unpack(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Velocities [B, 3, *grid] in mm and template-space brains [B, *box] of latents [B, 3+K, *grid]."""
        state = z * self.deviation + self.mean
        patches = torch.einsum("kp,bkxyz->bpxyz", self.basis, state[:, 3:])
        if self.lapping.numel():
            kernel = self.lapping.reshape(*self.lapping.shape[:2], 3, 3, 3)
            patches = patches + torch.nn.functional.conv3d(state[:, 3:], kernel, padding=1)
        return state[:, :3], (from_patches(patches, self.geometry.cell) + self.template) * self.support

    @torch.no_grad()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Brains float32 [B, *canvas] of latents [B, 3+K, *grid].

        Not negative, exactly 0 in the background, 99th percentile near 1.
        """
        velocity, appearance = self.unpack(z.to(self.mean))
        brains = push(appearance, velocity, self.geometry)
        return torch.where(brains > _SILENT, brains, torch.zeros_like(brains))

    def flip(self, z: torch.Tensor) -> torch.Tensor:
        """Latent of the brain mirrored left to right, exact: the grid reversed in x, odd channels negated."""
        return z.flip(-3) * self.signs[:, None, None, None]

    def mean_brain(self) -> torch.Tensor:
        """The template on the canvas [*canvas], on the codec's device."""
        return self.geometry.extend(self.template[None, None])[0, 0]

    def volume(self, brain: torch.Tensor) -> Volume:
        """A decoded brain [*canvas] with its affine."""
        return Volume(brain.float().cpu().numpy(), self.affine)

    # --- file ---

    @property
    def whole_head(self) -> bool:
        """Whether skull and skin are coded too."""
        return bool(self.facts.get("whole_head", False))

    def to_tensors(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """(tensors, JSON-able facts) to keep in a file, the tensors as `narrowing.narrow` has them.

        `from_tensors` of them is this codec to the bit.
        """
        return narrow(self.state_dict()), {"codec": FORMAT, "geometry": self.geometry.to_dict(), "facts": self.facts}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> BrainCodec:
        """Inverse of `to_tensors`. Raises DataError for another format."""
        if facts.get("codec") not in (FORMAT, *_OLDER):
            raise DataError(f"this is not a brain codec of format {FORMAT}")
        geometry = Geometry.from_dict(facts["geometry"])
        return cls(geometry, widen(tensors, geometry.box), facts["facts"])

    @classmethod
    def of_weights(cls, path: str | Path) -> BrainCodec:
        """The codec that weights of mri_synth carry. Raises DataError where there is none."""
        tensors, meta = checkpoint.load(path)
        if "codec" not in meta:
            raise DataError(f"{path} has no brain codec")
        return cls.from_tensors(checkpoint.under(tensors, "extra"), meta["codec"])

    def save(self, path: str | Path) -> Path:
        """Write as safetensors, whole or not at all."""
        checkpoint.save(path, *self.to_tensors())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> BrainCodec:
        """Read a codec. Raises DataError when the file is missing, broken or something else."""
        tensors, meta = checkpoint.load(path)
        try:
            return cls.from_tensors(tensors, meta)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
