"""Earlier runs, read from the folders they left. No torch here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from diffx.errors import UsageError, did_you_mean
from diffx.io.files import read_lines
from diffx.io.home import expanded
from diffx.io.yamltext import read_mapping
from diffx.run.location import ROOT
from diffx.run.resume import read_status

DEPTH = 3  # runs/<plugin>/<date-time>-<task>, and one folder of the user's own


@dataclass(frozen=True)
class Past:
    """A folder that holds a run, and what its status.json says."""

    folder: Path
    status: Mapping[str, Any]

    @property
    def plugin(self) -> str:
        return str(self.status.get("plugin"))

    @property
    def task(self) -> str:
        return str(self.status.get("task"))

    @property
    def started(self) -> datetime:
        """When it began, or was last gone on with."""
        try:
            return datetime.fromisoformat(self.status["started"]).astimezone()
        except (KeyError, TypeError, ValueError):
            return datetime.fromtimestamp(0).astimezone()

    @property
    def outcome(self) -> str:
        """ok, failed, interrupted, running, or killed: it never came to write its end."""
        said = str(self.status.get("status"))
        return "killed" if said == "running" and not _alive(self.status.get("pid")) else said

    @property
    def seconds(self) -> float | None:
        """How long it took, all its sessions together; None where that was not written."""
        sessions = [self.status, *self.status.get("sessions", [])]
        known = [s["resources"]["wall_s"] for s in sessions if isinstance(s.get("resources"), dict)]
        return sum(known) if known else None

    @property
    def bytes(self) -> int:
        """What it takes on the disk."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if not path.is_dir())

    @property
    def has_weights(self) -> bool:
        return any(self.folder.rglob("*.safetensors"))

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def options(self) -> dict[str, str]:
        """Its configuration, flat, as text."""
        try:
            return dict(_flat(read_mapping(self.folder / "config.yaml")))
        except ValueError:
            return {}

    def figures(self) -> dict[str, Any]:
        """Its final figures, flat; of a training the last losses."""
        try:
            found = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        figures = dict(_flat(found)) if isinstance(found, dict) else {}
        for line in read_lines(self.folder / "metrics.jsonl"):
            figures |= {key: line[key] for key in ("loss", "val_loss") if key in line}
        return figures

    def main_figure(self) -> tuple[str, Any] | None:
        """The figure that says most: one with a goal, an evaluated one, the validation loss, or else the first."""
        figures = {k: v for k, v in self.figures().items() if isinstance(v, int | float) and not isinstance(v, bool)}
        evaluated = [key.removesuffix(".goal") + ".value" for key in figures if key.endswith(".goal")]
        evaluated += [key for key in figures if key.endswith(".value")]
        plain = [key for key in figures if not key.startswith(("seconds", "n_")) and key not in ("loss", "val_loss")]
        for key in (*evaluated, *(["val_loss"] if self.task == "train" else []), *plain, "val_loss", "loss", *figures):
            if key in figures:
                return key.removesuffix(".value"), figures[key]
        return None


def past_runs(root: Path = ROOT, plugin: str = "", task: str = "") -> list[Past]:
    """The runs below a folder, newest first; of one plugin or task where these are given."""
    found = [run for run in _below(root, DEPTH) if plugin in ("", run.plugin) and task in ("", run.task)]
    return sorted(found, key=lambda run: (run.started, str(run.folder)), reverse=True)


def find_run(name: str, root: Path = ROOT) -> Past:
    """The run whose folder `name` is, or the one whose path below `root` holds it. Raises UsageError."""
    folder = expanded(name)
    status = read_status(folder)
    if status is not None and "plugin" in status:
        return Past(folder, status)
    known = past_runs(root)
    matching = [run for run in known if name in run.folder.relative_to(root).as_posix()]
    if len(matching) == 1:
        return matching[0]
    if matching:
        some = ", ".join(str(run.folder) for run in matching[:3])
        raise UsageError(f"{name}: {len(matching)} runs are called so: {some}{', ...' if len(matching) > 3 else ''}")
    hint = did_you_mean(name, [run.folder.name for run in known])
    raise UsageError(f"{name}: no such run{hint} (`diffx runs list` shows those in {root})")


def _below(folder: Path, depth: int) -> Iterator[Past]:
    status = read_status(folder)
    if status is not None and "plugin" in status and "task" in status:
        yield Past(folder, status)
    elif depth and folder.is_dir():
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                yield from _below(inner, depth - 1)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def differing(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not the same in all tables: key -> the value in each, None where it has none."""
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = {key: [table.get(key) for table in tables] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}
