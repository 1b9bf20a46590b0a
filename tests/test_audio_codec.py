"""Sounds as states and back, against signals whose parts are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from diffx_audio.harmonic import Harmonic
from diffx_audio.joined import eased, joined
from diffx_audio.phase import integrated, refined
from diffx_audio.pitch import cents, estimated, hertz, midi_of, name_of, tuned
from diffx_audio.spectrogram import Spectrogram
from diffx_audio.timing import Frames, timing
from diffx_audio.vocoder import Vocoder

RATE = 44_100


def tone(midi: float, seconds: float, amplitudes: list[float], rate: int = RATE, vibrato: float = 0.0) -> torch.Tensor:
    """Harmonics of a pitch that wanders by ``vibrato`` semitones five times a second."""
    time = np.arange(round(seconds * rate)) / rate
    turns = np.cumsum(hertz(midi) * 2 ** (vibrato * np.sin(2 * np.pi * 5 * time) / 12)) / rate
    parts = [a * np.sin(2 * np.pi * (k * turns + 0.1 * k * k)) for k, a in enumerate(amplitudes, 1)]
    return torch.from_numpy(np.sum(parts, axis=0)).float()


def convergence(sound: torch.Tensor, magnitude: torch.Tensor, window: int, hop: int) -> float:
    """Distance of a sound's spectrogram from a magnitude, in dB of the latter (Sturmel and Daudet 2011)."""
    found = torch.stft(sound, window, hop, window=torch.hann_window(window), pad_mode="constant", return_complex=True)
    return float(20 * torch.log10((found.abs() - magnitude).norm() / magnitude.norm()))


def chirps(rate: int = 8000) -> torch.Tensor:
    """Two tones that glide, with a pause between."""
    time = torch.arange(rate) / rate
    rise = torch.sin(2 * math.pi * (300 * time + 400 * time**2)) * (time < 0.45)
    fall = torch.sin(2 * math.pi * (2500 * time - 700 * time**2)) * (time > 0.55)
    return 0.5 * (rise + fall)


def test_integration_finds_the_phase_of_a_steady_tone():
    window, hop = 256, 64
    sound = torch.sin(2 * math.pi * 1000.0 / 8000 * torch.arange(4096))
    spectrum = torch.stft(sound, window, hop, window=torch.hann_window(window), return_complex=True)
    phase = integrated(spectrum.abs().numpy(), window, hop, seed=0)
    ridge = 32  # 1000 Hz
    steps = np.diff(phase[ridge, 4:-4]) - 2 * np.pi * hop * ridge / window
    assert np.abs((steps + np.pi) % (2 * np.pi) - np.pi).max() < 1e-3


def test_integration_is_a_better_start_than_chance_and_the_projections_refine_it():
    window, hop, sound = 256, 64, chirps()
    hann = torch.hann_window(window)
    magnitude = torch.stft(sound, window, hop, window=hann, pad_mode="constant", return_complex=True).abs()
    phase = torch.from_numpy(integrated(magnitude.numpy(), window, hop, seed=0)).float()
    chance = torch.rand(phase.shape, generator=torch.Generator().manual_seed(0)) * 2 * math.pi

    def after(start: torch.Tensor, steps: int) -> float:
        return convergence(refined(magnitude, start, hann, hop, len(sound), steps), magnitude, window, hop)

    assert after(phase, 0) < after(chance, 0) - 8
    assert after(phase, 32) < min(after(phase, 0), after(chance, 32)) - 3 and after(phase, 32) < -25


def test_a_spectrogram_of_a_sound_becomes_the_sound_again():
    codec, sound = Spectrogram(8000, 256, 64), chirps()
    state = codec.encode(sound)
    assert state.shape == (128, 125) and float(state.max()) == 1.0 and float(state.min()) == -1.0
    again = codec.decode(state, len(sound))
    spectra = [codec.spectrum(s) / codec.spectrum(s).max() for s in (sound, again)]
    assert float((spectra[0] - spectra[1]).norm() / spectra[0].norm()) < 0.05
    assert torch.allclose(codec.encode(3 * sound), state, atol=1e-4)  # how loud it is does not matter


