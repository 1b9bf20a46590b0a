"""Synthetic contrasts as a BIDS-derivatives data set: names, sidecars, dataset_description.json."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..bids import Derivatives, Name, Session
from ..contrast import Contrast
from ..stored import write_int16
from .face import Translation

_UNIT = "the robust mean of the head (its values between the 5th and 98th percentile)"


class TranslationWriter:
    """Writes ``sub-*/[ses-*/]anat/sub-*_[ce-GD_]desc-synth_<suffix>.nii.gz``, ``desc-synthsd`` beside it, sidecars."""

    def __init__(self, folder: str | Path, source: str, target: str, licence: str = ""):
        self.source, self.target = Contrast.of(source), Contrast.of(target)
        name = f"Synthetic {self.target.name} made of {self.source.name}"
        self.data_set = Derivatives(folder, name, licence)

    def write(self, session: Session, scan: Path, result: Translation, sidecar: Mapping[str, Any]) -> list[Path]:
        """The image, its uncertainty where there is one, and a sidecar of each; the NIfTI files written."""
        name = Name.of([part for part in session if part], self.target.suffix, ".nii.gz")
        name = name.but(ce="GD" if self.target.enhanced else None)
        said = {
            "Sources": [f"bids:raw:{scan.name}"],
            "SpatialReference": "orig: the voxels of the source",
            "Synthetic": True,
            **sidecar,
        }
        synthetic = f"Synthetic {self.target.name} made of {self.source.name}; not a measurement, not for diagnosis"
        images = [
            ("synth", result.image, {"Description": synthetic, "Units": _UNIT}),
            (
                "synthsd",
                result.uncertainty,
                {
                    "Description": "Standard deviation over the samples, pooled over neighbours in the slice",
                    "Units": _UNIT,
                },
            ),
        ]
        written = []
        for desc, image, about in images:
            if image is None:
                continue
            put = partial(write_int16, image)
            written.append(self.data_set.write(name.but(desc=desc), put, {**about, **said}))
        return written
