"""What a task wants on its report: facts, pictures, tables and words, in the order they are given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffx.run.images import Encoded, encode
from diffx.run.words import figure

LONG = 34  # characters of a cell above which its column is given room to wrap in


@dataclass
class Section:
    """One block of the page; `kind` (picture, table, text, embedded) says which of the other fields hold something."""

    kind: str
    title: str
    caption: str = ""
    image: Encoded | None = None
    columns: list[str] = field(default_factory=list)
    numeric: list[bool] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)
    html: str = ""
    height: int = 0

    @property
    def uri(self) -> str:
        """The picture itself, as the page holds it; "" where it is none."""
        return self.image.uri if self.image else ""

    @property
    def width(self) -> int:
        """Of the picture, in CSS pixels; 0 where it is none."""
        return self.image.width if self.image else 0

    @property
    def least(self) -> int:
        """CSS pixels below which it is not squeezed but scrolled sideways; of a table by what stands in it."""
        if self.image:
            return self.image.least
        columns = zip(self.columns, *self.rows, strict=True) if self.rows else ()
        return round(sum(20 + 7.5 * self._width(number, column) for number, column in enumerate(columns)))

    def _width(self, number: int, column: tuple[str, ...]) -> int:
        """Characters of a column that cannot be wrapped: all of numbers and of the first one, words of the others."""
        head, *cells = column
        longest = max(map(len, cells))
        if number and not self.numeric[number]:
            longest = 22 if longest > LONG else max(len(word) for cell in cells for word in cell.split() or [""])
        return max(longest, len(head))


class Report:
    """Collects the sections of report.html. Everything is taken in at the call; it may change afterwards."""

    def __init__(self) -> None:
        self.headline: dict[str, str] = {}
        self.sections: list[Section] = []

    def facts(self, facts: Mapping[str, Any]) -> None:
        """The few figures that stand at the top: name -> value. Later calls add to earlier ones."""
        self.headline.update({str(name): figure(value) for name, value in facts.items()})

    def picture(self, title: str, image: Any, caption: str = "") -> None:
        """A picture: Pillow image, uint8 array [H, W] or [H, W, 3], Matplotlib figure, or path of an image file.

        Shown at its own size, or smaller where the window is narrower, as long as its words can be read; it also lies
        in the run folder as a file in `pictures/`. Raises TypeError or ValueError for the rest.
        """
        self.sections.append(Section("picture", title, caption, image=encode(image)))

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """A table: one mapping a row, column name -> value. Columns come in the order they are first met.

        Numbers are printed to four significant digits; a missing value is a dash, a pair of numbers an interval.
        """
        self.sections.append(table(title, rows, caption))

    def text(self, title: str, text: str) -> None:
        """Plain text; an empty line begins a new paragraph."""
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        self.sections.append(Section("text", title, paragraphs=[part for part in paragraphs if part]))

    def embed(self, title: str, html: str, height: int, caption: str = "") -> None:
        """A page of its own within the page, such as a viewer of molecules: it runs its scripts, and sees nothing else.

        Args:
            title: of the section.
            html: a whole document that needs no other file and no network.
            height: in CSS pixels; the width is that of the report.
            caption: below it.
        """
        self.sections.append(Section("embedded", title, caption, html=html, height=height))

    def save_pictures(self, folder: Path) -> None:
        """Write all pictures as `01-title.png` or `.webp`, numbered as they come; makes the folder if there are any."""
        pictures = [section for section in self.sections if section.image]
        for number, section in enumerate(pictures, 1):
            assert section.image is not None
            folder.mkdir(exist_ok=True)
            name = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")[:48] or "picture"
            (folder / f"{number:02d}-{name}.{section.image.kind}").write_bytes(section.image.content)


def table(title: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> Section:
    """The section that `Report.table` adds."""
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    values = [[row.get(column) for column in columns] for row in rows]
    numeric = [all(_is_number(row[i]) for row in values) for i in range(len(columns))]
    cells = [[figure(value) for value in row] for row in values]
    return Section("table", title, caption, columns=columns, numeric=numeric, rows=cells)


def _is_number(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_number(item) for item in value)
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool)) or hasattr(value, "item")
