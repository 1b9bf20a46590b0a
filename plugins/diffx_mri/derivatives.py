"""Synthetic T1w brains as a BIDS-derivatives data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from diffx import __version__
from diffx.io.files import write_text

from .bids import Derivatives, Name
from .volume import Volume, save

_COLUMNS = {
    "participant_id": "synthetic; no living person",
    "age": "age asked for, years; n/a when left to chance",
    "sex": "sex asked for, M or F; n/a when left to chance",
    "ventricles": "size asked for: standard deviations of log volume from what is usual for age and sex; n/a: unknown",
    "seed": "seed of the sample",
}


class DerivativesWriter:
    """Writes `sub-<label>/anat/sub-<label>_space-<space>_desc-<desc>_T1w.nii.gz` and what belongs around it.

    `space` names the coordinate system: alphanumeric, e.g. "MNI152approx"; spelt out in `space_description`.
    """

    def __init__(self, folder: str | Path, name: str, space: str, space_description: str, desc: str = "synth") -> None:
        self.name = Name(suffix="T1w", extension=".nii.gz").but(space=space, desc=desc)
        self.space_description = space_description
        self.data_set = Derivatives(folder, name)

    def write_tissues(self, label: str, tissues: Volume, classes: Sequence[str]) -> Path:
        """Discrete tissues of the scan of `sub-<label>` as ``*_dseg.nii.gz``; 0 is background, 1 the first class.

        What the numbers mean stands in one ``*_dseg.tsv`` for all.
        """
        name = self.name.but(suffix="dseg")
        table = "".join(f"{i}\t{text}\n" for i, text in enumerate(["background", *classes]))
        write_text(self.data_set.folder / str(name.but(extension=".tsv")), "index\tname\n" + table)
        made = f"diffx {__version__} segmentation"
        facts = {"Type": "Discrete", "Manual": False, "SpatialReference": self.space_description}

        def put(path: Path) -> Path:
            return save(path, tissues, made, "uint8", code=2)

        return self.data_set.write(name.but(sub=label), put, facts)

    def write(
        self, label: str, volume: Volume, sidecar: Mapping | None = None,
        age=None, sex=None, seed=None, ventricles=None,
    ) -> Path:  # fmt: skip
        """One scan as `sub-<label>`, its sidecar and its line in participants.tsv; returns the path of the NIfTI file.

        age in years, sex "M" or "F", ventricles in standard deviations; None (written n/a) where nothing was asked for.
        """
        asked = {"Age": age, "Sex": sex, "Ventricles": ventricles, "Seed": seed}
        facts = {
            "Description": "Synthetic T1-weighted image; intensity in units of the 99th percentile of a brain",
            "SpatialReference": self.space_description,
            **{key: value for key, value in asked.items() if value is not None},
            **(sidecar or {}),
        }
        made = f"diffx {__version__} synthetic T1w"
        path = self.data_set.write(self.name.but(sub=label), lambda path: save(path, volume, made, code=2), facts)
        person = {"participant_id": f"sub-{label}", "age": age, "sex": sex, "ventricles": ventricles, "seed": seed}
        self.data_set.add_participant(person, _COLUMNS)
        return path
