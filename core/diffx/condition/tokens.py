"""Fields that are sequences: the words of a caption, the residues of a protein."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diffx.condition.base import Condition, Conditioner, is_missing


class Tokens(Conditioner):
    """A sequence of embeddings [L, dim_in], of any length, for cross-attention.

    The embeddings come with the record, from a text encoder or a protein language model, and are projected to ``dim``.
    Cross-attention knows no order: where order counts, the embeddings have to hold it, as those of an encoder do.
    A missing sequence, or an empty one, is a single token learned for that purpose.

    Args:
        dim_in: width of the embeddings.
        dim: width that the network gets.
    """

    kind = "tokens"

    def __init__(self, dim_in: int, dim: int = 64):
        super().__init__(dim)
        self.project = nn.Linear(dim_in, dim)
        self.missing = nn.Parameter(torch.randn(dim) * 0.02)

    def parse(self, value: Any) -> Tensor:
        """[L, dim_in]; one row of NaN for a missing or an empty sequence."""
        width = self.project.in_features
        if is_missing(value) or not len(value):
            return torch.full((1, width), torch.nan)
        tokens = torch.as_tensor(value, dtype=torch.float32)
        if tokens.ndim != 2 or tokens.shape[1] != width:
            raise ValueError(f"expected embeddings [L, {width}], not of shape {list(tokens.shape)}")
        if not tokens.isfinite().all():
            raise ValueError("an embedding is not finite; leave the token out")
        return tokens

    def collate(self, values: Sequence[Tensor]) -> Tensor:
        """[B, L, dim_in] with the longest's L; rows of NaN behind the shorter ones."""
        return nn.utils.rnn.pad_sequence(list(values), batch_first=True, padding_value=torch.nan)

    def forward(self, values: Tensor) -> Condition:
        """[B, L, dim_in], rows of NaN where there is no token -> tokens [B, L, dim] and their mask [B, L]."""
        known = ~values.isnan().any(2)
        null = torch.zeros_like(known)
        null[:, 0] = ~known.any(1)
        tokens = self.project(values.masked_fill(~known[..., None], 0.0))
        tokens = torch.where(null[..., None], self.missing, tokens)
        mask = known | null
        return Condition(tokens=tokens.masked_fill(~mask[..., None], 0.0), tokens_mask=mask)
