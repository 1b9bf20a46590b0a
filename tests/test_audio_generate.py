"""The shipped models, as their users call them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from diffx.cli import main
from diffx.errors import DataError, UsageError
from diffx.tiling.blend import edges
from diffx.tiling.windows import seam
from diffx_audio import AudioGenerator
from diffx_audio.files import read_sound, write_sound
from diffx_audio.model import Note
from diffx_audio.phrases import sentences
from diffx_audio.pitch import cents, estimated, hertz
from diffx_audio.reader import length_of, pitch_of

QUICK = ["sample.steps=6", "device=cpu"]


@pytest.fixture(scope="module")
def notes() -> AudioGenerator:
    return AudioGenerator.load("orchestra", device="cpu")


@pytest.fixture(scope="module")
def digits() -> AudioGenerator:
    return AudioGenerator.load("digits", device="cpu")


def test_lengths_and_pitches_are_read_by_rule():
    lengths = {
        "half a second": 0.5,
        "0.8 s": 0.8,
        "300 ms": 0.3,
        "one and a half seconds": 1.5,
        "2 seconds": 2,
        "A4": None,
    }
    assert {text: length_of(f"oboe, {text} please") for text in lengths} == lengths
    pitches = {"A4": 69, "c4": None, "C# 5": 73, "E flat 3": 51, "Bb2": 46, "B-flat": None, "MA4X": None}
    assert {text: pitch_of(f"oboe {text}, softly") for text in pitches} == pitches


@pytest.mark.parametrize("name, least", [("digits", 0.97), ("orchestra", 0.95)])
def test_wordings_that_were_not_learnt_from_are_understood(name, least, request):
    model = request.getfixturevalue({"digits": "digits", "orchestra": "notes"}[name])
    texts, told = sentences(model.classes, 60, seed=99, unseen=True)
    read = [model.understand(text).classes for text in texts]
    right = [r.get(field) == own.get(field) for r, own in zip(read, told, strict=True) for field in model.classes]
    assert np.mean(right) >= least


def test_a_prompt_in_an_analysts_own_words(notes, digits):
    asked = notes.understand("A4 on the oboe, piano, 0.5 s")
    assert (asked.classes["instrument"], asked.classes["dynamics"], asked.midi, asked.seconds) == (
        "oboe",
        "piano",
        69,
        0.5,
    )
    assert digits.understand("seven, said by jackson").classes == {"label": "seven", "speaker": "jackson"}
    assert digits.understand("seven", speaker="theo").classes == {"label": "seven", "speaker": "theo"}


@pytest.mark.parametrize("prompt", ["oboe A4 forte 0.6 s", "bass clarinet D#3 piano 0.6 s"])  # D# and A: never heard
def test_a_note_has_the_pitch_that_is_asked_for(notes, prompt):
    midi = notes.understand(prompt).midi
    for sound in notes.generate(prompt, n=2, seed=5):
        assert abs(cents(hertz(estimated(sound.samples[0], sound.rate)), midi)) < 50


def test_a_file_is_as_long_as_asked_and_the_sound_within_it_too(notes):
    sound = notes.generate("oboe A4 forte, half a second", duration=1.5)
    assert sound.samples.shape == (1, round(1.5 * 44_100))
    assert not sound.samples[0, round(0.56 * 44_100) :].any() and np.abs(sound.samples[0, : 44_100 // 3]).max() > 0.01


def test_the_same_seed_gives_the_same_sound_whatever_is_drawn_beside_it(digits):
    several = digits.generate("two by theo", n=3, seed=4)
    alone = digits.generate("two by theo", seed=6)
    assert np.abs(several[2].samples - alone.samples).max() < 1e-4
    assert np.abs(several[0].samples - several[1].samples).max() > 1e-2


def test_words_that_cannot_be_are_refused(notes, digits):
    for wrong in (
        lambda: notes.generate("oboe C1"),  # below its compass
        lambda: notes.generate(instrument="violin"),
        lambda: digits.generate(colour="red"),
        lambda: digits.melody("A4 1"),
        lambda: notes.melody("A4 1 fortefortissimo", instrument="oboe"),
    ):
        with pytest.raises(UsageError):
            wrong()


def test_a_gap_is_filled_and_everything_else_is_the_files_own(notes, tmp_path):
    whole = notes.generate("oboe D5 forte 1.2 s", seed=1)
    stereo = np.concatenate([whole.samples, 0.5 * whole.samples])
    path = write_sound(tmp_path / "in.wav", stereo, whole.rate)
    original, rate = read_sound(path)
    edited = notes.inpaint(path, 0.4, 0.7, seed=3)
    edited.save(tmp_path / "out.wav")
    again, _ = read_sound(tmp_path / "out.wav")
    first, last = round(0.4 * rate), round(0.7 * rate)
    assert again.shape == original.shape and rate == edited.rate == 44_100
    assert np.array_equal(again[:, :first], original[:, :first]) and np.array_equal(again[:, last:], original[:, last:])
    new, old = again[0, first:last], original[0, first:last]
    assert np.abs(new - old).max() > 1e-3  # drawn, not copied
    assert abs(20 * np.log10(np.sqrt(np.square(new).mean() / np.square(old).mean()))) < 6
    assert seam(torch.from_numpy(again), [first, last], reference=torch.from_numpy(original)) < 3
    assert abs(cents(hertz(estimated(new, rate)), 74)) < 50  # the pitch was heard, not said
    level = np.abs(again[1, first:last]).max() / np.abs(new).max()
    assert abs(level - 0.5) < 0.02


def test_a_sound_at_another_rate_keeps_it(digits, tmp_path):
    spoken = digits.generate("seven by theo", seed=1).at(16_000)
    path = write_sound(tmp_path / "in.wav", spoken.samples, 16_000)
    original, _ = read_sound(path)
    edited = digits.inpaint(path, 0.1, 0.2, "seven by theo")
    assert edited.rate == 16_000 and np.array_equal(edited.samples[:, :1600], original[:, :1600])
    longer = digits.outpaint(path, after=0.2, prompt="seven by theo")
    assert np.array_equal(longer.samples[:, : original.shape[1]], original)
    assert longer.samples.shape[1] == original.shape[1] + 3200


def test_silence_around_a_note_does_not_hide_its_pitch(notes):
    note = notes.generate("oboe A4 forte 0.5 s", seed=1).samples
    padded = np.pad(note, ((0, 0), (44_100, 2 * 44_100)))
    found = notes.variation((padded, 44_100), 0.2, instrument="oboe").samples[0]
    assert abs(cents(hertz(estimated(found[44_100:66_000], 44_100)), 69)) < 50
    assert np.abs(found[88_200:]).max() < 0.01 * np.abs(found).max()


def test_gaps_that_cannot_be_filled_are_refused(notes, tmp_path):
    path = write_sound(tmp_path / "in.wav", notes.generate("oboe A4 0.5 s").samples, 44_100)
    for start, end in ((0.4, 0.3), (0.3, 0.9), (0.0, 0.5)):
        with pytest.raises(UsageError, match="gap"):
            notes.inpaint(path, start, end)
    with pytest.raises(DataError, match="pitch"):
        notes.inpaint((np.random.default_rng(0).normal(size=2000).astype(np.float32) * 0.1, 44_100), 0.01, 0.02)


def test_variations_go_from_the_sound_itself_to_another(notes):
    own = notes.generate("oboe A4 forte 0.8 s", seed=1)
    state = notes.model.codec.encode(torch.from_numpy(own.samples[0]), 69.0)

    def distance(strength: float) -> float:
        other = notes.variation((own.samples, own.rate), strength, "oboe forte A4", seed=2)
        found = notes.model.codec.encode(torch.from_numpy(other.samples[0]), 69.0)
        length = min(found.shape[1], state.shape[1])
        return float((found - state)[:8, 2 : length - 4].abs().mean())

    near, middle, far = (distance(strength) for strength in (0.0, 0.3, 1.0))
    assert near < 0.6 * middle and near < 0.6 * far


def test_a_long_note_has_no_seams(notes):
    note = Note(6.0, {"instrument": "oboe", "dynamics": "forte", "articulation": "normal"}, 69.0)
    state = next(notes.model.states([note], [0], notes.pipeline.config.sample))
    window = notes.model.window
    places = [p for p in edges(state.shape[1], window, round(0.4 * window)) if 8 < p < state.shape[1] - 16]
    steady = state[:24, 4:-12]
    assert seam(steady, [p - 4 for p in places]) < 1.5
    assert float(steady.max(0).values.min()) > 0.3  # it sounds throughout


def test_a_minute_is_drawn(notes):
    quick = type(notes.pipeline.config.sample)(steps=2)
    sound = notes.generate("oboe A4 forte", duration=60, options=quick)
    assert sound.samples.shape == (1, 60 * 44_100)
    levels = np.sqrt(np.square(sound.samples[0, 44_100:-44_100].reshape(58, -1)).mean(1))
    assert levels.min() > 0.2 * levels.max()  # no second of it is silent


def test_a_melody_has_its_notes_in_time(notes):
    tune = notes.melody("A4 0.5, r 0.3, E5+C5 0.5 forte", "oboe, softly", seed=2)
    rate = tune.rate
    first, last = tune.samples[0, : rate // 2], tune.samples[0, round(0.85 * rate) : round(1.25 * rate)]
    assert abs(cents(hertz(estimated(first, rate)), 69)) < 50
    spectrum = np.abs(np.fft.rfft(np.hanning(len(last)) * last))
    for midi in (72, 76):
        place = hertz(midi) * len(last) / rate
        near = spectrum[round(place) - 4 : round(place) + 5].max()
        assert near > 20 * np.median(spectrum[round(place) - 60 : round(place) + 60])
    assert np.abs(tune.samples[0, round(0.6 * rate) : round(0.78 * rate)]).max() < 0.01 * np.abs(tune.samples).max()


def test_the_command_line_draws_changes_and_refuses(tmp_path, capsys):
    out = tmp_path / "drawn"
    words = ["prompt=oboe playing A4, piano, half a second", "n=2", "seed=3", "rate=22050", "format=flac"]
    assert main(["run", "plugin=audio", *words, *QUICK, f"out={out}"]) == 0
    files = sorted(path.name for path in (out / "samples").iterdir())
    assert files == ["sound-0003.flac", "sound-0003.json", "sound-0004.flac", "sound-0004.json"]
    assert soundfile.info(out / "samples/sound-0003.flac").samplerate == 22_050
    beside = json.loads((out / "samples/sound-0003.json").read_text())
    assert abs(beside["lufs"] + 23) < 0.5 or beside["true_peak_dbtp"] > -1.2
    page = (out / "report.html").read_text()
    assert page.count("data:audio/wav") == 2
    source = out / "samples/sound-0003.flac"
    edited = ["task=inpaint", f"audio={source}", "start=0.2", "end=0.3", f"out={tmp_path / 'edited'}"]
    assert main(["run", "plugin=audio", *edited, *QUICK]) == 0
    capsys.readouterr()
    wrongs = (
        (["task=inpaint"], 2, "audio="),
        (["task=inpaint", "audio=none.wav", "start=0.1", "end=0.2"], 5, "none.wav"),
        (["task=inpaint", f"audio={source}", "start=0.3", "end=0.1"], 2, "start"),
        (["score=H4 1", "prompt=oboe"], 2, "H4"),
        (["prompt=oboe C0"], 2, "oboe"),
        (["from=audio-digits", "label=[label=eleven]"], 2, "eleven"),
        (["from=nothing"], 5, "nothing"),
    )
    for number, (wrong, code, reason) in enumerate(wrongs):
        assert main(["run", "plugin=audio", *wrong, f"out={tmp_path / str(number)}"]) == code
        assert reason in capsys.readouterr().err