def test_harmonics_are_measured_as_they_are():
    amplitudes = [0.5, 0.25, 0.05, 0.1]
    state = Harmonic(RATE, 1024).encode(tone(62.0, 1.0, amplitudes), 62.0)
    decibels = (state[:4, 8:30].mean(1) - 1) * 40
    assert np.allclose(decibels, 20 * np.log10(np.array(amplitudes) / 0.5), atol=0.3)
    assert float(state[6:20, 8:30].max()) < -0.3  # silence elsewhere: 52 dB down and more


def test_a_wandering_pitch_is_followed():
    codec = Harmonic(RATE, 1024)
    wander = codec.encode(tone(70.0, 1.0, [0.5, 0.3, 0.2], vibrato=0.3), 70.0)[-1].numpy() * 0.5
    expected = 0.3 * np.sin(2 * np.pi * 5 * np.arange(len(wander)) * 1024 / RATE)
    assert np.abs(wander - expected)[3:-3].mean() < 0.06


@pytest.mark.parametrize("midi", [29.0, 45.3, 69.0, 88.0])
def test_a_note_is_drawn_with_its_pitch_and_its_harmonics(midi):
    codec, amplitudes = Harmonic(RATE, 1024), [0.3, 0.5, 0.2, 0.1]
    again = codec.decode(codec.encode(tone(midi, 1.0, amplitudes), midi), RATE, 0, midi)
    assert abs(cents(hertz(estimated(again.numpy(), RATE)), midi)) < 5
    spectrum = torch.fft.rfft(again[8000:-8000] * torch.hann_window(RATE - 16_000)).abs()
    spacing = RATE / (RATE - 16_000)
    peaks = [float(spectrum[round(k * hertz(midi) / spacing) - 8 :][:17].max()) for k in (1, 2, 3, 4)]
    assert np.allclose(20 * np.log10(np.array(peaks) / peaks[1]), 20 * np.log10(np.array(amplitudes) / 0.5), atol=1.5)


def test_noise_between_harmonics_keeps_its_level():
    generator = torch.Generator().manual_seed(0)
    hiss = 0.01 * torch.randn(RATE, generator=generator)
    codec = Harmonic(RATE, 1024)
    again = codec.decode(codec.encode(tone(69.0, 1.0, [0.5]) + hiss, 69.0), RATE, 0, 69.0)

    def level(sound: torch.Tensor) -> float:  # of 2 to 15 kHz, where no harmonic is
        return float(torch.fft.rfft(sound[4000:-4000]).abs()[2000:15_000].square().mean().sqrt())

    assert abs(20 * math.log10(level(again) / level(hiss))) < 1.5


def test_a_voice_keeps_its_pitch_and_its_formants():
    rate, codec = 8000, Vocoder(8000, 64)
    time = np.arange(rate) / rate
    hz = 120 + 30 * time
    pulses = np.diff(np.floor(np.cumsum(hz) / rate), prepend=0.0)
    poles = np.exp(-np.pi * 80 / rate + 2j * np.pi * np.array([700, 1900]) / rate)
    shape = np.poly(np.concatenate([poles, poles.conj()])).real
    sound = torch.from_numpy(lfilter([1.0], shape, pulses)).float()
    state = codec.encode(sound)
    octaves = state[48, 10:-10].numpy()
    frames = (np.arange(len(state[0])) * 64)[10:-10]
    assert np.abs(150 * 2**octaves - hz[frames]).max() < 4
    assert (state[49, 10:-10] == 1).all()
    assert (state[50:52, 10:-10] < -0.8).all()  # hardly any noise below 2 kHz
    again = codec.encode(codec.decode(state, len(sound)))
    shapes = [s[:48, 10:-10].median(1).values * 35 for s in (state, again)]  # dB
    difference = (shapes[1] - shapes[0]) - (shapes[1] - shapes[0]).mean()
    assert float(difference.abs().mean()) < 2 and float(shapes[0].std()) > 8


