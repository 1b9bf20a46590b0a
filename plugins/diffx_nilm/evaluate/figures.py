"""The figures of an evaluation with what is wanted of them: an appliance's scores beside the baselines'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffx.evaluation import Baseline, Better, Figure, Goal

from .trials import OURS

TITLES = {OURS: "diffx", "always_off": "always off", "gbm": "gradient boosting", "seq2point": "seq2point"}
SHOWN: dict[str, tuple[str, str, Better]] = {  # figure -> (title, unit, better)
    "mae": ("mean absolute error", "W", "lower"), "f1": ("F1", "", "higher"),
    "average_precision": ("average precision", "", "higher"), "sae": ("SAE", "", "lower"),
    "teca": ("TECA", "", "higher"), "nde": ("NDE", "", "lower"), "match_rate": ("match rate", "", "higher"),
    "crps": ("CRPS", "W", "lower"), "coverage50": ("coverage of the 50 % interval", "", ""),
    "coverage90": ("coverage of the 90 % interval", "", ""),
    "energy_coverage90": ("coverage of the 90 % interval of a day's energy", "", ""),
}  # fmt: skip
F1_GOALS = {"kettle": 0.95, "dishwasher": 0.75, "washing_machine": 0.45, "microwave": 0.70, "fridge": 0.80}
LESS = 0.9  # the mean absolute error that is wanted, of the best baseline's
COVERAGE_GOAL = Goal(0.85, 0.95)


def scores(key: str, methods: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    """Figures of one appliance.

    Args:
        key: of the appliance.
        methods: method -> figure -> number, of :meth:`.Trial.figures`.
    """
    own = methods[OURS]
    found = {}
    for name, (title, unit, better) in SHOWN.items():
        if name not in own:
            continue
        others = [Baseline(TITLES.get(m, m), of[name]) for m, of in methods.items() if m != OURS]
        others = [one for one in others if one.value is not None]
        goal = None
        if name == "mae" and others:
            least = min(one.value for one in others if one.value is not None)
            goal = Goal(high=LESS * least, wanted=f"at most {LESS:g} of the best baseline's, {LESS * least:.4g} W")
        elif name == "f1" and key in F1_GOALS:
            goal = Goal(low=F1_GOALS[key])
        elif name == "coverage90":
            goal = COVERAGE_GOAL
        found[name] = Figure(
            own[name], own.get(f"{name}_interval"), baselines=others, n=own["n_days"], unit=unit, better=better,
            goal=goal, title=f"{key.replace('_', ' ')}: {title}",
        )  # fmt: skip
    return found
