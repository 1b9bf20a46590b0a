"""From a prompt to what the network is told: classes, pitch and length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffx.errors import ExtraError

from .encoder import WIDTH, embedded
from .phrases import sentences, words_for
from .pitch import midi_of

__all__ = ["Asked", "Reader", "length_of", "pitch_of", "train_reader"]

_PITCH = re.compile(r"(?<![\w#])([A-G](?:#|♯|b|♭| ?sharp| ?flat)?)\s?(-?\d)(?![\w.])")
_NUMBERS = {
    "a quarter of a": 0.25, "quarter of a": 0.25, "half a": 0.5, "one and a half": 1.5, "two and a half": 2.5,
    "a": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "ten": 10.0,
}  # fmt: skip
_LENGTH = re.compile(
    rf"(?<![\w.])(\d+(?:\.\d+)?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})\s?-?"
    r"(ms|milliseconds?|s|secs?|seconds?)\b",
    re.IGNORECASE,
)
_HIDDEN = 128
_SURE = 0.5  # probability below which a field counts as not said


@dataclass(frozen=True)
class Asked:
    """What a prompt says: classes by field, pitch as a MIDI number, length in seconds; the rest is absent."""

    classes: Mapping[str, str] = field(default_factory=dict)
    midi: float | None = None
    seconds: float | None = None


def pitch_of(text: str) -> float | None:
    """The first pitch that a text names, as in "A4", "C# 5" or "E flat 3"; None: none."""
    match = _PITCH.search(text)
    if not match:
        return None
    letter = match.group(1).replace("sharp", "#").replace("flat", "b").replace(" ", "")
    return midi_of(letter + match.group(2))


def length_of(text: str) -> float | None:
    """The first length that a text names, in seconds, as in "0.5 s", "300 ms" or "half a second"; None: none."""
    match = _LENGTH.search(text)
    if not match:
        return None
    number, unit = match.groups()
    value = _NUMBERS[number.lower()] if number.lower() in _NUMBERS else float(number)
    return value / 1000 if unit.lower().startswith("m") else value


class Reader(nn.Module):
    """A classifier of sentence vectors for each field, with "not said" as its first class.

    Args:
        classes: labels by field.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]]):
        super().__init__()
        self.classes = {name: tuple(labels) for name, labels in classes.items()}
        sizes = [1 + len(labels) for labels in self.classes.values()]
        self.hidden = nn.Linear(WIDTH, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, sum(sizes))
        self.sizes = sizes

    def forward(self, vectors: Tensor) -> list[Tensor]:
        """[n, 384] -> logits of each field, [n, 1 + classes]."""
        return list(self.out(F.gelu(self.hidden(vectors))).split(self.sizes, dim=1))

    @torch.no_grad()
    def read(self, text: str) -> Asked:
        """What a prompt says. A class whose name stands in it goes before what its sense suggests.

        Without the sentence encoder only names count; ExtraError where no class is named.
        """
        try:
            probable = [logits.softmax(1)[0] for logits in self(embedded([text]))]
        except ExtraError:
            probable = [torch.ones(1)] * len(self.classes)
            if not any(_named(text, labels) for labels in self.classes.values()):
                raise
        rest = _LENGTH.sub(" ", _PITCH.sub(" ", text))  # the 2 of "2 s" and of "C2" is no digit that is spoken
        found = {}
        for (name, labels), probability in zip(self.classes.items(), probable, strict=True):
            named = _named(rest, labels)
            best = int(probability.argmax())
            if named:
                found[name] = named
            elif best and probability[best] >= _SURE:
                found[name] = labels[best - 1]
        return Asked(found, pitch_of(text), length_of(text))


def _named(text: str, labels: Sequence[str]) -> str | None:
    """The class that stands in the text by its name or another word for it, the longest of several; None: none."""
    hits = [
        (len(words), label)
        for label in labels
        for words in words_for(label)
        if re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE)
    ]
    return max(hits)[1] if hits else None


def train_reader(classes: Mapping[str, Sequence[str]], n: int = 2500, steps: int = 300, seed: int = 0) -> Reader:
    """A reader for these classes, learned from sentences made up about them; about a minute of one core.

    Args:
        classes: labels by field.
        n: sentences.
        steps: of AdamW, over all of them.
        seed: of the sentences and of the weights.
    """
    texts, told = sentences(classes, n, seed)
    vectors = embedded(texts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(classes)
    targets = [
        torch.tensor([labels.index(own[name]) + 1 if name in own else 0 for own in told])
        for name, labels in reader.classes.items()
    ]
    optimizer = torch.optim.AdamW(reader.parameters(), lr=5e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(steps):
        loss = torch.stack([F.cross_entropy(o, t) for o, t in zip(reader(vectors), targets, strict=True)]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return reader.eval()
