"""The adapter for nilmtk-contrib: what its experiments call a disaggregator (Batra et al. 2019).

from diffx_nilm.contrib import Diffx
experiment = {..., "methods": {"diffx": Diffx({})}, ...}
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from diffx.errors import DataError, UsageError, did_you_mean
from diffx.run import Run
from diffx.run.progress import Screen

from .appliances import KNOWN, Appliance, choose
from .config import PowerConfig, PowerTraining
from .face import Disaggregator
from .pack import pack_house, save_packed
from .read import Options, read

_KNOWN = {"weights", "steps", "n", "seed", "sample_period", "appliances", "train"}


class Diffx:
    """Diffusion with the interface of nilmtk-contrib: ``partial_fit``, then ``disaggregate_chunk``.

    Args:
        params: ``weights``: an id, a file or a run folder; by default those that are shipped. ``steps``: of training on
            what ``partial_fit`` is given, from scratch; 0, the default, uses the weights as they are. ``n``: samples.
            ``seed``. ``sample_period``: seconds of the grid, when training. ``appliances``: further
            :class:`~diffx_nilm.appliances.Appliance` to know by name. ``train``: further options of training, as
            ``batch`` and ``lr``.

    Raises:
        UsageError: anything else, or an option of training that there is not.
    """

    MODEL_NAME = "diffx"
    chunk_wise_training = False

    def __init__(self, params: dict[str, Any]):
        if unknown := set(params) - _KNOWN:
            wrong = ", ".join(sorted(unknown))
            raise UsageError(f"diffx takes {', '.join(sorted(_KNOWN))}, not {wrong}{did_you_mean(wrong, _KNOWN)}")
        options = {f.name for f in fields(PowerTraining)} - {"steps"}
        for name in params.get("train", {}):
            if name not in options:
                raise UsageError(f"diffx: training has no option {name!r}{did_you_mean(name, sorted(options))}")
        if params.get("train") and not params.get("steps"):
            raise UsageError("diffx: options of training come with steps, of how many there are to be")
        self.params = params
        self.known: tuple[Appliance, ...] = (*params.get("appliances", ()), *KNOWN)
        self.face: Disaggregator | None = None
        self.names: list[str] = []

    def partial_fit(
        self,
        train_main: Sequence[pd.DataFrame],
        train_appliances: Sequence[tuple[str, Sequence[pd.DataFrame]]],
        **load_kwargs: Any,
    ) -> None:
        """Learn, or look whether the weights know what is asked for.

        Args:
            train_main: mains of each chunk: a time index and one column in W.
            train_appliances: of each appliance its name and its power in the same chunks.

        Raises:
            UsageError: an appliance that the weights, or this package, do not know.
        """
        self.names = [name for name, _ in train_appliances]
        if not self.params.get("steps"):
            self.face = Disaggregator.load(self.params.get("weights"))
            choose(self.names, self.face.appliances)
            return
        appliances = choose(self.names, self.known)
        period = float(self.params.get("sample_period", 30))
        options = Options(time="Time", mains="Aggregate", period=period, appliances=appliances)
        houses = []
        for number, main in enumerate(train_main):
            columns = {"Time": main.index, "Aggregate": main.iloc[:, 0].to_numpy()}
            for appliance, (_, chunks) in zip(appliances, train_appliances, strict=True):
                columns[appliance.key] = chunks[number].iloc[:, 0].reindex(main.index).to_numpy()
            house = read(pd.DataFrame(columns), options)
            houses.append(pack_house(replace(house, name=f"chunk {number}"), appliances))
        self.face = self._trained(houses, appliances, period)

    def disaggregate_chunk(self, test_main_list: Sequence[pd.DataFrame], **kwargs: Any) -> list[pd.DataFrame]:
        """The median power of each appliance, W, at the times of each chunk of mains; 0 where these are not known.

        DataError before ``partial_fit``.
        """
        if self.face is None:
            raise DataError("diffx: partial_fit comes before disaggregate_chunk")
        asked = choose(self.names, self.face.appliances)
        found = []
        for main in test_main_list:
            frame = pd.DataFrame({"Time": main.index, "Aggregate": main.iloc[:, 0].to_numpy()})
            result = self.face.disaggregate(
                frame, self.params.get("n", 32), self.params.get("seed", 0), time="Time", mains="Aggregate"
            )
            power = result.power[[a.key for a in asked]].fillna(0)
            # a period's power holds from its beginning until the next one
            power = power.reindex(main.index, method="ffill", tolerance=pd.Timedelta(seconds=self.face.period)).fillna(
                0
            )
            found.append(power.set_axis(self.names, axis=1))
        return found

    def _trained(self, houses: list[Any], appliances: tuple[Appliance, ...], period: float) -> Disaggregator:
        from .tasks.train import train

        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / "houses.safetensors"
            save_packed(packed, houses, appliances, period)
            cfg = PowerConfig(plugin="nilm", task="train", seed=self.params.get("seed", 0))
            cfg.appliances = [a.key for a in appliances]
            cfg.data.root, cfg.data.period, cfg.data.holdout = str(packed), period, 0.0
            for key, value in {"steps": self.params["steps"], **self.params.get("train", {})}.items():
                setattr(cfg.train, key, value)
            run = Run(cfg, Path(folder) / "run", screen=Screen(quiet=True))
            train(run)
            return Disaggregator.load(run.folder)
