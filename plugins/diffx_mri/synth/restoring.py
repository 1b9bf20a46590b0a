"""Options of filling lesions and of thick slices."""

from __future__ import annotations

from dataclasses import dataclass

from diffx import option


@dataclass
class BrainRestoring:
    """How the prior is asked for what a scan does not show."""

    sampler: str = option("dpmpp_2m", help="the solver, as sample.sampler")
    steps: int = option(12, help="steps of the solver", min=1)
    stop: float = option(
        1.0, help="noise (sigma/alpha) at which the prediction is taken for the sample; less: more texture", min=0
    )
    iterations: int = option(2, help="conjugate gradients in a step, one backward pass each", min=1)
    noise: float = option(
        0.06, help="rms by which a scan may differ from what the prior can say; 1.0 is a brain's 99th percentile", min=0
    )
    margin: float = option(2.0, help="inpaint: how far around the mask the scan is not looked at", unit="mm", min=0)
    rim: float = option(
        3.0, help="inpaint: depth inside the mask at which the prior's filling has taken over", unit="mm", min=0
    )
