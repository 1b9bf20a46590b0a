"""U-Nets of the field at equal size: three resolutions of equal widths, parameter counts within 7 %.

Each builder gives ``(module, call)`` where ``call(module, x, level)`` is one evaluation for x [B, 4, *S] and level [B];
LookupError says why a library has no such network. diffx, MONAI and diffusers are block for block the same: two
residual blocks a resolution (three on the way up), attention with heads of 32 channels on the coarsest and in the
middle. azula's U-Net has no attention and is otherwise arranged; its depth is chosen for the same number of parameters.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

CHANNELS = (64, 128, 256)
STATE = 4
HEAD = 32
#: a batch for each number of dimensions, of a size that one core evaluates in a second or two
SHAPES = {1: (8, STATE, 1024), 2: (4, STATE, 64, 64), 3: (1, STATE, 32, 32, 32)}

Built = tuple[nn.Module, Callable[[nn.Module, Tensor, Tensor], Tensor]]


def ours(dims: int) -> Built:
    """``diffx.nets.UNet``."""
    from diffx.nets import UNet

    net = UNet(dims, STATE, channels=CHANNELS, blocks=2, attention=(2,))
    return net, lambda module, x, level: module(x, level)


def monai(dims: int) -> Built:
    """``monai.networks.nets.DiffusionModelUNet`` with its fused attention switched on."""
    if dims == 1:
        raise LookupError("MONAI 1.6.1 builds a U-Net with spatial_dims=1, whose forward fails")
    from monai.networks.nets import DiffusionModelUNet

    net = DiffusionModelUNet(
        spatial_dims=dims,
        in_channels=STATE,
        out_channels=STATE,
        num_res_blocks=2,
        channels=CHANNELS,
        attention_levels=(False, False, True),
        num_head_channels=HEAD,
        use_flash_attention=True,
    )
    return net, lambda module, x, level: module(x, timesteps=level)


def diffusers(dims: int) -> Built:
    """``diffusers.UNet2DModel`` with AdaGN."""
    if dims != 2:
        raise LookupError(f"diffusers' U-Nets for {dims}-D data are other architectures")
    from diffusers import UNet2DModel

    net = UNet2DModel(
        in_channels=STATE,
        out_channels=STATE,
        block_out_channels=CHANNELS,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=HEAD,
        resnet_time_scale_shift="scale_shift",
    )
    return net, lambda module, x, level: module(x, level).sample


def azula(dims: int) -> Built:
    """``azula.nn.unet.UNet``, told the level through diffx's embedding, as it brings none of its own."""
    from azula.nn.unet import UNet

    from diffx.nets.blocks import LevelEmbedding

    features = 4 * CHANNELS[0]
    net = UNet(STATE, STATE, hid_channels=CHANNELS, hid_blocks=(3, 3, 4), mod_features=features, spatial=dims)
    parts = nn.ModuleDict({"level": LevelEmbedding(features), "net": net})
    return parts, lambda module, x, level: module["net"](x, module["level"](level))  # type: ignore[index]
