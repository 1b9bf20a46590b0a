"""What a BIDS file is called: entities in the order of the standard, a suffix and an extension."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

RAW = (
    "sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "split", "recording", "chunk",
)  # fmt: skip
DERIVED = ("space", "atlas", "seg", "scale", "res", "den", "label", "desc")  # what a derivative says of itself
_ORDER = (
    *RAW[: RAW.index("split")], "space", *RAW[RAW.index("split") :], *DERIVED[1:],
)  # of BIDS 1.10, schema/rules/entities.yaml  # fmt: skip
_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9+.]+)")
_PERSON = re.compile(r"(sub|ses)-(.+)")  # the name of a folder, which holds more than letters and digits here and there


@dataclass(frozen=True)
class Name:
    """``sub-01_ses-2_run-1_T1w.nii.gz`` taken apart: `entities` {"sub": "01", ...}, `suffix` "T1w", `extension`.

    `odd` holds the parts that are no entity, as people's own names have them: they are kept where a name is made of
    this one. Of an entity that stands twice, which BIDS forbids, the last counts.
    """

    entities: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""
    extension: str = ""
    odd: tuple[str, ...] = ()

    @classmethod
    def parse(cls, path: str | Path) -> Name:
        """Of a path or a file's name. Whatever it is called, something comes out; see `entities`."""
        text = Path(path).name
        extension = next((e for e in (".nii.gz", ".tsv.gz") if text.endswith(e)), Path(text).suffix)
        *parts, suffix = text.removesuffix(extension).split("_")
        if _ENTITY.fullmatch(suffix):
            parts, suffix = [*parts, suffix], ""
        return cls.of(parts, suffix, extension)

    @classmethod
    def of(cls, parts: list[str], suffix: str = "", extension: str = "") -> Name:
        """Of the parts before the suffix."""
        bids = bool(parts) and parts[0].startswith("sub-")
        entities, odd = {}, []
        for part in parts:
            found = _ENTITY.fullmatch(part) or _PERSON.fullmatch(part)
            if found and (bids or found[1] in DERIVED):
                entities[found[1]] = found[2]
            else:
                odd.append(part)
        return cls(entities, suffix, extension, tuple(odd))

    @property
    def stem(self) -> str:
        """The name without its extension: every entity once, in the order of BIDS; unknown ones before `space`."""
        known = {key: f"{key}-{self.entities[key]}" for key in _ORDER if key in self.entities}
        unknown = [f"{key}-{value}" for key, value in self.entities.items() if key not in known]
        space = _ORDER.index("space")
        first = [text for key, text in known.items() if _ORDER.index(key) < space]
        last = [text for key, text in known.items() if _ORDER.index(key) >= space]
        return "_".join(filter(None, [*first, *unknown, *self.odd, *last, self.suffix]))

    def __str__(self) -> str:
        return self.stem + self.extension

    def but(self, suffix: str | None = None, extension: str | None = None, **entities: str | None) -> Name:
        """The same name with other entities; None takes one away.

        Raises ValueError for a label that is not letters and digits.
        """
        for key, value in entities.items():
            if value is not None and not value.isalnum():
                raise ValueError(f"{key} {value!r}: BIDS labels are letters and digits only")
        merged = {k: v for k, v in {**self.entities, **entities}.items() if v is not None}
        return replace(
            self,
            entities=merged,
            suffix=self.suffix if suffix is None else suffix,
            extension=self.extension if extension is None else extension,
        )

    def get(self, entity: str) -> str | None:
        """The label of an entity; None where the name does not have it."""
        return self.entities.get(entity)

    def scan(self, *suffixes: str) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
        """What tells one scan of a session from another: the entities of raw data but subject and session, and the
        odd parts other than `suffixes`. Equal for a scan and for what is derived of it; `run-01` is `run-1`."""
        told = {k: _number(v) for k, v in self.entities.items() if k not in (*DERIVED, "sub", "ses")}
        if told.get("mod") in suffixes:
            del told["mod"]
        return frozenset(told.items()), frozenset(self.odd) - set(suffixes)


def natural(text: str | Path) -> list[str | int]:
    """A key that sorts run-2 before run-10."""
    return [int(part) if number else part for number, part in _alternating(str(text))]


def _alternating(text: str) -> list[tuple[bool, str]]:
    return [(i % 2 == 1, part) for i, part in enumerate(re.split(r"(\d+)", text))]


def _number(label: str) -> str:
    return label.lstrip("0") or "0" if label.isdigit() else label
