"""The trained prior, told what is known: samples of latents given a measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from diffx.config import SampleConfig
from diffx.predict import Predict

from .config import RestoreConfig
from .model import BrainModel

Guide = Callable[[Predict], Predict]


class Prior:
    """Latents of brains of an age and a sex (None: anybody), as the weights have learned them.

    The process moves latents less their expectation at that age and sex, `mean` [1, 3+K, *grid]; guides act on that.
    """

    def __init__(self, synth: BrainModel, age: float | None = None, sex: str | None = None) -> None:
        self.pipeline, self.shape, self.person = synth.pipeline, synth.codec.shape, {"age": age, "sex": sex}
        self.device = synth.pipeline.device
        self.mean = synth.codec.expected([age], [sex]).to(self.device)

    @property
    def schedule(self):
        """The noise schedule, for guides."""
        return self.pipeline.process.schedule

    def draw(self, guide: Guide, seeds: Sequence[int], options: RestoreConfig) -> torch.Tensor:
        """Latents [N, 3+K, *grid] on the host, one a seed, of the prediction that `guide` makes of the network's.

        Raises UsageError for an age or a sex the weights do not know, or an unknown sampler.
        """
        # one by one: a graph through the network is kept, and its size is that of the batch
        asked = SampleConfig(options.sampler, options.steps, stop=options.stop, batch=1)
        drawn = self.pipeline.batches(self.person, seeds, asked, lambda predict, _: guide(predict), shape=self.shape)
        return (torch.cat([z for _, z in drawn]) + self.mean).cpu()
