"""Two hooks: one after each recorded step, one at the end. MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import diffx

NOTE = "mlflow-run.txt"  # in the run's folder: the id of its MLflow run, for a resumed one to go on in


class _Open(NamedTuple):
    client: Any
    id: str


_open: dict[Any, _Open] = {}  # the runs that are going on, by their folder


@diffx.hookimpl
def diffx_step(run: Any, step: int, values: Mapping[str, Any], recorded: bool) -> None:
    if run.is_main and recorded:
        ours = _run_of(run)
        for name, value in values.items():
            ours.client.log_metric(ours.id, name, value, step=step)


@diffx.hookimpl
def diffx_finish(run: Any, error: BaseException | None) -> None:
    if not run.is_main:
        return
    ours = _run_of(run)
    for name, figure in run.metrics.items():
        value = figure.get("value") if isinstance(figure, Mapping) else figure
        if isinstance(value, int | float):
            ours.client.log_metric(ours.id, name, value)
    status = "FINISHED" if error is None else "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
    ours.client.set_terminated(ours.id, status)
    del _open[run.folder]


def _run_of(run: Any) -> _Open:
    """The MLflow run, made or taken up again. Without MLFLOW_TRACKING_URI it is kept in the run's folder, mlruns/."""
    if run.folder in _open:
        return _open[run.folder]
    from mlflow import MlflowClient

    where = os.environ.get("MLFLOW_TRACKING_URI")
    if not where:
        os.environ.setdefault(
            "MLFLOW_ALLOW_FILE_STORE", "true"
        )  # MLflow 3 refuses files unless told so; no server here
        where = (run.folder / "mlruns").resolve().as_uri()
    client = MlflowClient(where)
    note = run.folder / NOTE
    if note.exists():
        ours = _Open(client, note.read_text(encoding="utf-8").strip())
        client.update_run(ours.id, status="RUNNING")
    else:
        ours = _Open(client, _begin(client, run))
        note.write_text(ours.id + "\n", encoding="utf-8")
    _open[run.folder] = ours
    return ours


def _begin(client: Any, run: Any) -> str:
    """A new MLflow run with the options of ours; its id."""
    from diffx.pipeline import flat

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.cfg.plugin
    experiment = client.get_experiment_by_name(name)
    where = client.create_experiment(name) if experiment is None else experiment.experiment_id
    made = client.create_run(where, run_name=run.folder.name)
    for key, value in flat(run.cfg):
        client.log_param(made.info.run_id, key, value)
    return made.info.run_id
