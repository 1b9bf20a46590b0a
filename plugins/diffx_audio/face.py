"""Sounds for a notebook or a script; the command line calls the same methods.

from diffx_audio import AudioGenerator
sound = AudioGenerator.load("digits").generate("seven, said by jackson", seed=1)
sound.save("seven.wav")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffx.errors import UsageError, did_you_mean
from diffx.noise import derive
from diffx.pipeline import Pipeline

from .config import PLUGIN, AudioSampling
from .model import Note, SoundModel
from .pitch import name_of
from .reader import Asked, Reader, length_of, pitch_of
from .sound import Sound

__all__ = ["SHIPPED", "AudioGenerator"]

#: short names of shipped weights
SHIPPED = {"digits": "audio-digits-fsdd", "orchestra": "audio-orchestra"}
WEIGHTS = SHIPPED["orchestra"]


class AudioGenerator:
    """A trained model of sounds; made by :meth:`load`.

    Args:
        pipeline: of weights that ``task=train`` made.
        name: of the weights, as the user knows them.
    """

    def __init__(self, pipeline: Pipeline, name: str = ""):
        self.pipeline, self.name = pipeline, name
        self.model = SoundModel(pipeline)
        entries = (entry.partition(":") for entry in pipeline.config.classes)
        self.classes = {field: tuple(labels.split("|")) for field, _, labels in entries}
        self.usual: Mapping[str, Any] = pipeline.meta.get("usual", {})

    @classmethod
    def load(
        cls, source: str | Path | None = None, device: str = "auto", extensions: Sequence[str] = ()
    ) -> AudioGenerator:
        """Shipped weights ("digits", "orchestra"), or those of an id, a file or a run folder.

        Raises:
            DataError: missing, damaged or foreign weights.
        """
        name = SHIPPED.get(str(source), source) if source else WEIGHTS
        return cls(Pipeline.load(name, device, plugin=PLUGIN, extensions=extensions), str(name))

    @property
    def rate(self) -> int:
        """Samples a second of what is drawn."""
        return self.model.codec.rate

    def understand(self, prompt: str | None = None, **classes: str) -> Asked:
        """What a prompt and classes said outright, which go before it, ask for.

        Raises:
            UsageError: a class that the weights do not know.
            ExtraError: a prompt, and no sentence encoder is installed.
        """
        for name, label in classes.items():
            if name not in self.classes:
                raise UsageError(f"{name}: no field of these weights{did_you_mean(name, list(self.classes))} "
                                 f"(fields: {', '.join(self.classes)})")  # fmt: skip
            if label not in self.classes[name]:
                raise UsageError(f"{name}={label}: these weights know {', '.join(self.classes[name])}")
        if not prompt:
            return Asked(classes)
        unsaid = [name for name in self.classes if name not in classes]
        read = self._reader().read(prompt) if unsaid else Asked({}, pitch_of(prompt), length_of(prompt))
        return Asked({**read.classes, **classes}, read.midi, read.seconds)

    def generate(
        self,
        prompt: str | None = None,
        duration: float | None = None,
        n: int = 1,
        seed: int = 0,
        lufs: float | None = -23.0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Any:
        """A :class:`Sound`, or a list of them for n > 1; sound k has the seed ``seed + k``.

        Args:
            prompt: what to hear, in words: "an oboe, softly, A4", "seven, said by jackson", "half a second".
            duration: length of the file in seconds. The sound itself is as long as the prompt says; else as the file, or
                where that is longer than such sounds are, as they usually are, and silence follows.
            n: how many.
            seed: the same seed gives the same sound.
            lufs: loudness; None: as it comes.
            options: of sampling.
            classes: what the sound is, outright: ``label="seven"``.

        Raises:
            UsageError: a class or a pitch that the weights do not know.
        """
        sounds = list(self.stream(prompt, duration, n, seed, lufs, options, **classes))
        return sounds[0] if n == 1 else sounds

    def stream(
        self,
        prompt: str | None = None,
        duration: float | None = None,
        n: int = 1,
        seed: int = 0,
        lufs: float | None = -23.0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Iterator[Sound]:
        """The sounds of :meth:`generate`, one by one."""
        note = self.note(self.understand(prompt, **classes), duration)
        facts = {"task": "generate", **({"prompt": prompt} if prompt else {})}
        for k, sound in enumerate(self.play([note] * n, [seed + k for k in range(n)], options)):
            samples = sound.shape[1] if duration is None else round(duration * self.rate)
            padded = np.pad(sound, ((0, 0), (0, max(samples - sound.shape[1], 0))))[:, :samples]
            yield self.finished(padded, lufs, {**facts, **self.said(note), "seed": seed + k})

    def note(self, asked: Asked, duration: float | None = None) -> Note:
        """What is drawn for what was asked: missing pitch and length are those that are usual."""
        midi = self._midi(asked)
        low, middle, high = self.lengths(asked.classes)
        if asked.seconds is not None:
            seconds = asked.seconds
        elif duration is None:
            seconds = middle
        else:
            seconds = duration if self.model.codec.pitched or low <= duration <= high else middle
        seconds = seconds if duration is None else min(seconds, duration)
        return Note(float(seconds), dict(asked.classes), midi)

    def _midi(self, asked: Asked) -> float | None:
        if not self.model.codec.pitched:
            if asked.midi is not None and "midi" not in self.usual:
                raise UsageError(f"{name_of(asked.midi)}: these weights know no pitches")
            return None
        low, high = self.compass(asked.classes)
        midi = asked.midi if asked.midi is not None else float(round((low + high) / 2))
        if not low - 1.5 <= midi <= high + 1.5:
            what = " ".join(asked.classes.values()) or "a sound"
            raise UsageError(f"{name_of(midi)}: {what} plays from {name_of(low)} to {name_of(high)}")
        return midi

    def compass(self, classes: Mapping[str, str]) -> tuple[float, float]:
        """Lowest and highest pitch of sounds with these classes, as MIDI numbers."""
        known = self.usual.get("midi", {"": [21.0, 108.0]})
        found = [known[key] for key in (f"{name}:{label}" for name, label in classes.items()) if key in known]
        found = found or [known[""]]
        return max(low for low, _ in found), min(high for _, high in found)

    def lengths(self, classes: Mapping[str, str]) -> tuple[float, float, float]:
        """5th percentile, median and 95th percentile of the seconds of sounds with these classes."""
        known = self.usual.get("seconds", {"": [0.5, 1.0, 2.0]})
        found = [known[key] for key in (f"{name}:{label}" for name, label in classes.items()) if key in known]
        found = found or [known[""]]
        low, middle, high = np.mean(found, axis=0)
        return float(low), float(middle), float(high)

    def play(
        self, notes: Sequence[Note], seeds: Sequence[int], options: AudioSampling | None = None
    ) -> Iterator[np.ndarray]:
        """Sounds [1, n] of notes, as they come from the model, faded out at their end."""
        options = options or AudioSampling()
        self.pipeline.plan(options)
        for note, seed, state in zip(notes, seeds, self.model.states(notes, seeds, options), strict=True):
            samples = max(round(note.seconds * self.rate), 1)
            yield self.model.sound(state, note, samples, derive(seed, "phase"))[None]

    def finished(self, samples: np.ndarray, lufs: float | None, facts: Mapping[str, Any]) -> Sound:
        """A sound with fades, loudness, and where it comes from."""
        own = {"weights": self.name, "weights_sha256": self.pipeline.meta.get("sha256", "")}
        licence = {"licence": self.pipeline.licence} if self.pipeline.licence else {}
        return Sound(samples.astype(np.float32), self.rate, {**facts, **own, **licence}).faded().loud(lufs)

    def said(self, note: Note) -> dict[str, Any]:
        """What a note is, in the words of a sidecar."""
        pitch = {} if note.midi is None else {"pitch": name_of(note.midi), "midi": note.midi}
        return {"classes": dict(note.classes), **pitch, "sound_seconds": round(note.seconds, 4)}

    def _reader(self) -> Reader:
        reader = Reader(self.classes)
        own = {name.removeprefix("reader."): v for name, v in self.pipeline.extra.items() if name.startswith("reader.")}
        if not own:
            raise UsageError("these weights were trained without a reader of prompts: say label=field=class")
        reader.load_state_dict({name: torch.as_tensor(v).float() for name, v in own.items()})
        return reader.eval()
