"""The trained prior, told what is known: samples of latents given a measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from diffx.errors import UsageError
from diffx.plan import make_plan
from diffx.predict import Predict
from diffx.sampling import sample as run_plan
from diffx.state import each
from diffx.tasks import predictor, ready

from .face import BrainSynth
from .restoring import BrainRestoring

Guide = Callable[[Predict], Predict]


class Prior:
    """Latents of brains of an age and a sex (None: anybody), as the weights have learned them.

    The process moves latents less their expectation at that age and sex, `mean` [1, 3+K, *grid]; guides act on that.
    """

    def __init__(self, synth: BrainSynth, age: float | None = None, sex: str | None = None) -> None:
        self.synth, self.person = synth, {"age": age, "sex": sex}
        self.device = ready(synth.model, synth.config.device)
        self.mean = synth.codec.expected([age], [sex]).to(self.device)

    @property
    def schedule(self):
        """The noise schedule, for guides."""
        return self.synth.process.schedule

    def draw(self, guide: Guide, seeds: Sequence[int], options: BrainRestoring) -> torch.Tensor:
        """Latents [N, 3+K, *grid] on the host, one a seed, of the prediction that `guide` makes of the network's.

        Raises UsageError for an age or a sex the weights do not know, or an unknown sampler.
        """
        synth = self.synth
        try:
            plan = make_plan(synth.process, options.sampler, options.steps, stop=options.stop)
            values = synth.model.conditioning.collate([self.person])
        except ValueError as error:
            raise UsageError(str(error)) from None
        predict, condition = predictor(synth.model, each(lambda field: field.to(self.device), values), 1.0)
        shape = synth.codec.shape
        drawn = [
            run_plan(guide(predict), synth.process, plan, shape, [seed], condition, device=self.device)
            for seed in seeds  # one by one: a graph through the network is kept, and its size is that of the batch
        ]
        return (torch.cat(drawn) + self.mean).cpu()
