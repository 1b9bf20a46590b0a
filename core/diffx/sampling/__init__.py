"""Drawing samples: the one loop over a plan, and samplers that no table describes."""

from diffx.sampling.loop import sample

__all__ = ["sample"]
