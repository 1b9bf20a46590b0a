"""Synthetic contrasts as a BIDS-derivatives data set: names, sidecars, dataset_description.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffx import __version__
from diffx.io.files import write_json

from ..derivatives import BIDS_VERSION
from ..stored import write_int16
from .contrast import Contrast, Session
from .face import Translation

_UNIT = "the robust mean of the head (its values between the 5th and 98th percentile)"


class TranslationWriter:
    """Writes ``sub-*/[ses-*/]anat/sub-*_[ce-GD_]desc-synth_<suffix>.nii.gz``, ``desc-synthsd`` beside it, sidecars."""

    def __init__(self, folder: str | Path, source: str, target: str, licence: str = ""):
        self.folder, self.source, self.target = Path(folder), Contrast.of(source), Contrast.of(target)
        name = f"Synthetic {self.target.name} made of {self.source.name}"
        description: dict[str, Any] = {
            "Name": name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "diffx", "Version": __version__, "Description": name}],
        }
        if licence:
            description["License"] = licence
        write_json(self.folder / "dataset_description.json", description)

    def write(self, session: Session, scan: Path, result: Translation, sidecar: Mapping[str, Any]) -> list[Path]:
        """The image, its uncertainty where there is one, and a sidecar of each; the NIfTI files written."""
        name = "_".join(filter(None, session))
        folder = self.folder.joinpath(*filter(None, session), "anat")
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
            stem = f"{name}_{self.target.entities}desc-{desc}_{self.target.suffix}"
            written.append(write_int16(image, folder / f"{stem}.nii.gz"))
            write_json(folder / f"{stem}.json", {**about, **said})
        return written
