"""Options of task=evaluate and task=train_measures."""

from __future__ import annotations

from dataclasses import dataclass

from diffx.config import option


@dataclass
class EvaluateConfig:
    """How synthetic brains are compared with real ones."""

    n: int = option(0, help="brains to draw; 0: one for each held-out scan, at most 30", min=0, max=10_000)
    measures: str = option("mri-measures-ixi", help="segmenter, encoder and age regression: an id, a file or a run")
    ceiling: bool = option(False, help="also put the held-out scans through the codec: what no prior can beat")
    segmenter_steps: int = option(900, help="task=train_measures: optimiser steps of the segmenter", min=1)
    encoder_steps: int = option(500, help="task=train_measures: optimiser steps of the encoder", min=1)
