"""What was found as a BIDS-derivatives data set: maps, mask, pseudo-healthy scan, table of lesions, sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from diffx.io.files import write_json, write_text

from ..bids import Derivatives, write_with_sidecar
from ..stored import write, write_int16
from .components import COLUMNS, as_tsv
from .face import Detection
from .inputs import Request

_ABOUT = {
    "anomaly": "Anomaly score; 0 is as expected of a healthy scan. Not a measurement, not for diagnosis",
    "healthy": "Pseudo-healthy scan, drawn by a model of healthy scans, in the scan's intensities; not a measurement",
    "certainty": "Share of the drawn healthy images that find something there, 0 to 1",
}


class DetectionWriter:
    """Writes ``*_desc-anomaly``, ``desc-healthy`` and ``desc-certainty`` of a scan's name, ``*_label-anomaly_mask``,
    ``*_desc-anomaly_lesions.tsv``, and JSON beside each."""

    def __init__(self, folder: Path, contrast: str, licence: str = ""):
        self.folder, self.contrast = folder, contrast
        Derivatives(folder, f"Anomalies in {contrast}", licence)

    def write(self, request: Request, found: Detection, facts: Mapping[str, Any]) -> list[Path]:
        """The files of one scan; ``facts`` go into every sidecar. Returns their paths, without those of sidecars."""
        folder = self.folder / request.folder
        said = {
            "Sources": [f"bids:raw:{request.path.name}"],
            "SpatialReference": "orig: the voxels of the source",
            "SkullStripped": found.maps.stripped,
            **facts,
        }
        about_mask = {
            "Description": "Where the anomaly score is above the threshold; regions below SmallestRegion dropped",
            "Type": "Lesion",
            "Threshold": found.threshold,
            "FalsePositiveRate": found.fpr,
            "FalseLesionsPerHealthyScan": found.false_lesions,
        }
        written = []
        for desc, text in _ABOUT.items():
            put = partial(write_int16, getattr(found, desc))
            path = folder / str(request.name.but(desc=desc, label=None))
            written.append(write_with_sidecar(path, put, {"Description": text, **said}))
        mask = request.name.but(suffix="mask", label="anomaly", desc=None)
        written.append(write_with_sidecar(folder / str(mask), partial(write, found.mask), {**about_mask, **said}))
        table = folder / str(request.name.but(suffix="lesions", extension=".tsv", desc="anomaly", label=None))
        write_text(table, as_tsv(found.lesions))
        columns = {name: {"Description": text} for name, text in COLUMNS.items()}
        write_json(table.with_suffix(".json"), {**columns, **said})
        return [*written, table]
