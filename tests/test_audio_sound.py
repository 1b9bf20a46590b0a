"""Files, loudness, scores and folders of sounds."""

from __future__ import annotations

import csv
import json
import math

import mido
import numpy as np
import pytest
import soundfile
import torch

from diffx.errors import DataError, UsageError
from diffx_audio.codec import codec_of
from diffx_audio.config import AudioConfig
from diffx_audio.data import Stretches
from diffx_audio.files import read_sound, resampled
from diffx_audio.loudness import loudness, true_peak, with_loudness
from diffx_audio.manifest import read_manifest
from diffx_audio.melody import Event, mixed, read_score
from diffx_audio.pack import load_sounds, trimmed
from diffx_audio.pitch import hertz
from diffx_audio.sound import Sound
from diffx_audio.usual import usual


def sine(hz: float, seconds: float, rate: int, amplitude: float = 1.0, phase: float = 0.0) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + phase)).astype(np.float32)[
        None
    ]


def test_loudness_is_that_of_the_standard():
    # ITU-R BS.1770-4: a full-scale sine of 997 Hz in one channel has -3.01 LUFS
    assert abs(loudness(sine(997, 3, 48_000), 48_000) + 3.01) < 0.05
    short = loudness(sine(997, 0.2, 48_000), 48_000)
    assert abs(short + 3.01) < 0.3  # shorter than a gating block
    assert loudness(np.zeros((1, 48_000), np.float32), 48_000) is None


def test_a_true_peak_lies_between_the_samples():
    # a sine at a quarter of the rate, whose samples all miss its top: 3.01 dB above them
    sound = sine(12_000, 0.5, 48_000, amplitude=0.5, phase=np.pi / 4)
    assert abs(20 * math.log10(float(np.abs(sound).max())) + 9.03) < 0.01
    assert abs(true_peak(sound, 48_000) + 6.02) < 0.2


def test_a_sound_is_as_loud_as_asked_unless_its_peaks_forbid_it():
    sound = sine(997, 2, 48_000, amplitude=0.01)
    assert abs(loudness(with_loudness(sound, 48_000, -23.0), 48_000) + 23) < 0.05
    click = np.zeros((1, 48_000), np.float32)
    click[0, ::4800] = 0.5
    assert abs(true_peak(with_loudness(click, 48_000, -5.0), 48_000) + 1) < 0.1


KINDS = [("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", None), ("mp3", None)]


@pytest.mark.parametrize("ending, depth", KINDS)
def test_files_of_every_kind_are_read(tmp_path, ending, depth):
    path = tmp_path / f"x.{ending}"
    sound = np.concatenate([sine(440, 0.5, 22_050, 0.5), sine(440, 0.5, 22_050, 0.25)])
    soundfile.write(path, sound.T, 22_050, subtype=depth)
    found, rate = read_sound(path, 16_000)
    assert rate == 16_000 and found.shape[0] == 2 and abs(found.shape[1] - 8000) < 1500
    middle = found[:, 2000:6000]
    ratio = float(np.sqrt(np.square(middle[0]).mean() / np.square(middle[1]).mean()))
    assert abs(ratio - 2) < 0.1


def test_bad_files_are_refused_by_name(tmp_path):
    broken, empty, nan, silent = (tmp_path / f"{name}.wav" for name in ("broken", "empty", "nan", "silent"))
    broken.write_bytes(b"RIFF no sound")
    soundfile.write(empty, np.zeros(0), 8000)
    soundfile.write(nan, np.array([0.1, np.nan, np.inf]), 8000, subtype="FLOAT")
    soundfile.write(silent, np.zeros(800), 8000)
    for path, reason in (
        (broken, "no sound could be read"),
        (empty, "holds no samples"),
        (nan, "2 samples are NaN or infinite"),
        (silent, "all samples are zero"),
        (tmp_path / "none.wav", "there is no such file"),
    ):
        with pytest.raises(DataError, match=f"{path.name}: .*{reason}"):
            read_sound(path)


def test_a_sound_is_saved_with_tags_and_a_sidecar(tmp_path):
    facts = {"task": "generate", "prompt": "oboe A4", "seed": 7, "weights": "w", "licence": "CC BY-SA 3.0"}
    Sound(sine(440, 0.5, 44_100, 0.25), 44_100, facts).save(tmp_path / "a.flac")
    with soundfile.SoundFile(tmp_path / "a.flac") as file:
        assert file.title == "oboe A4" and file.license == "CC BY-SA 3.0"
        assert json.loads(file.comment)["seed"] == 7
    beside = json.loads((tmp_path / "a.json").read_text())
    assert beside["prompt"] == "oboe A4" and beside["rate"] == 44_100 and abs(beside["true_peak_dbtp"] + 12.04) < 0.1


def test_scores_in_words():
    assert read_score("A4 0.5, C5+E5 0.25 piano; r 0.5, D4 1s") == [
        Event(0.0, 0.5, 69.0, None),
        Event(0.5, 0.25, 72.0, "piano"),
        Event(0.5, 0.25, 76.0, "piano"),
        Event(1.25, 1.0, 62.0, "piano"),
    ]
    for wrong in ("A4", "H4 1", "A4 -1", "A4 x", "r 1", ""):
        with pytest.raises(UsageError, match="score"):
            read_score(wrong)


