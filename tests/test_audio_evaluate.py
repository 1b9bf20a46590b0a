"""Figures of sounds, on sounds whose class, pitch and length are known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffx.run import execute
from diffx_audio.config import AudioConfig, CodecConfig
from diffx_audio.evaluate import figures
from diffx_audio.evaluate.choice import lacking, spread, unheard
from diffx_audio.evaluate.embedding import MelQuarters, log_mel
from diffx_audio.evaluate.probe import Probe
from diffx_audio.evaluate.tracker import right, summed
from diffx_audio.face import AudioGenerator
from diffx_audio.harmonic import Harmonic
from diffx_audio.manifest import Clip, read_manifest
from diffx_audio.model import Note, SoundModel
from diffx_audio.pitch import hertz, name_of
from diffx_audio.tasks import evaluate as task

RATE = 16_000
REED, PIPE = [1.0, 0.1, 0.7, 0.1, 0.5, 0.1, 0.3], [1.0, 0.5, 0.2, 0.1]
TIMBRES = {"reed": REED, "pipe": PIPE}


def tone(midi: float, seconds: float, amplitudes: Sequence[float], rate: int = RATE) -> np.ndarray:
    """A note of these harmonics; those above half the rate are left out."""
    turns = hertz(midi) * np.arange(round(seconds * rate)) / rate
    audible = [(k, a) for k, a in enumerate(amplitudes, 1) if k * hertz(midi) < rate / 2]
    return 0.1 * np.sum([a * np.sin(2 * np.pi * k * turns + k * k) for k, a in audible], axis=0).astype(np.float32)


def test_pitches_are_heard_over_the_whole_range_without_a_fundamental_and_below_noise():
    rng = np.random.default_rng(0)
    bassoon = [0.0, 0.05, 0.3, 1.0, 0.8, 0.6, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1]  # no fundamental at all
    for midi, amplitudes in ((26.3, bassoon), (40.0, bassoon), (57.2, REED), (69.0, PIPE), (81.4, [1.0]), (96.0, PIPE)):
        sound = tone(midi, 0.5, amplitudes) + 0.003 * rng.standard_normal(RATE // 2)
        assert summed(sound, RATE) == pytest.approx(midi, abs=0.15), midi
    assert np.isnan(summed(np.zeros(RATE), RATE))


def test_an_octave_off_is_wrong_and_forty_cents_are_right():
    sounds = [tone(60 + off, 0.4, REED) for off in (0.0, 0.4, -0.6, 12.0)]
    assert right(summed, sounds, RATE, [60.0] * 4).tolist() == [1, 1, 0, 0]


def test_the_mel_bands_of_a_sine_add_up_to_its_power_whatever_the_rate():
    for rate in (8000, 44_100):
        sine = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
        bands = 10 ** (log_mel(sine, rate) / 10)
        # brought to a root mean square of 0.05, it has an amplitude of 0.0707: -23 dB
        assert float(10 * bands.sum(0).log10().median()) == pytest.approx(20 * np.log10(0.05 * 2**0.5), abs=0.2)


def test_the_probe_separates_what_can_be_separated_and_nothing_else():
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((400, 8)), [str(k % 2) for k in range(400)]
    chance = Probe(x[:200], labels[:200])(x[200:])
    assert np.mean([a == b for a, b in zip(chance, labels[200:], strict=True)]) < 0.62
    x[::2, 3] += 3.0  # two unit Gaussians 3 apart: the best classifier is right in Phi(1.5) = 93.3 %
    found = Probe(x[:200], labels[:200])(x[200:])
    assert np.mean([a == b for a, b in zip(found, labels[200:], strict=True)]) == pytest.approx(0.933, abs=0.045)


def test_the_distance_of_a_shifted_set_is_the_square_of_the_shift():
    rng = np.random.default_rng(2)
    real, training = rng.standard_normal((60, 3)), rng.standard_normal((300, 3))
    found = figures.frechet(real + np.array([2.0, 0, 0]), real, training, real, 5 * real, seed=0)
    assert found["fad"].value == pytest.approx(4.0, rel=1e-6)
    assert found["codec_fad"].value == pytest.approx(0.0, abs=1e-9)
    assert found["fad"].baselines[0].value == pytest.approx(
        16 * np.cov(real.T).trace() + 16 * np.square(real.mean(0)).sum(), rel=1e-6
    )
    assert 0 < float(found["fad_floor"].value or 0) < 0.4 and found["fad"].verdict == "missed"


def test_diversity_is_the_share_of_the_real_spread_within_classes():
    rng = np.random.default_rng(3)
    real, labels = rng.standard_normal((40, 5)), ["a", "b"] * 20
    real[1::2] += 100.0  # between classes nothing counts
    centre = np.where(np.arange(40)[:, None] % 2, 100.0, 0.0)
    assert figures.diversity(centre + (real - centre) / 4, real, labels, labels).value == pytest.approx(0.25)
    assert figures.diversity(centre + 0 * real, real, labels, labels).value == 0


def test_clips_are_spread_over_classes_and_the_same_for_a_seed():
    clips = [Clip(Path(f"{k}.wav"), classes={"label": "a" if k < 50 else "b"}) for k in range(56)]
    chosen = spread(clips, 20, 1, "label")
    assert sum(clip.classes["label"] == "b" for clip in chosen) == 6 and len(chosen) == 20
    assert chosen == spread(clips[::-1], 20, 1, "label") != spread(clips, 20, 2, "label")


def test_unheard_pitch_classes_are_those_that_training_lacks_and_stay_in_compass():
    clips = [Clip(Path("x"), midi=float(k), split="train") for k in range(48, 60) if k % 12 not in (3, 6, 9)]
    clips.append(Clip(Path("x"), midi=54.0, split="val"))
    assert lacking(clips) == ["D#", "F#", "A"]
    assert lacking([Clip(Path("x"))]) == []
    notes = [Note(1.0, {}, 54.0)] * 4
    found = unheard(notes, ["A", "D#"], {0: (50, 60), 1: (50, 60), 2: (52, 60), 3: (53, 59)}, 4)
    assert [name_of(float(note.midi or 0)) for note in found] == ["A3", "D#3", "A3"]  # no D# in the last two
    assert len(unheard(notes, ["A"], dict.fromkeys(range(4), (50, 60)), 2)) == 2


class Model(SoundModel):
    """Plays every note right, but as a reed, 200 ms too short, and an octave too high if it is an A or a D#."""

    def __init__(self, codec: Harmonic):
        self.codec, self.window = codec, 64

    def states(self, notes: Sequence[Note], *args: Any, **kwargs: Any) -> Iterator[Tensor]:
        for note in notes:
            sound = tone(float(note.midi or 0), note.seconds - 0.2, REED)
            frames = self.frames(note.seconds)
            sound = np.pad(sound, (0, frames * self.codec.hop - len(sound)))
            yield self.codec.encode(torch.from_numpy(sound), note.midi)[:, :frames]

    def sound(self, state: Tensor, note: Note, samples: int, seed: int) -> np.ndarray:
        wrong = 12 if name_of(float(note.midi or 0))[:-1] in ("A", "D#") else 0
        return super().sound(state, replace(note, midi=float(note.midi or 0) + wrong), samples, seed)


