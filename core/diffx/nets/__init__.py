"""Networks: ``net(x [B, C, *S], level [B], condition) -> [B, out, *S]`` in one, two and three dimensions."""

from diffx.nets.autoencoder import AutoencoderKL, Posterior
from diffx.nets.dit import DiT
from diffx.nets.folded import Folded
from diffx.nets.lora import add_lora, load_lora, lora_state, merge
from diffx.nets.model import Model
from diffx.nets.unet import UNet

__all__ = [
    "AutoencoderKL",
    "DiT",
    "Folded",
    "Model",
    "Posterior",
    "UNet",
    "add_lora",
    "load_lora",
    "lora_state",
    "merge",
]
