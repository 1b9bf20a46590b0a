"""The denoiser that fits a network to a process."""

from __future__ import annotations

from torch import Tensor, nn

from diffx.predict.affine import Denoiser
from diffx.predict.joint import TokenDenoiser
from diffx.predict.selfcondition import SelfConditionedDenoiser
from diffx.process import Geodesic, Process, Product
from diffx.process.discrete import Discrete


def denoiser_for(
    net: nn.Module, process: Process, kind: str = "edm", element_sigma_data: Tensor | None = None
) -> Denoiser | TokenDenoiser:
    """A plain network as the canonical prediction of a process.

    Args:
        net: ``net(x, level, condition)``, as of a ``Denoiser``; for tokens as of a ``TokenDenoiser``.
        process: Gaussian or discrete; one that is neither is taken to want x_0-hat.
        kind: what the network outputs, for x_0-hat: a key of ``PARAMETRISATIONS``.
        element_sigma_data: as of a ``Denoiser``.

    Raises:
        TypeError: a mixed state or a manifold, whose prediction takes more than a network.
        ValueError: a kind that does not determine x_0 on the schedule of the process.
    """
    if isinstance(process, Discrete):
        return TokenDenoiser(net, process)
    if isinstance(process, Product | Geodesic):
        name = type(process).__name__
        raise TypeError(f"a plain network does not predict for a {name} process: wrap it, as in a JointDenoiser")
    make = SelfConditionedDenoiser if getattr(process, "self_condition", False) else Denoiser
    return make(net, kind, process.schedule, process.sigma_data, element_sigma_data=element_sigma_data)
