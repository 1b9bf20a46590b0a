"""A BIDS-derivatives data set, written: names, sidecars, dataset_description.json, participants.tsv."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diffx import __version__
from diffx.io.files import write_json, write_text

from .name import Name

BIDS_VERSION = "1.10.0"


class Derivatives:
    """A folder of derivatives that are called `name`; its dataset_description.json is written at once."""

    def __init__(self, folder: str | Path, name: str, licence: str = "") -> None:
        self.folder = Path(folder)
        self._people: list[dict[str, str]] = []
        description: dict[str, Any] = {
            "Name": name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "diffx", "Version": __version__, "Description": name}],
        }
        if licence:
            description["License"] = licence
        write_json(self.folder / "dataset_description.json", description)

    def write(self, name: Name, put: Callable[[Path], Any], sidecar: Mapping[str, Any]) -> Path:
        """An image as ``sub-*/[ses-*/]anat/<name>`` and the JSON beside it; returns the path of the image.

        put: writes the image to the path it is given.
        """
        parts = [f"{key}-{name.get(key)}" for key in ("sub", "ses") if name.get(key)]
        return write_with_sidecar(self.folder.joinpath(*parts, "anat", str(name)), put, sidecar)

    def add_participant(self, values: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        """A line of participants.tsv, "n/a" for None. columns: what each is, for participants.json."""
        cells = {key: "n/a" if (v := values.get(key)) is None else f"{v:g}" if isinstance(v, float) else str(v)
                 for key in columns}  # fmt: skip
        self._people.append(cells)
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(columns), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(self._people)
        write_text(self.folder / "participants.tsv", text.getvalue())
        write_json(self.folder / "participants.json", {key: {"Description": text} for key, text in columns.items()})


def write_with_sidecar(path: Path, put: Callable[[Path], Any], sidecar: Mapping[str, Any]) -> Path:
    """An image by `put`, and its JSON beside it."""
    put(path)
    write_json(path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json"), sidecar)
    return path
