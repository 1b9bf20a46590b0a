"""How people say what a sound should be: sentences for the reader to learn from, and others to test it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .pitch import name_of

__all__ = ["sentences", "words_for"]

#: other words for classes that music and speech know, by their usual name
SYNONYMS: dict[str, tuple[str, ...]] = {
    "pianissimo": ("very softly", "very quiet", "as quiet as possible", "pp", "whispered"),
    "piano": ("softly", "quietly", "soft", "quiet", "gently", "p", "at a low volume"),
    "mezzo-piano": ("moderately soft", "mp", "rather quiet"),
    "mezzo-forte": ("moderately loud", "mf", "at medium volume", "at a normal volume", "medium loud"),
    "forte": ("loudly", "loud", "strongly", "f", "with force"),
    "fortissimo": ("very loudly", "very loud", "as loud as possible", "ff", "with full power"),
    "normal": ("plainly", "ordinary", "sustained"),
    "staccato": ("short and detached", "clipped"),
    "fluttertonguing": ("with a fluttering tongue", "flutter tongue"),
    "major-trill": ("with a whole tone trill",),
    "minor-trill": ("with a half tone trill",),
    **{
        word: (str(number), f"digit {number}", f"the number {word}")
        for number, word in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    },
}
#: how a field is put into words; the second list is kept from learning
PATTERNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "speaker": (
        ("said by {}", "{} says it", "in {}'s voice", "speaker {}", "{} speaking", "{}", "spoken by {}"),
        ("as {} would say it", "pronounced by {}", "read aloud by {}"),
    ),
    "label": (
        ("{}", "the digit {}", "the word {}", "someone says {}", "saying {}", "spoken {}"),
        ("I want to hear {}", "a recording of {}", "please say {}"),
    ),
    "instrument": (
        ("{}", "a {}", "on the {}", "{} playing", "a note of the {}", "{} note"),
        ("somebody plays the {}", "give me a {}", "let the {} sound"),
    ),
    "dynamics": (("{}", "played {}", "dynamics {}"), ("I would like it {}", "make it {}")),
    "articulation": (("{}", "played {}", "articulation {}"), ("it should be {}",)),
}
_OTHER = (("{}", "with {}", "{}s"), ("something like {}",))
_LENGTHS = (
    "half a second",
    "a quarter of a second",
    "one second",
    "1.5 s",
    "two seconds",
    "0.8 seconds long",
    "300 ms",
)
_JOINTS = (", ", " ", ", ", " and ", "; ")


def words_for(label: str) -> tuple[str, ...]:
    """What stands for a class in a sentence: its name, and other words where there are any."""
    return (label.replace("-", " ").replace("_", " "), *SYNONYMS.get(label, ()))


def sentences(
    classes: Mapping[str, Sequence[str]], n: int, seed: int, unseen: bool = False
) -> tuple[list[str], list[dict[str, str]]]:
    """(sentences, the classes that each names), at random: fields in any order, some left out, pitch and length too.

    Args:
        classes: labels by field.
        n: how many.
        seed: of the choice.
        unseen: in the patterns that are kept from learning.
    """
    rng = np.random.default_rng(seed)

    def one_of(items: Sequence[str]) -> str:
        return items[int(rng.integers(len(items)))]

    texts, told = [], []
    for _ in range(n):
        parts, own = [], {}
        for name, labels in classes.items():
            if rng.random() < 0.25:
                continue
            own[name] = one_of(labels)
            pattern = one_of(PATTERNS.get(name, _OTHER)[int(unseen)])
            parts.append(pattern.format(one_of(words_for(own[name]))))
        if rng.random() < 0.5:
            parts.append(name_of(float(rng.integers(24, 96))))
        if rng.random() < 0.3:
            parts.append(one_of(_LENGTHS))
        rng.shuffle(parts)
        text = parts[0] if parts else "a sound"
        for part in parts[1:]:
            text += one_of(_JOINTS) + part
        texts.append(text if rng.random() < 0.5 else text[0].upper() + text[1:] + ".")
        told.append(own)
    return texts, told