@pytest.mark.parametrize(
    "codec, midi, most", [(Spectrogram(RATE, 1024, 256), None, 0.4), (Harmonic(RATE, 1024), 60.0, 0.1)]
)
def test_a_gap_is_filled_in_phase(codec, midi, most):
    sound = tone(60.0, 1.0, [0.4, 0.2, 0.1])
    state = codec.encode(sound, midi)
    first, last = 15_000, 22_000
    inside = codec.fill(state, sound, first, last, 0, midi)
    error = float((inside - sound[first:last]).norm() / sound[first:last].norm())
    assert error < most  # 1.4 for another phase
    jumps = (abs(float(inside[0] - sound[first - 1])), abs(float(inside[-1] - sound[last])))
    assert max(jumps) <= 1.5 * float(sound.diff().abs().max())


def test_what_is_put_in_begins_as_the_sound_goes_on():
    rate, time = 8000, np.arange(4000) / 8000
    sound = np.sin(2 * np.pi * 211 * time) + 0.3 * np.sin(2 * np.pi * 1700 * time + 1)
    other = np.random.default_rng(0).normal(size=1000)
    inside = eased(other, sound, 1500, 2500, rate)
    assert np.abs(inside[:4] - sound[1500:1504]).max() < 0.1 and np.abs(inside[-4:] - sound[2496:2500]).max() < 0.1
    assert np.array_equal(inside[60:-60], other[60:-60])


def test_a_joint_is_where_both_sounds_agree():
    time = np.arange(8000) / 8000
    sound, shifted = np.sin(2 * np.pi * 111 * time), 0.3 * np.sin(2 * np.pi * 111 * time + 2.0)
    assert np.abs(joined(shifted, sound, 3000, 5000, 100, 8000) - sound[3000:5000]).max() < 0.1


def test_names_of_pitches():
    assert [midi_of(name) for name in ("A4", "C#3", "Db3", "C-1", "a#0")] == [69, 49, 49, 0, 22]
    assert [name_of(midi) for midi in (69, 49.2, 21.6)] == ["A4", "C#3", "A#0"]
    for wrong in ("H4", "A", "A44.5", ""):
        with pytest.raises(ValueError, match="pitch"):
            midi_of(wrong)


def test_the_tuning_of_a_note_is_found_within_three_cents():
    for midi, off in ((40.0, 0.21), (69.0, -0.17), (86.0, 0.4)):
        sound = tone(midi + off, 1.0, [0.2, 0.4, 0.3, 0.2, 0.1]).numpy()
        spectrum = np.abs(np.fft.rfft(np.hanning(len(sound)) * sound, 4 * len(sound)))
        assert abs(tuned(spectrum, RATE, midi) - midi - off) < 0.03


def test_a_missing_fundamental_is_heard():
    assert abs(estimated(tone(52.0, 1.0, [0.0, 0.4, 0.5, 0.3, 0.4, 0.2]).numpy(), RATE) - 52.0) < 0.1
    assert estimated(np.zeros(RATE), RATE) is None


def test_timing_counts_from_onset_to_end():
    told = timing(5, 0.1, total=0.25, start=-0.1)
    seconds = np.array([-0.1, 0.0, 0.1, 0.2, 0.3])
    assert np.allclose(told[0], np.sign(seconds) * np.log1p(np.abs(seconds) / 0.05) / 2, atol=1e-6)
    assert told[2].tolist() == [0, 1, 1, 1, 0]
    frames = Frames((5,))
    spatial = frames(torch.stack([frames.parse(told), frames.parse(None)])).spatial
    assert torch.equal(spatial[0, :3], told) and spatial[0, 3].eq(1).all() and spatial[1].eq(0).all()
