"""What `task=` can be. Training is the core's; rows are drawn here, as given columns ask for more than conditions."""

from __future__ import annotations

from dataclasses import replace

import diffx
from diffx import tasks as core
from diffx.run import Run
from diffx_tabular import reader
from diffx_tabular.data import Data
from diffx_tabular.evaluate import Evaluation
from diffx_tabular.generator import Generator
from diffx_tabular.pictures import correlations, marginals
from diffx_tabular.table import known


def train(run: Run) -> None:
    """Train on the rows of the table; what its columns are is kept with the weights."""
    cfg = run.cfg
    data = Data.load(cfg.data)
    table = data.table
    cfg.levels = [len(c.levels) for c in table.categories]  # a spec has shapes only, and the network is built from it
    run.log(
        f"{len(table.columns)} columns: {len(table.numbers)} of numbers, "
        f"{len(table.columns) - len(table.numbers)} of categories"
    )
    splits = {split: data.rows(split, cfg.condition) for split in ("train", "val")}
    core.train(run, extra=table.tensors(), meta={"table": table.to_json()}, data=splits)


def sample(run: Run) -> None:
    """``n`` rows, written to samples/table.csv in the form of the table that was learnt."""
    cfg = run.cfg
    given = dict(entry.split("=", 1) for entry in cfg.given)
    rows = Generator.of(cfg).draw(run, cfg.n, given)
    path = reader.write(run.samples / "table.csv", rows)
    run.metric("rows", cfg.n)
    asked = {f"given: {name}": value or "missing" for name, value in given.items()}
    run.report.facts({"rows": cfg.n, "steps": cfg.sample.steps, **asked})
    shown = min(cfg.n, 20)
    run.report.table(f"The first {shown} rows", [{k: v[i] for k, v in rows.items()} for i in range(shown)])
    run.log(f"rows: {path}")


def evaluate(run: Run) -> None:
    """As many rows as were trained on, compared with rows held out; beside them real rows and independent columns."""
    cfg = run.cfg
    generator = Generator.of(cfg)
    data = Data.load(replace(generator.trained.data, root=cfg.data.root))
    if not data.table.same(generator.table):
        name = cfg.data.root or "the diabetes study"
        raise diffx.DataError(f"{name}: not the table that the weights from={cfg.from_} were trained on")
    target = cfg.target or data.table.columns[-1].name
    known([c.name for c in data.table.columns], target, "target")
    rows = generator.draw(run, reader.length(data.train), {})
    reader.write(run.samples / "table.csv", rows)
    found = Evaluation.of(data, rows, target, cfg.seed)
    for name, value in found.figures.items():
        run.metric(name, value)
    if found.audit.alarm:
        run.flag(f"the rows may give training rows away: {found.audit}")
    run.report.facts({"training rows": found.audit.train, "rows held out": found.audit.held_out, "target": target})
    caption = (
        "Worst first. Numbers: 1 - Kolmogorov-Smirnov distance from the rows held out; categories: 1 - total variation."
    )
    run.report.table("Columns", found.columns, caption)
    run.report.picture("Columns: held-out rows and new ones", marginals(data.table, data.held_out, rows))
    if len(data.table.numbers) > 1:
        run.report.picture("Rank correlation", correlations(data.table, data.held_out, rows))
    run.report.text("Privacy", str(found.audit))
