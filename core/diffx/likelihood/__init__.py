"""How probable data are: the density under the probability flow, and bounds for every kind of state."""

from diffx.likelihood.elbo import bits_per_dim, elbo
from diffx.likelihood.flow import log_prob

__all__ = ["bits_per_dim", "elbo", "log_prob"]
