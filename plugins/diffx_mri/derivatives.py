"""Write synthetic scans as a BIDS-derivatives data set: names, sidecars, dataset_description.json, participants.tsv."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from diffx import __version__
from diffx.io.files import atomic

from .volume import Volume, save

BIDS_VERSION = "1.10.0"
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
        for entity, value in (("space", space), ("desc", desc)):
            if not value.isalnum():
                raise ValueError(f"{entity} {value!r}: BIDS labels are letters and digits only")
        self.folder, self.space, self.space_description, self.desc = Path(folder), space, space_description, desc
        self.rows: list[dict[str, str]] = []
        description = {
            "Name": name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "diffx", "Version": __version__, "Description": name}],
        }
        self._json(self.folder / "dataset_description.json", description)

    def write(
        self, label: str, volume: Volume, sidecar: Mapping | None = None,
        age=None, sex=None, seed=None, ventricles=None,
    ) -> Path:  # fmt: skip
        """One scan as `sub-<label>`, its sidecar and its line in participants.tsv; returns the path of the NIfTI file.

        age in years, sex "M" or "F", ventricles in standard deviations; None (written n/a) where nothing was asked for.
        """
        if not label.isalnum():
            raise ValueError(f"subject label {label!r}: BIDS labels are letters and digits only")
        stem = f"sub-{label}_space-{self.space}_desc-{self.desc}_T1w"
        path = self.folder / f"sub-{label}" / "anat" / f"{stem}.nii.gz"
        save(path, volume, f"diffx {__version__} synthetic T1w", code=2)
        asked = {"Age": age, "Sex": sex, "Ventricles": ventricles, "Seed": seed}
        facts = {
            "Description": "Synthetic T1-weighted image; intensity in units of the 99th percentile of a brain",
            "SpatialReference": self.space_description,
            **{key: value for key, value in asked.items() if value is not None},
            **(sidecar or {}),
        }
        self._json(path.with_name(f"{stem}.json"), facts)
        values = {"participant_id": f"sub-{label}", "age": age, "sex": sex, "ventricles": ventricles, "seed": seed}
        self.rows.append(
            {
                key: "n/a" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                for key, value in values.items()
            }
        )
        self._participants()
        return path

    def _participants(self) -> None:
        with (
            atomic(self.folder / "participants.tsv") as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            table = csv.DictWriter(file, list(_COLUMNS), delimiter="\t", lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        self._json(self.folder / "participants.json", {key: {"Description": text} for key, text in _COLUMNS.items()})

    @staticmethod
    def _json(path: Path, content: Mapping) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            Path(temporary).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
