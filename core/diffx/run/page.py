"""report.html: one file that opens anywhere, with nothing in it that the run did not measure."""

from __future__ import annotations

import dataclasses
import shlex
from datetime import datetime
from importlib import resources
from typing import Any

from diffx.config import RunConfig, schema
from diffx.io.files import read_lines
from diffx.run.curves import loss_curve, other_curves
from diffx.run.folder import Run
from diffx.run.judgement import goals_section, metrics_section
from diffx.run.words import duration, figure, size

MOST_FILES = 40
STEPS = (360, 400, 450, 500, 560, 620, 700, 780, 860, 940, 1040, 1150)  # widths, in px, at which a hint to scroll shows


def render(run: Run, status: dict[str, Any], env: dict[str, Any]) -> str:
    """The page as text; `status` and `env` are what status.json and env.json hold.

    The pictures are also written as files, into `pictures/` of the run folder.
    """
    from jinja2 import Environment, StrictUndefined

    source = resources.files("diffx.run").joinpath("report.html.j2").read_text(encoding="utf-8")
    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    records = read_lines(run.folder / "metrics.jsonl")
    if run.is_main:
        run.report.save_pictures(run.folder / "pictures")
    files = written(run)
    begun = datetime.fromisoformat(status["started"])
    return engine.from_string(source).render(
        run=run,
        status=status,
        when=f"{begun.day} {begun:%B %Y, %H:%M}",
        took=duration(status["resources"]["wall_s"]),
        asked=asked(run.cfg),
        goals=goals_section(run.metrics),
        metrics=metrics_section(run.metrics),
        steps=STEPS,
        step_of=lambda least: next((step for step in STEPS if step >= least), STEPS[-1]),
        losses=loss_curve(records),
        others=other_curves(records),
        files=files[:MOST_FILES],
        more_files=len(files) - MOST_FILES,
        card=resource_rows(status),
        env=env,
        command=shlex.join(["diffx", *run.argv]) if run.argv else "",
        config=(run.folder / "config.yaml").read_text(encoding="utf-8"),
    )


def asked(cfg: Any) -> list[tuple[str, str]]:
    """What was asked for, with units: the options a plugin adds to those every run has, then n and the seed."""
    common = {item.name for item in dataclasses.fields(RunConfig)}
    options = [option for option in schema(type(cfg)).options.values() if len(option.path) == 1]
    own = [option for option in options if option.path[0] not in common]
    always = [option for name in ("n", "seed") for option in options if option.key == name]
    found = []
    for option in [*own, *always]:
        value = getattr(cfg, option.path[0])
        if value not in (None, [], ""):
            unit = "" if isinstance(value, bool) else option.unit
            found.append((option.key.replace("_", " "), f"{figure(value)} {unit}".strip()))
    return found


def written(run: Run) -> list[tuple[str, str]]:
    """(path inside the run folder, size) of what was made: samples, checkpoints, pictures."""
    found = []
    for name in ("samples", "checkpoints", "pictures"):
        for path in sorted((run.folder / name).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                found.append((path.relative_to(run.folder).as_posix(), size(path.stat().st_size)))
    return found


def resource_rows(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, figure, remark) of the resource card; the earlier sessions of a resumed run are summed apart."""
    card = status["resources"]
    wall, cpu = card["wall_s"], card["cpu_s"]
    busy = f"{cpu / wall:.1f} cores busy on average" if wall > 0 else ""
    rows = [("Wall time", duration(wall), ""), ("CPU time", duration(cpu), busy)]
    if card["peak_memory_bytes"] is not None:
        rows.append(("Peak memory", size(card["peak_memory_bytes"]), "largest process"))
    for gpu in card.get("gpus", []):
        rows.append(("Peak GPU memory", size(gpu["peak_memory_bytes"]), gpu["name"]))
    wh = card["energy"]["wh"]
    rows.append(("Energy, estimated", f"{figure(wh, 3)} Wh", "; ".join(card["energy"]["assumptions"])))
    earlier = [session["resources"] for session in status.get("sessions", []) if session.get("resources")]
    if status.get("sessions"):
        total = wall + sum(one["wall_s"] for one in earlier)
        spent = wh + sum(one["energy"]["wh"] for one in earlier)
        unknown = len(status["sessions"]) - len(earlier)
        remark = f"{len(status['sessions']) + 1} sessions"
        remark += f", {unknown} of them killed and not counted" if unknown else ""
        rows.append(("With earlier sessions", f"{duration(total)}, {figure(spent, 3)} Wh", remark))
    return rows