class Face(AudioGenerator):
    """What ``load`` gives, without weights."""

    def __init__(self, root: str):
        trained = AudioConfig(codec=CodecConfig(kind="harmonic", rate=RATE, hop=256, depth=80))
        meta: dict[str, Any] = {}
        self.pipeline: Any = SimpleNamespace(config=trained, meta=meta, licence="", plan=lambda options: None)
        self.name, self.model, self.usual = "fake", Model(Harmonic(RATE, 256, 80)), {"midi": {"": [48.0, 72.0]}}
        self.classes = {"instrument": ("pipe", "reed")}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Three octaves of two instruments without A and D#, F# held out."""
    rows = []
    for midi in range(48, 72):
        name = name_of(midi)
        for instrument, amplitudes in TIMBRES.items():
            for second, seconds in enumerate((0.5, 0.7) if name[:-1] == "F#" else (0.6,)):
                file = f"{instrument}{midi}_{second}.wav"
                soundfile.write(tmp_path / file, tone(midi, seconds, amplitudes), RATE)
                split = "val" if name[:-1] == "F#" else "train"
                rows.append({"file": file, "instrument": instrument, "pitch": name, "split": split})
    with (tmp_path / "manifest.csv").open("w", newline="") as handle:
        table = csv.DictWriter(handle, list(rows[0]))
        table.writeheader()
        table.writerows(row for row in rows if row["pitch"][:-1] not in ("A", "D#"))
    return tmp_path


def test_the_figures_of_a_generator_are_the_faults_that_were_put_into_it(notes, tmp_path, monkeypatch):
    assert [clip.split for clip in read_manifest(notes)].count("val") == 8
    monkeypatch.setattr(task.AudioGenerator, "load", lambda *args: Face(str(notes)))
    out = tmp_path / "out"
    cfg = AudioConfig(plugin="audio", task="evaluate", out=str(out))
    wanted = {"n": 20, "unheard": 6, "embedding": "mel", "pitch": "sums"}
    cfg = replace(cfg, data=replace(cfg.data, root=str(notes)), evaluate=replace(cfg.evaluate, **wanted))
    assert execute(cfg, task.evaluate) == 0
    found = json.loads((out / "metrics.json").read_text())
    assert found["n"] == 8 and found["fad_embedding"] == MelQuarters.name
    assert found["class_accuracy_real"]["value"] == 1.0
    assert found["class_accuracy"]["value"] < 0.7  # all sound as reeds
    assert found["pitch_within_50c_real"]["value"] == found["pitch_within_50c"]["value"] == 1.0
    assert found["pitch_within_50c_unheard"]["value"] == 0.0 and found["pitch_within_50c_unheard"]["n"] == 6
    assert 80 < found["duration_mae_ms"]["value"] < 205  # the window of 128 ms makes a sound a little longer
    assert found["duration_mae_ms"]["floor"] < found["duration_mae_ms"]["value"] - 15
    assert found["silent_share"]["value"] == found["clipped_share"]["value"] == 0
    assert found["fad"]["value"] > found["fad_floor"]["value"]
    assert found["codec_fad"]["value"] < found["fad"]["value"] < found["fad"]["baselines"]["white noise"]
    page = (out / "report.html").read_text()
    assert "What the probe hears: instrument" in page and "data:audio/wav" in page.replace("&#34;", '"')
