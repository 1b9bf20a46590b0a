"""What a task wants on its report: facts, pictures, tables and words, in the order they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffx.run.images import data_uri, open_picture
from diffx.run.words import figure


@dataclass
class Section:
    """One block of the page; `kind` (picture, table or text) says which of the other fields hold something."""

    kind: str
    title: str
    caption: str = ""
    uri: str = ""
    width: int = 0
    height: int = 0
    columns: list[str] = field(default_factory=list)
    numeric: list[bool] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)


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

        Shown at its own size, or smaller where the window is narrower. Raises TypeError or ValueError for the rest.
        """
        uri, width, height = data_uri(open_picture(image))
        self.sections.append(Section("picture", title, caption, uri=uri, width=width, height=height))

    def table(self, title: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """A table: one mapping a row, column name -> value. Columns come in the order they are first met.

        Numbers are printed to four significant digits; a missing value is a dash, a pair of numbers an interval.
        """
        self.sections.append(table(title, rows, caption))

    def text(self, title: str, text: str) -> None:
        """Plain text; an empty line begins a new paragraph."""
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        self.sections.append(Section("text", title, paragraphs=[part for part in paragraphs if part]))


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


def metrics_section(metrics: Mapping[str, Any]) -> Section | None:
    """The table of final figures: value beside trivial baseline and real-against-real floor; None without metrics.

    Columns that no metric fills are left out; groups are flattened to dotted names. What lies more than three names
    deep (appliance, method, figure, ...) would be hundreds of rows: it is for metrics.json and the task's own tables.
    """
    rows = [_metric_row(name, value) for name, value in _flat(metrics)]
    if not rows:
        return None
    order = ["metric", "value", "95 % interval", "trivial baseline", "real vs real floor", "note"]
    filled = [column for column in order if any(row.get(column) not in (None, "") for row in rows)]
    return table("Metrics", [{column: row.get(column) for column in filled} for row in rows])


def _flat(metrics: Mapping[str, Any], prefix: str = "", depth: int = 3) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping) and "value" not in value:
            found += _flat(value, f"{prefix}{name}.", depth - 1) if depth > 1 else []
        else:
            found.append((f"{prefix}{name}", value))
    return found


def _metric_row(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"metric": name, "value": "not finite" if value is None else value}
    rest = {key: item for key, item in value.items() if key not in ("value", "interval", "baseline", "floor")}
    return {
        "metric": name,
        "value": "not finite" if value["value"] is None else value["value"],
        "95 % interval": value.get("interval"),
        "trivial baseline": value.get("baseline"),
        "real vs real floor": value.get("floor"),
        "note": figure(rest) if rest else None,
    }
