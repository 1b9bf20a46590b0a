"""`task=evaluate`: figures beside baselines in metered houses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from diffx.errors import DataError, UsageError
from diffx.io.checkpoint import read_meta
from diffx.io.home import expanded
from diffx.plugins.weights import resolve_weights

from ..baselines import Baseline, fit_all, load_all, save_all
from ..calibration import uncalibrated
from ..config import PowerSampling
from ..data import chosen, metered
from ..evaluate import report as compare_report
from ..evaluate.days import Days, misplaced
from ..evaluate.figures import scores
from ..evaluate.trials import Judged, Trial
from ..face import PLUGIN, Disaggregator
from ..household import Household
from .calibrate import last
from .disaggregate import usage_of

BASELINES = "nilm-baselines-refit"  # shipped with the package


def evaluate(run: Any) -> None:
    """Disaggregate the last ``data.days`` days of each house of ``data.root`` and score them against its meters.

    ``metrics.json``: ``appliances -> kettle -> diffx | always_off | gbm | seq2point -> figure`` over all houses, and
    ``houses -> name -> appliances -> ...`` of each; the figures are those of :mod:`diffx_nilm.evaluate.scores`.
    ``scores -> kettle -> figure`` holds ours over all houses in the form of docs/evaluation.md, with baselines and
    goals. A house that cannot be read, or where no appliance was metered, is listed as failed, and the others are done.
    """
    cfg = run.cfg
    face = Disaggregator.load(cfg.from_, cfg.device, cfg.extensions)
    names = list(chosen(cfg))
    baselines = baselines_of(run, face, names)
    judged, worst, seconds = [], Days(misplaced), 0.0
    for name in names:
        try:
            (house,) = metered(_of(cfg, cfg.data.root, [name]), face.appliances, run.log)
            began = time.perf_counter()
            judged.append(judge(run, face, baselines, last(scorable(house, face), cfg.data.days), worst))
            seconds += time.perf_counter() - began
        except DataError as error:
            run.fail(name, error)
    if not judged:
        raise DataError(f"{cfg.data.root}: no house in it that figures could be had from")
    energies = {a.key: energy for a, energy in zip(face.appliances, face.calibration.energies, strict=True)}
    found = [key for key in energies if any(key in house.trials for house in judged)]
    pooled = {key: Trial.pooled([house.trials[key] for house in judged if key in house.trials]) for key in found}
    figures = {key: trial.figures(energies[key], spans=True) for key, trial in pooled.items()}
    each = {house.name: {key: trial.figures(energies[key]) for key, trial in house.trials.items()} for house in judged}
    run.metric("appliances", figures)
    run.metric("scores", {key: scores(key, of) for key, of in figures.items()})
    run.metric("houses", {name: {"appliances": of} for name, of in each.items()})
    run.metric("seconds_per_day", seconds / max(sum(house.known for house in judged), 1e-9))
    if doubt := uncalibrated(face.meta, cfg.n, asdict(cfg.sample), asdict(PowerSampling())):
        run.flag(doubt)
    compare_report.write(run, judged, pooled, figures, each, worst.ranked())


def baselines_of(run: Any, face: Disaggregator, houses: list[str]) -> dict[str, Baseline]:
    """The baselines that ``baselines`` names, fitted if need be. UsageError where they work on another grid."""
    cfg = run.cfg
    if cfg.baselines and expanded(cfg.baselines).is_dir():
        training = metered(_of(cfg, cfg.baselines, []), face.appliances, run.log)
        found, fitted_on = fit_all(training, face.appliances, cfg.seed, run.log), [house.name for house in training]
        path = run.checkpoints / "baselines.safetensors"
        save_all(path, found, fitted_on)
        run.log(f"baselines: {path}")
    else:
        path = resolve_weights(cfg.baselines or BASELINES, PLUGIN)
        found, fitted_on = load_all(path), read_meta(path)["houses"]
    for name, one in found.items():
        if one.period != face.period:
            raise UsageError(f"baselines: {name} works on {one.period:g} s, and the weights on {face.period:g} s")
    if seen := sorted(set(fitted_on) & set(houses)):
        run.flag(f"the baselines were fitted on {', '.join(seen)}: they look better there than they are")
    return found


def scorable(house: Household, face: Disaggregator) -> Household:
    """The house with those of its meters that say something beside its mains. DataError where there are none."""
    keys = {a.key for a in face.appliances}
    parts = {k: v for k, v in house.parts.items() if k in keys and (np.isfinite(v) & np.isfinite(house.mains)).any()}
    if not parts:
        raise DataError(f"no meter of {', '.join(sorted(keys))} that knows anything when the mains are known")
    return replace(house, parts=parts)


def judge(run: Any, face: Disaggregator, baselines: Mapping[str, Baseline], house: Household, worst: Days) -> Judged:
    """Every method in one house: the baselines at once, the samples a week at a time."""
    cfg = run.cfg
    said = {name: _by_key(baseline, house) for name, baseline in baselines.items()}
    opened = face.open(house, usage=usage_of(cfg, face), seed=cfg.seed, say=run.log)
    trials = {a.key: Trial(a, house.period) for a in face.appliances if a.key in house.parts}
    at = 0
    with run.progress(max(round(house.days), 1), house.name, unit="day") as bar:
        for piece in face.pieces(opened, cfg.n, cfg.seed, cfg.sample):
            stop = at + len(piece.household)
            for a, appliance in enumerate(face.appliances):
                if trial := trials.get(appliance.key):
                    here = {n: of[appliance.key][at:stop] for n, of in said.items() if appliance.key in of}
                    trial.add(piece, a, here)
            worst.add(piece)
            before, at = at, stop
            bar.advance(round(at * house.period / 86_400) - round(before * house.period / 86_400))
    known = float(np.isfinite(house.mains).sum()) * house.period / 86_400
    return Judged(house.name, known, trials)


def _by_key(baseline: Baseline, house: Household) -> dict[str, np.ndarray]:
    return dict(zip((a.key for a in baseline.appliances), baseline.predict(house.mains), strict=True))


def _of(cfg: Any, root: str, houses: list[str]) -> Any:
    """The configuration for these houses of this folder."""
    return replace(cfg, data=replace(cfg.data, root=root, houses=houses))