def test_scores_of_midi_files(tmp_path):
    file, track = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=1_000_000))  # a beat a second
    track += [
        mido.Message("note_on", note=60, velocity=40, time=0),
        mido.Message("note_on", note=64, velocity=100, time=240),
        mido.Message("note_on", note=60, velocity=0, time=240),
        mido.Message("note_off", note=64, time=480),
        mido.Message("note_on", note=35, velocity=90, channel=9, time=0),
    ]
    file.save(tmp_path / "x.mid")
    assert read_score(str(tmp_path / "x.mid")) == [
        Event(0.0, 1.0, 60.0, "piano"),
        Event(0.5, 1.5, 64.0, "fortissimo"),
    ]
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    for name in ("bad.mid", "none.mid"):
        with pytest.raises(DataError, match=name):
            read_score(str(tmp_path / name))


def test_notes_sound_at_their_onsets_as_loud_as_their_dynamics():
    rate = 8000
    events = [Event(0.0, 0.5, 69.0), Event(1.0, 0.5, 69.0)]
    sounds = [sine(440, 0.6, rate, 0.1), sine(440, 0.6, rate, 0.9)]
    whole = mixed(sounds, events, rate, ["piano", "forte"])[0]
    assert whole[round(0.6 * rate) : rate].any() == False  # noqa: E712
    levels = [float(np.sqrt(np.square(whole[a : a + 3000]).mean())) for a in (500, rate + 500)]
    assert abs(20 * math.log10(levels[1] / levels[0]) - 8) < 0.3


@pytest.fixture
def folder(tmp_path):
    rows = []
    for k in range(12):
        name, midi = f"{k}.wav", 60 + k % 6
        quiet = np.zeros((1, 4000), np.float32)
        note = sum(sine(hertz(midi + 0.2) * h, 0.3 + 0.1 * k, 44_100, 0.3 / h) for h in (1, 2, 3))
        soundfile.write(tmp_path / name, np.concatenate([quiet, note, quiet], axis=1).T, 44_100)
        pitch = ("C4", "C#4", "D4", "D#4", "E4", "F4")[k % 6]
        rows.append({"file": name, "caption": f"note {k}", "instrument": ("oboe", "horn")[k % 2], "pitch": pitch})
    rows.append({"file": "missing.wav", "caption": "", "instrument": "oboe", "pitch": "C4"})
    with (tmp_path / "manifest.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path


def configured(folder, **codec) -> AudioConfig:
    cfg = AudioConfig(plugin="audio")
    cfg.data.root, cfg.data.cache = str(folder), str(folder / "cache")
    for name, value in codec.items():
        setattr(cfg.codec, name, value)
    return cfg


def test_a_folder_is_prepared_once_and_says_each_time_what_it_left_out(folder):
    cfg, told = configured(folder, kind="harmonic", rate=44_100, hop=1024), []
    sounds = load_sounds(cfg, told.append)
    assert len(sounds) == 12 and sounds.fields() == ["instrument:horn|oboe"]
    assert np.allclose(sounds.midi - [60 + k % 6 for k in range(12)], 0.2, atol=0.03)  # as played, not as written
    assert np.allclose(sounds.seconds, [0.3 + 0.1 * k for k in range(12)], atol=0.011)  # silence at the ends is cut
    assert any("missing.wav" in line for line in told) and any("preparing" in line for line in told)
    again: list[str] = []
    load_sounds(cfg, again.append)
    assert any("missing.wav" in line for line in again) and not any("preparing" in line for line in again)
    assert usual(sounds)["midi"][""][1] <= 65.3


def test_stretches_are_a_function_of_seed_and_number(folder):
    cfg = configured(folder, kind="harmonic", rate=44_100, hop=1024)
    sounds = load_sounds(cfg)

    def made(seed: int) -> Stretches:
        return Stretches(sounds, range(12), codec_of(cfg.codec), 20, transpose=1.0, seed=seed)

    first, same, other = made(0)[17], made(0)[17], made(1)[17]
    assert torch.equal(first["x"], same["x"]) and first["pitch"] == same["pitch"] != other["pitch"]
    assert abs(first["pitch"] - float(sounds.midi[5])) <= 1
    short = made(0)[0]  # 0.3 s, then silence
    assert (short["x"][:-1, 14:] == -1).all() and (short["x"][-1, 14:] == 0).all()
    assert short["frames"][2, :13].eq(1).all() and short["frames"][2, 14:].eq(0).all()


def test_manifests_that_are_wrong_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.csv"):
        read_manifest(tmp_path)
    for text, reason in (
        ("name\nx.wav\n", "no column 'file'"),
        ("file\n", "lists no sounds"),
        ("file,pitch\nx.wav,H4\n", "line 2: 'H4' is no pitch"),
    ):
        (tmp_path / "manifest.csv").write_text(text)
        with pytest.raises(DataError, match=reason):
            read_manifest(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,label\n" + "".join(f"{k}.wav,{k % 3}\n" for k in range(50)))
    splits = [clip.split for clip in read_manifest(tmp_path, holdout=0.2)]
    assert splits.count("val") == 10 and splits == [clip.split for clip in read_manifest(tmp_path, holdout=0.2)]


def test_silence_at_the_ends_is_cut_and_pauses_are_not():
    rate = 8000
    loud, pause = sine(440, 0.2, rate)[0], np.zeros(rate // 2, np.float32)
    sound = np.concatenate([pause, loud, pause, loud, pause])
    assert abs(len(trimmed(sound, rate)) / rate - 0.9) < 0.021


def test_resampling_keeps_a_tone():
    found = resampled(sine(440, 1, 44_100, 0.5), 44_100, 8000)
    assert found.shape == (1, 8000)
    assert np.abs(found[0, 100:-100] - sine(440, 1, 8000, 0.5)[0, 100:-100]).max() < 1e-3
