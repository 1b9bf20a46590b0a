"""What a run writes about itself: command, configuration, environment, status, report."""

from __future__ import annotations

import os
import shlex
import traceback as tracebacks
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from diffx.errors import in_one_line
from diffx.io.files import write_json, write_text
from diffx.run.environment import environment

if TYPE_CHECKING:
    from diffx.run.folder import Run


@dataclass
class Outcome:
    """How a run ended: `status` is ok, failed or interrupted; `error` is one line, or None."""

    status: str
    exit_code: int
    error: str | None = None


def write_beginning(run: Run) -> None:
    """command.txt, config.yaml, env.json, and status.json, which says "running" and stays so after a kill -9."""
    from diffx.config import to_yaml

    command = run.folder / "command.txt"
    earlier = command.read_text(encoding="utf-8") if command.exists() else ""
    write_text(command, earlier + shlex.join(["diffx", *run.argv]) + "\n")
    write_text(run.folder / "config.yaml", to_yaml(run.cfg))
    write_json(run.folder / "env.json", environment(run.cfg.device))
    write_json(run.folder / "status.json", {**_who(run), "status": "running", "pid": os.getpid()})


def write_end(run: Run, outcome: Outcome, card: dict[str, Any]) -> Outcome:
    """metrics.json, env.json, report.html, and status.json last; the outcome, failed if the report could not be made.

    Args:
        card: what the run used, as `diffx.run.resources.Meter.card` says it.
    """
    write_json(run.folder / "metrics.json", run.metrics)
    env = environment(run.cfg.device)
    write_json(run.folder / "env.json", env)

    def status() -> dict[str, Any]:
        return {
            **_who(run),
            "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
            "status": outcome.status,
            "exit_code": outcome.exit_code,
            "error": outcome.error,
            "flags": run.flags,
            "failures": run.failures,
            "resources": card,
        }

    try:
        from diffx.run.page import render

        write_text(run.folder / "report.html", render(run, status(), env))
    except Exception as error:  # a picture of the work must not lose the work
        run.log_only(tracebacks.format_exc().rstrip())
        run.flag(f"report.html could not be written: {in_one_line(error)}")
        if outcome.status == "ok":
            outcome = Outcome("failed", 1, f"the work is done, but not its report: {in_one_line(error)}")
    write_json(run.folder / "status.json", status())
    return outcome


def _who(run: Run) -> dict[str, Any]:
    """The head of status.json; `sessions` are the earlier goes of a resumed run, oldest first."""
    head = {"plugin": run.cfg.plugin, "task": run.cfg.task, "started": run.started.isoformat(timespec="seconds")}
    if run.before:
        last = {key: run.before.get(key) for key in ("started", "ended", "status", "error", "resources")}
        if last["status"] == "running":
            last["status"] = "killed"  # it never came to write its end
        head["sessions"] = [*run.before.get("sessions", []), last]
    return head
