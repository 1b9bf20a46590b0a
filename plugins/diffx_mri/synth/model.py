"""A trained model of brains: people in, decoded brains out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from diffx.data import Brief
from diffx.errors import DataError, UsageError
from diffx.noise import Noise
from diffx.pipeline import Batch, Pipeline
from diffx.predict import Predict

from ..codec import BrainCodec
from ..modes import with_modes
from ..normative import somebody
from ..tone import Tone
from ..ventricles import largest_score, millilitres, to_tell
from .cascade.draw import Refiner, halved, in_order, refined
from .config import PLUGIN, VOXELS, WEIGHTS, WIDEST, BrainSampling
from .guidance import guided_appearance, weak_pipeline
from .segmentation.kept import one_piece, with_fluid
from .segmentation.segment import Segmenter
from .volumetry import segmenter_for, ventricle_volume, with_ventricles


@dataclass(frozen=True)
class Person:
    """Whose brain to draw: age in years and sex "F" or "M", None for any; the seed makes it this one and no other.

    `ventricles`: how large, in standard deviations of the logarithm of their volume from what is usual for the age and
    the sex, -3 to 3; None for any.
    """

    age: float | None = None
    sex: str | None = None
    seed: int = 0
    ventricles: float | None = None


@dataclass(frozen=True, repr=False)
class Brain(Brief):
    """A drawn brain: ``data`` float32 [X, Y, Z], 1.0 near its 99th percentile; ``affine`` index to RAS+ mm; seconds.

    ``person`` has the age, the sex and the size of the ventricles that were drawn where any was asked for. ``tissues``
    uint8 [X, Y, Z] holds the classes of `segmentation.tissues.CLASSES`; None where the segmenter does not fit.
    """

    person: Person
    data: np.ndarray
    affine: np.ndarray
    seconds: float
    tissues: np.ndarray | None = None

    @property
    def litres(self) -> float:
        """Volume of the voxels that are not background."""
        return float((self.data > 0).sum() * abs(np.linalg.det(self.affine[:3, :3])) / 1e6)

    def image(self) -> nib.Nifti1Image:
        """As NIfTI in memory: float32, sform and qform coded 2 (aligned), mm."""
        return self._nifti(self.data)

    def segmentation(self) -> nib.Nifti1Image:
        """The tissues likewise, uint8. DataError where there are none."""
        if self.tissues is None:
            raise DataError("the shipped segmenter does not fit these weights: there is no segmentation")
        return self._nifti(self.tissues)

    def _nifti(self, data: np.ndarray) -> nib.Nifti1Image:
        image = nib.Nifti1Image(data, self.affine)
        image.set_sform(self.affine, code=2)
        image.set_qform(self.affine, code=2)
        image.header.set_xyzt_units("mm")
        return image


class BrainModel:
    """A trained model of brains; made by :meth:`load`.

    Args:
        pipeline: draws latents less their expectation.
        codec: from latents to volumes.
        meta: facts of the weights; None: those of the pipeline.
    """

    def __init__(self, pipeline: Pipeline, codec: BrainCodec, meta: Mapping[str, Any] | None = None):
        self.pipeline, self.codec = pipeline, codec
        self.meta = dict(pipeline.meta if meta is None else meta)
        self._weaker: dict[str, Pipeline] = {}
        self._refiners: dict[tuple[str, str | None], Refiner] = {}

    @classmethod
    def load(cls, source: str | Path | None = None, device: str = "auto", extensions: Sequence[str] = ()) -> Self:
        """Shipped weights, or those of an id, a file or a run folder.

        Args:
            source: id, file or run folder; None: the shipped ones.
            device: "auto", "cpu" or "cuda".
            extensions: plugins that bring further samplers and networks.

        Raises:
            DataError: missing, damaged or foreign weights.
        """
        pipeline = Pipeline.load(source or WEIGHTS, device, plugin=PLUGIN, extensions=extensions)
        if "codec" not in pipeline.meta:
            raise DataError(f"{pipeline.path} has no brain codec; train with task=train of {PLUGIN}")
        codec = BrainCodec.from_tensors(pipeline.extra, pipeline.meta["codec"]).to(pipeline.device)
        return cls(pipeline, codec, {**pipeline.meta, "path": str(pipeline.path)})

    def somebody(self, person: Person) -> Person:
        """The person with what is left open drawn from the training population, by the seed.

        Weights without a trend know no population: there what is open stays open.

        Raises:
            UsageError: ventricles asked for that these weights know nothing of, or beyond 3 standard deviations.
        """
        people, noise = self.codec.people, Noise([person.seed])
        if person.ventricles is not None and not self.codec.sized:
            raise UsageError("these weights were not told of ventricles: their size cannot be asked for")
        if person.ventricles is not None and not abs(person.ventricles) <= WIDEST:
            raise UsageError(f"ventricles: {person.ventricles:g} is outside -{WIDEST:g} to {WIDEST:g}")
        if people is None:
            return person
        age, sex = somebody(people, noise["person"].uniform(2)[0].tolist())
        age, sex = age if person.age is None else person.age, person.sex or sex
        if not self.codec.sized:
            return replace(person, age=age, sex=sex)
        size = person.ventricles
        if size is None:
            drawn = float(noise["ventricles"].normal(1)[0, 0].clamp(-WIDEST, WIDEST))
            size = round(min(drawn, largest_score(age, sex, people)), 3)
        return replace(person, age=age, sex=sex, ventricles=size)

    def weak(self, options: BrainSampling) -> Pipeline | None:
        """The weaker model that these options guide away from: theirs, or what the weights name; else None.

        Raises:
            UsageError: it was trained on other latents.
            DataError: it is missing or damaged.
        """
        source = options.weak or self.meta.get("weak")
        if options.autoguidance == 1 or source is None:
            return None
        if source not in self._weaker:
            self._weaker[source] = weak_pipeline(source, self.codec, str(self.pipeline.device))
        return self._weaker[source]

    def named_stages(self, options: BrainSampling) -> list[str]:
        """Ids, files or run folders of the stages that draw voxels, coarsest first: those of the options, or those that
        the weights name."""
        return list(self.meta.get("stages", []) if options.stages is None else options.stages)

    def stages(self, options: BrainSampling) -> list[Refiner]:
        """The stages that draw voxels, coarsest first (`named_stages`).

        Raises:
            UsageError: one that does not fit these weights, or the one before it.
            DataError: one that is missing or damaged.
        """
        named = self.named_stages(options)
        weaker: Sequence[str | None] = options.weak_stages or [None] * len(named)
        if len(weaker) != len(named):
            raise UsageError(f"sample.weak_stages: {len(weaker)} weights for {len(named)} stages")
        return in_order([self._refiner(*pair) for pair in zip(named, weaker, strict=True)])

    def fine(self, options: BrainSampling) -> Refiner:
        """The stage that draws 1 mm. UsageError for one that draws something else or does not fit these weights,
        DataError for one that is missing or damaged."""
        found = self._refiner(options.fine)
        edge = found.stage.spacing
        if edge != VOXELS[1]:
            raise UsageError(f"sample.fine: {options.fine} draws voxels of {edge:g} mm, not of {VOXELS[1]} mm")
        return found

    def _refiner(self, source: str, weak: str | None = None) -> Refiner:
        if (source, weak) not in self._refiners:
            place = self.codec.pose_digest, str(self.pipeline.device)
            self._refiners[source, weak] = Refiner.load(source, *place, weak)
        return self._refiners[source, weak]

    @cached_property
    def segmenter(self) -> Segmenter | None:
        """What finds tissues in the brains; None where the shipped segmenter does not fit."""
        return segmenter_for(self.codec)

    def decoded(self, z: Tensor, person: Person, ageing: float = 1.0) -> Tensor:
        """The brain [*canvas], on the host, of a latent [3+K, *grid] less what is expected of a person described in
        full; in the intensities of the scanner that stages and segmenter know, where the codec has a curve to these.

        Its ventricles have the volume asked for: what the trend has to be told for that is solved for. `ageing`: as
        `BrainCodec.expected` has it.
        """

        def decode(told: float | None) -> Tensor:
            sizes = None if told is None else [told]
            expected = self.codec.expected([person.age], [person.sex], sizes, ageing)
            return self.tone.home(self.codec.decode(z[None] + expected)[0].float().cpu())

        wanted, segment = self.millilitres(person), self.segmenter
        if wanted is None:
            return decode(None)
        people = self.codec.people
        assert people is not None and person.ventricles is not None
        told = to_tell([person.age], [person.sex], [person.ventricles], people)[0]
        if segment is None:
            return decode(told)

        def brain(told: float) -> Tensor:
            return torch.from_numpy(with_fluid(decode(told).numpy()))

        slope = people["ventricles"]["response"][-1]
        return with_ventricles(brain, told, wanted, slope, lambda b: ventricle_volume(segment(b), self.codec.affine))

    def expected(self, people: Sequence[Person], ageing: float = 1.0) -> Tensor:
        """Mean latents [N, 3+K, *grid] of people, those whose decoded ventricles have the sizes asked for; `ageing`: as
        `BrainCodec.expected` has it."""
        ages, sexes = [p.age for p in people], [p.sex for p in people]
        facts, sizes = self.codec.people, None
        if facts and self.codec.sized:
            sizes = to_tell(ages, sexes, [p.ventricles or 0.0 for p in people], facts)
        return self.codec.expected(ages, sexes, sizes, ageing)

    @property
    def tone(self) -> Tone:
        """From what is decoded to what stages and segmenter know; nothing is changed where there is no such curve."""
        return self.codec.tone or Tone()

    def millilitres(self, person: Person) -> float | None:
        """The volume of ventricle that a person described in full is asked to have; None for weights told of none."""
        people = self.codec.people
        if people is None or not self.codec.sized or person.ventricles is None:
            return None
        return millilitres([person.age], [person.sex], [person.ventricles], people)[0]

    def brains(
        self,
        people: Sequence[Person],
        options: BrainSampling | None = None,
        on_prediction: Callable[[int, Tensor], None] | None = None,
        voxel: int = VOXELS[0],
    ) -> Iterator[Brain]:
        """Draw one brain a person, in order; each depends on its own person alone.

        Args:
            people: whom to draw; what is left open is drawn by their seed.
            options: sampler, steps, guidance and how many to draw together.
            on_prediction: called with (step, predicted clean latents [B, C, *grid]) of the first batch.
            voxel: edge of a voxel, 2 or 1 mm; the brain of 1 mm is drawn from that of 2 mm.

        Raises:
            UsageError: an age, a sex, ventricles or voxels the weights do not know, an unknown sampler.
        """
        options, pipeline = options or BrainSampling(), self.pipeline
        if voxel not in VOXELS:
            raise UsageError(f"voxel={voxel}: voxels of {' or '.join(map(str, VOXELS))} mm are drawn")
        pipeline.check([{"age": person.age, "sex": person.sex} for person in people])
        people = [self.somebody(person) for person in people]
        records = [{"age": person.age, "sex": person.sex} for person in people]
        weak, modes, stages = self.weak(options), self.codec.modes, self.stages(options)
        fine, affine = None, self.codec.affine
        if voxel != VOXELS[0]:
            fine, geometry = self.fine(options), self.codec.geometry.finer(voxel)
            affine = geometry.affine(geometry.canvas)

        def expected(batch: Batch) -> Tensor:
            return self.expected(people[batch.first : batch.first + len(batch)], options.ageing)

        def guide(predict: Predict, batch: Batch) -> Predict:
            if weak is not None:
                told = weak.condition(batch.records, batch.seeds)
                predict = guided_appearance(predict, weak.model.denoiser, told, options.autoguidance)
            if len(modes):
                predict = with_modes(predict, modes, batch.noise["modes"].normal(len(modes)))
            return predict

        def tell(batch: Batch, step: int, x: Tensor, prediction: Tensor) -> None:
            if on_prediction is not None and batch.first == 0:
                on_prediction(step, prediction + expected(batch))

        began = time.perf_counter()
        seeds = [person.seed for person in people]
        for batch, z in pipeline.batches(records, seeds, options, guide, shape=self.codec.shape, callback=tell):
            seconds = (time.perf_counter() - began) / len(batch)
            for number, latent in enumerate(z, batch.first):
                began, person = time.perf_counter(), people[number]
                volume = self.decoded(latent, person, options.ageing)
                if stages:
                    steps, weight = options.stage_steps, options.stage_autoguidance
                    volume = refined(stages, volume, person.age, person.sex, person.seed, steps, weight)
                data = one_piece(volume.numpy())
                if fine:
                    volume = torch.from_numpy(data)
                    data = halved(fine, volume, person.age, person.sex, person.seed, options.fine_steps).numpy()
                tissues = None if self.segmenter is None else self.segmenter(data)
                data = self.tone.site(data)
                yield Brain(person, data, affine, seconds + time.perf_counter() - began, tissues)
            began = time.perf_counter()
