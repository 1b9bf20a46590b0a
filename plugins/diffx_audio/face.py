"""Sounds for a notebook or a script; the command line calls the same methods.

from diffx_audio import AudioGenerator
sound = AudioGenerator.load("digits").generate("seven, said by jackson", seed=1)
sound.save("seven.wav")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from diffx.errors import UsageError, did_you_mean
from diffx.noise import derive
from diffx.pipeline import Pipeline

from .config import PLUGIN, SHIPPED, AudioSampling
from .edit import extended, filled, opened, varied
from .melody import mixed, read_score
from .model import Note, SoundModel
from .pitch import name_of
from .reader import Asked, Reader, length_of, pitch_of
from .sound import Sound

__all__ = ["AudioGenerator"]

Source: TypeAlias = str | Path | tuple[np.ndarray, int]

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
        read = self._reader.read(prompt) if unsaid else Asked({}, pitch_of(prompt), length_of(prompt))
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
            duration: length of the file in seconds. The sound itself is as long as the prompt says; else as the file,
                or where that is longer than such sounds are, as they usually are, and silence follows.
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
        facts = self._told({"task": "generate"}, prompt)
        for k, sound in enumerate(self.play([note] * n, [seed + k for k in range(n)], options)):
            samples = sound.shape[1] if duration is None else round(duration * self.rate)
            padded = np.pad(sound, ((0, 0), (0, max(samples - sound.shape[1], 0))))[:, :samples]
            yield self.finished(padded, lufs, {**facts, **self.said(note), "seed": seed + k})

    def inpaint(
        self,
        audio: Source,
        start: float,
        end: float,
        prompt: str | None = None,
        seed: int = 0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Sound:
        """The sound with what lies between two times drawn anew; every other sample is the file's own, to the bit.

        Args:
            audio: file, or (samples [n] or [channels, n], rate).
            start: s, where the gap begins.
            end: s, where it ends.
            prompt: what the sound is; a pitch that is not said is the one that is heard.
            seed: of the samples.
            options: of sampling.
            classes: what the sound is, outright.

        Raises:
            UsageError: no gap inside the sound, or a class that the weights do not know.
            DataError: a file that cannot be read, or a note in which no pitch is heard.
        """  # fmt: skip
        edit, asked = opened(audio, self.model), self.understand(prompt, **classes)
        samples = filled(self.model, edit, asked, start, end, seed, options or AudioSampling())
        facts = {"task": "inpaint", "start": start, "end": end, "seed": seed, "classes": dict(asked.classes)}
        return Sound(samples, edit.rate, self._told(facts, prompt))

    def outpaint(
        self,
        audio: Source,
        before: float = 0.0,
        after: float = 0.0,
        prompt: str | None = None,
        seed: int = 0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Sound:
        """The sound with seconds drawn before and after it; the samples in between are the file's own.

        Arguments and errors are those of :meth:`inpaint`; ``before`` and ``after`` are seconds.
        """  # fmt: skip
        if before < 0 or after < 0 or before + after <= 0:
            raise UsageError(f"outpaint: seconds before or after the sound, not before={before:g} after={after:g}")
        edit, asked = opened(audio, self.model), self.understand(prompt, **classes)
        for extra, front in ((before, True), (after, False)):
            if extra:
                edit = extended(edit, extra, front, self.rate)
                start, end = (0.0, extra) if front else (edit.seconds - extra, edit.seconds)
                samples = filled(self.model, edit, asked, start, end, seed, options or AudioSampling())
                edit = opened((samples, edit.rate), self.model)
        facts = {"task": "outpaint", "before": before, "after": after, "seed": seed}
        return Sound(edit.samples, edit.rate, self._told(facts, prompt))

    def variation(
        self,
        audio: Source,
        strength: float = 0.5,
        prompt: str | None = None,
        seed: int = 0,
        lufs: float | None = -23.0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Sound:
        """Another sound near the given one, at the model's rate; strength 0 is the sound itself, 1 another.

        Arguments and errors are those of :meth:`inpaint`.
        """  # fmt: skip
        edit, asked = opened(audio, self.model), self.understand(prompt, **classes)
        samples = varied(self.model, edit, asked, strength, seed, options or AudioSampling())
        facts = self._told({"task": "variation", "strength": strength, "seed": seed}, prompt)
        return self.finished(samples, lufs, facts)

    def melody(
        self,
        score: str,
        prompt: str | None = None,
        seed: int = 0,
        lufs: float | None = -23.0,
        options: AudioSampling | None = None,
        **classes: str,
    ) -> Sound:
        """Notes in time: "A4 0.5, C5 0.5, E5 1", or a MIDI file; each is drawn by itself and rings into the next.

        Args:
            score: as :func:`diffx_audio.melody.read_score` has it.
            prompt: who plays, and how.
            seed: of the first note; the next ones have seeds that follow from it.
            lufs: loudness.
            options: of sampling.
            classes: who plays, outright.

        Raises:
            UsageError: weights without pitches, a note that cannot be read, or one that the instrument does not have.
            DataError: a MIDI file that cannot be read.
        """  # fmt: skip
        if not self.model.codec.pitched:
            raise UsageError("score: these weights know no pitches")
        events, asked = read_score(score), self.understand(prompt, **classes)
        known = self.classes.get("dynamics", ())
        notes, loud = [], []
        for event in events:
            dynamics = event.dynamics or asked.classes.get("dynamics") or "mezzo-forte"
            if event.dynamics and known and event.dynamics not in known:
                raise UsageError(f"score: dynamics {event.dynamics!r}: these weights know {', '.join(known)}")
            told = {**asked.classes, **({"dynamics": dynamics} if dynamics in known else {})}
            notes.append(self.note(Asked(told, event.midi, event.seconds)))
            loud.append(dynamics)
        seeds = [derive(seed, "note", k) for k in range(len(notes))]
        sounds = list(self.play(notes, seeds, options, ring=True))
        facts = self._told({"task": "melody", "score": score, "notes": len(notes), "seed": seed}, prompt)
        return self.finished(mixed(sounds, events, self.rate, loud), lufs, facts)

    def _told(self, facts: Mapping[str, Any], prompt: str | None) -> dict[str, Any]:
        own = {"weights": self.name, "weights_sha256": self.pipeline.meta.get("sha256", "")}
        licence = {"licence": self.pipeline.licence} if self.pipeline.licence else {}
        return {**facts, **({"prompt": prompt} if prompt else {}), **own, **licence}

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
        self, notes: Sequence[Note], seeds: Sequence[int], options: AudioSampling | None = None, ring: bool = False
    ) -> Iterator[np.ndarray]:
        """Sounds [1, n] of notes as they come from the model; with what rings on after their end, if ``ring``."""
        options = options or AudioSampling()
        self.pipeline.plan(options)
        for note, seed, state in zip(notes, seeds, self.model.states(notes, seeds, options), strict=True):
            samples = state.shape[-1] * self.model.codec.hop if ring else max(round(note.seconds * self.rate), 1)
            yield self.model.sound(state, note, samples, derive(seed, "phase"))[None]

    def finished(self, samples: np.ndarray, lufs: float | None, facts: Mapping[str, Any]) -> Sound:
        """A sound with fades, loudness, and where it comes from."""
        return Sound(samples.astype(np.float32), self.rate, facts).faded().loud(lufs)

    def said(self, note: Note) -> dict[str, Any]:
        """What a note is, in the words of a sidecar."""
        pitch = {} if note.midi is None else {"pitch": name_of(note.midi), "midi": note.midi}
        return {"classes": dict(note.classes), **pitch, "sound_seconds": round(note.seconds, 4)}

    @cached_property
    def _reader(self) -> Reader:
        reader = Reader(self.classes)
        own = {name.removeprefix("reader."): v for name, v in self.pipeline.extra.items() if name.startswith("reader.")}
        if not own:
            raise UsageError("these weights were trained without a reader of prompts: say label=field=class")
        reader.load_state_dict({name: torch.as_tensor(v).float() for name, v in own.items()})
        return reader.eval()
