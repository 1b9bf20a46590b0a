"""Options of audio."""

from __future__ import annotations

from dataclasses import dataclass, field

from diffx.config import DataConfig, NetConfig, ProcessConfig, RunConfig, SampleConfig, TrainConfig, option

PLUGIN = "audio"
#: short names of shipped weights
SHIPPED = {"digits": "audio-digits", "orchestra": "audio-orchestra"}
#: columns of a manifest that are classes, where it has them and data.fields does not say
CLASSES = ("label", "speaker", "instrument", "dynamics", "articulation")


@dataclass
class AudioData(DataConfig):
    """Sounds to learn from or to measure against."""

    root: str | None = option(
        None, help="folder with manifest.csv (file, caption, label, pitch, ..., split), or a packed file", common=True
    )
    fields: list[str] = option([], help="columns of the manifest that are classes; empty: the usual ones")
    holdout: float = option(
        0.1, help="share of the sounds kept for validation, where the manifest has none", min=0, max=0.5
    )
    transpose: float = option(
        0.0, help="training: most that a note of codec.kind=harmonic is transposed", unit="semitones", min=0, max=2
    )
    seconds: float = option(0.64, help="training: length of what the network sees at once", unit="s", min=0.05, max=30)
    cache: str | None = option(None, help="folder of prepared data; default the user's cache")


@dataclass
class CodecConfig:
    """How a sound becomes the state of the network."""

    kind: str = option(
        "spectrogram",
        help="spectrogram: its magnitude, for any sound; vocoder: envelope and pitch, for voices; "
        "harmonic: harmonics and noise, for notes of a known pitch",
        choices=("spectrogram", "vocoder", "harmonic"),
    )
    rate: int = option(8000, help="samples a second that the model works at", unit="Hz", min=4000, max=96_000)
    window: int = option(256, help="spectrogram: length of the Hann window", unit="samples", min=64, max=8192)
    hop: int = option(64, help="from frame to frame", unit="samples", min=16, max=4096)
    depth: float = option(70.0, help="from the loudest bin or harmonic down to silence", unit="dB", min=30, max=120)
    refine: int = option(
        32, help="spectrogram: projections of fast Griffin-Lim that follow the heap integration", min=0, max=1000
    )


@dataclass
class AudioNet(NetConfig):
    channels: list[int] = option([256, 320, 384], help="width of each resolution, finest first", min=4)
    blocks: int = option(1, help="residual blocks a resolution", min=1)
    attention: list[int] = option([1, 2], help="resolutions with attention, 0 the finest", min=0)
    condition: int = option(128, help="width of the conditioning vector", min=1)


@dataclass
class AudioProcess(ProcessConfig):
    sigma_data: float = option(0.6, help="standard deviation of the clean state", min=1e-6)
    noise_mean: float = option(-0.6, help="mean of log(sigma/alpha) of the training noise")
    noise_std: float = option(1.3, help="standard deviation of log(sigma/alpha) of the training noise", min=0.01)


@dataclass
class AudioSampling(SampleConfig):
    sampler: str = option("dpmpp_2m", help="the solver, as for any plugin; the figures were measured with this one")
    steps: int = option(16, help="steps of the solver", min=1)
    guidance: float = option(3.0, help="weight of classifier-free guidance; 1 is off", min=0)
    stop: float = option(1.5, help="noise (sigma/alpha) at which the prediction is taken for the sample", min=0, max=10)
    batch: int = option(8, help="sounds drawn together; changes the speed, not the samples", min=1)


@dataclass
class AudioTraining(TrainConfig):
    optimizer: str = option("muon", help="adamw, or muon", choices=("adamw", "muon"))
    decay: str = option(
        "inverse_sqrt",
        help="how the learning rate falls: cosine, or 1 / sqrt(step)",
        choices=("cosine", "inverse_sqrt"),
    )
    lr: float = option(1.5e-3, help="peak learning rate", min=0)
    warmup: int = option(100, help="steps over which the learning rate rises", min=0)
    batch: int = option(16, help="sounds in one forward pass", min=1)
    steps: int = option(8000, help="optimiser steps", min=1)
    ema_std: float = option(
        0.1, help="relative width of the power-function average of the weights", min=0.005, max=0.27
    )
    weight_decay: float = option(0.01, help="decoupled weight decay", min=0)


@dataclass
class EvaluateConfig:
    """What is drawn and heard by ``task=evaluate``."""

    n: int = option(120, help="evaluate: held-out sounds that are drawn anew, at most", min=3)
    unheard: int = option(40, help="evaluate: notes of pitch classes that training lacks, at most", min=0)
    training: int = option(3000, help="evaluate: training sounds that are compared with, at most", min=3)
    embedding: str = option(
        "auto",
        help="what sounds are compared by: speech, the network of openwakeword; mel; auto: speech if installed",
        choices=("auto", "speech", "mel"),
    )
    pitch: str = option(
        "auto",
        help="what hears pitches: sums (of subharmonics), crepe; auto: the one that gets more real notes right",
        choices=("auto", "sums", "crepe"),
    )


@dataclass
class AudioConfig(RunConfig):
    """Sounds from words, labels, pitches and durations."""

    prompt: str | None = option(None, help='what to hear, as in "oboe playing A4, softly"', common=True)
    score: str | None = option(None, help='notes and seconds, as in "A4 0.5, C5 0.5", or a MIDI file', common=True)
    label: list[str] = option([], help="what the sound is, as field=class: label=seven or speaker=jackson")
    audio: str | None = option(None, help="sound file to change: inpaint, outpaint, variation", common=True)
    duration: float | None = option(
        None, help="length of the sound; by default what is usual for it", unit="s", min=0.05, max=600, common=True
    )
    start: float | None = option(None, help="inpaint: where the gap begins", unit="s", min=0)
    end: float | None = option(None, help="inpaint: where the gap ends", unit="s", min=0)
    before: float = option(0.0, help="outpaint: seconds drawn before the sound", unit="s", min=0, max=60)
    after: float = option(0.0, help="outpaint: seconds drawn after the sound", unit="s", min=0, max=60)
    strength: float = option(0.5, help="variation: 0 leaves the sound as it is, 1 draws another", min=0, max=1)
    rate: int | None = option(None, help="of the files; by default the model's", unit="Hz", min=4000, max=192_000)
    lufs: float | None = option(
        -23.0, help="loudness of the files (ITU-R BS.1770); true peaks stay below -1 dBTP", unit="LUFS", min=-70, max=-5
    )
    format: str = option("wav", help="of the files", choices=("wav", "flac"))
    classes: list[str] = option([], help="of the weights, field:class|class|...; training finds them in the manifest")
    data: AudioData = field(default_factory=AudioData)
    codec: CodecConfig = field(default_factory=CodecConfig)
    process: AudioProcess = field(default_factory=AudioProcess)
    net: AudioNet = field(default_factory=AudioNet)
    train: AudioTraining = field(default_factory=AudioTraining)
    sample: AudioSampling = field(default_factory=AudioSampling)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
