"""Networks."""

from diffx.nets.unet import UNet

__all__ = ["UNet"]
