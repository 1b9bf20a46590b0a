"""Another scanner in closed form: where its scans lie and how far they spread, element by element of the latent.

Location and scale of each feature are what a scanner changes first, and a few scans suffice for them where neighbours
are pooled (ComBat: Johnson, Li and Rabinovic 2007; in imaging, Fortin et al. 2017). The network is left alone: it draws
in units of the scanner it learned, and the codec turns these into those of the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .codec import BrainCodec
from .narrowing import storable
from .normative import around, kept
from .tone import tone_between

FEWEST = 4  # scans below which a spread is a guess


def with_site(codec: BrainCodec, x: Tensor, spread: Tensor) -> BrainCodec:
    """The codec moved to a site: state = mean + deviation z becomes (mean + deviation b) + (deviation s) z, and the
    trend keeps its size in the brain.

    b is the mean of x, shrunk where the nodes around show no more than noise, by the positive part of 1 - noise /
    square as in `trend`. s, the ratio of the site's spread about b to `spread`, is pooled over the same nodes, and 1
    for shape: how people differ in shape is theirs. Shape's b is not only theirs: under another contrast or coil the
    registration settles elsewhere. Mirror images are implied. Where one curve makes intensities of home of those of the
    mean brain of the site (`tone.tone_between`), the facts hold it.

    Args:
        x: latents [N, 3+K, *grid] of the site's scans, N at least 4, less what is expected of each person.
        spread: root mean square [3+K, *grid] of the same where the network learned.
    """
    if len(x) < FEWEST:
        raise ValueError(f"{len(x)} scans do not tell a scanner's spread; at least {FEWEST} do")
    x = x.float()
    mirrored = torch.stack([codec.flip(one) for one in x])
    even, n = (x + mirrored) / 2, len(x)
    move = even.mean(0)
    move = move * kept(move.square()[None], even.var(0)[None] / n)[0]
    own = ((x - move).square() + (mirrored - move).square()).sum(0) / (2 * (n - 1))
    scale = (around(own[None])[0] / around(spread.square()[None])[0].clamp_min(1e-12)).sqrt().clamp(1 / 3, 3)
    scale[:3] = 1
    tensors = {"mean": codec.mean + codec.deviation * move, "deviation": codec.deviation * scale}
    if codec.trend.numel():
        tensors["trend"] = codec.trend / scale
    facts = {**codec.facts, "site": n, "tone": None}
    moved = BrainCodec(codec.geometry, {**codec.state_dict(), **storable(tensors)}, facts)
    if codec.tone is None:
        return moved
    brains = [c.unpack(c.mean.new_zeros(1, *c.shape))[1] for c in (codec, moved)]
    tone = tone_between(codec.tone.home(brains[0].clamp_min(0)), brains[1])
    return moved.with_facts(tone=None if tone is None else [tone.gain, tone.power])
