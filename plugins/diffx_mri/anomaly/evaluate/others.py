"""What other methods say of a scan: the regression and the autoencoder that the diffusion is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from diffx.errors import DataError

from ...volume import Volume
from ..face import AnomalyDetector
from ..model import HealthyModel
from ..score import Settings, median
from ..stack import Stack
from .scores import odds


class Others:
    """Models of other methods, by the name of their method.

    Args:
        models: of one contrast.
        settings: filters of the maps.

    Raises:
        DataError: two models of one method.
    """

    def __init__(self, models: Sequence[HealthyModel], settings: Settings):
        self.models = {model.config.method: model for model in models}
        self.settings = settings
        if len(self.models) < len(models):
            raise DataError("evaluate.others: two of the weights are of one method")

    @classmethod
    def load(cls, references: Sequence[str], device: str, settings: Settings, say: Callable[[str], None]) -> Others:
        """Weights by id, file or run folder."""
        models = []
        for reference in references:
            model = HealthyModel.load(reference, device)
            model.pipeline.announce(say, reference)
            models.append(model)
        return cls(models, settings)

    def maps(self, scan: Volume, brain: Volume | None) -> dict[str, np.ndarray]:
        """A score [X, Y, Z] of each method, in an order of its own, 0 outside the region."""
        return {
            method: _residual(model, scan, brain, self.settings)
            if method == "autoencoder"
            else odds(AnomalyDetector(model).maps(scan, brain, settings=self.settings).anomaly)
            for method, model in self.models.items()
        }


def _residual(model: HealthyModel, scan: Volume, brain: Volume | None, settings: Settings) -> np.ndarray:
    """Scan less reconstruction where that is positive, in FLAIR, or its size, filtered (Kascenas et al. 2022)."""
    stack = Stack.of(scan, brain, model.contrast)
    difference = stack.slices - model.draw(stack, [0]).samples[0]
    off = np.maximum(difference, 0) if model.contrast == "FLAIR" else np.abs(difference)
    return stack.restore(median(off, settings.median, settings.layers) * stack.region)
