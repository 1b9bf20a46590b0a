"""Another scanner in closed form: location and scale found again, noise left alone, nothing else moved; task=adapt."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("monai")

import torch
from mri_restore import small_codec

from diffx.cli import main
from diffx.config import resolve
from diffx.data.packed import pack_arrays
from diffx_mri import BrainSynth
from diffx_mri.codec import BrainCodec
from diffx_mri.harmonisation import with_site
from diffx_mri.pack import FORMAT, Packed
from diffx_mri.synth.config import SynthConfig
from diffx_mri.synth.data import cache_folder
from diffx_mri.synth.tasks.adapt import departure, recoded
from diffx_mri.tone import Tone, tone_between


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def site(n: int, codec: BrainCodec, move: torch.Tensor, scale: float, spread: torch.Tensor) -> torch.Tensor:
    """Latents of n people of a site whose latents are move + scale (those of home), both sides of a brain alike."""
    even = (move + codec.flip(move)) / 2
    factor = torch.tensor([1.0] * 3 + [scale] * codec.components)[:, None, None, None]
    return even + factor * spread * normal(n, *codec.shape, seed=1)


def test_location_and_scale_are_found_and_a_latent_of_home_becomes_one_of_the_site():
    codec = small_codec()
    spread = torch.full(codec.shape, 0.5)
    spread[:, ::2] = 0.8
    spread = (spread + spread.flip(-3)) / 2
    move = 2 * torch.ones(codec.shape) * codec.signs[:, None, None, None].clamp_min(0) - 1e-3
    x = site(60, codec, move, 0.4, spread)
    moved = with_site(codec, x, spread)
    b, s = (moved.mean - codec.mean) / codec.deviation, moved.deviation / codec.deviation
    even = codec.signs > 0
    assert (b[even] - 2).abs().mean() < 0.1 and b[~even].abs().mean() < 0.1
    assert (s[:3] == 1).all() and (s[3:] - 0.4).abs().max() < 0.1
    there = recoded(Packed(x, []), codec, moved).z
    torch.testing.assert_close(moved.decode(there[:1]), codec.decode(x[:1]), atol=2e-3, rtol=0)
    assert departure(x, spread) > 2 and departure(there, spread) == pytest.approx(1, abs=0.05)


def test_what_eight_scans_show_by_chance_does_not_move_the_codec():
    codec = small_codec()
    spread = torch.ones(codec.shape)
    x = site(8, codec, torch.zeros(codec.shape), 1.0, spread)
    b = (with_site(codec, x, spread).mean - codec.mean) / codec.deviation
    raw = ((x + torch.stack([codec.flip(one) for one in x])) / 2).mean(0)
    assert b.square().mean() < 0.15 * raw.square().mean()
    with pytest.raises(ValueError, match="3 scans do not tell"):
        with_site(codec, x[:3], spread)


def test_age_makes_the_same_of_a_brain_in_its_own_units():
    home = small_codec()
    trend = normal(3, *home.shape, seed=4)
    codec = BrainCodec(home.geometry, {**home.state_dict(), "trend": trend}, home.facts)
    spread = torch.ones(codec.shape)
    moved = with_site(codec, site(40, codec, normal(*codec.shape, seed=5), 0.5, spread), spread)
    torch.testing.assert_close(
        moved.trend * moved.deviation,
        trend * home.deviation,
        rtol=0.03,
        atol=0.01 * float((trend * home.deviation).abs().max()),
    )
    assert (moved.trend[:, 3:] - trend[:, 3:]).abs().max() > 0.5


def test_the_curve_between_two_scanners_is_found_and_undone():
    home = 0.2 + 0.8 * torch.rand(4000, generator=torch.Generator().manual_seed(3))
    site = (home / 1.1) ** (1 / 0.7)
    apart = site + 0.05 * normal(4000, seed=4)  # what else makes them differ, a fold here or there
    tone = tone_between(home, apart.clamp_min(0))
    assert tone.power == pytest.approx(0.7, abs=0.08) and tone.gain == pytest.approx(1.1, abs=0.05)
    exact = tone_between(home, site)
    torch.testing.assert_close(exact.home(site), home, atol=5e-3, rtol=0)
    torch.testing.assert_close(exact.site(exact.home(site)), site)
    assert tone_between(home, 1.2 - home) is None  # dark where home is bright
    assert tone_between(home, (home + 1) ** 0.1) is None  # hardly any contrast
    assert Tone().home(site) is site


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory, synth) -> list[str]:
    """A folder of six scans of a site, one held out, whose latents are at hand: encoding has tests of its own."""
    tmp_path, codec = tmp_path_factory.mktemp("site"), synth.codec
    root = tmp_path / "bids"
    for number in range(6):
        anat = root / f"sub-{number}/anat"
        anat.mkdir(parents=True)
        (anat / f"sub-{number}_T1w.nii.gz").write_bytes(b"")
    people = [
        {"subject": f"sub-{i}", "age": 30.0 + 5 * i, "sex": "F", "split": "val" if i == 5 else "train"}
        for i in range(6)
    ]
    table = ["participant_id\tage\tsex\tsplit", *("\t".join(map(str, p.values())) for p in people)]
    (root / "participants.tsv").write_text("\n".join(table) + "\n")
    words = [
        "plugin=mri_synth",
        "from=mri-synth-ixi",
        f"data.root={root}",
        f"data.cache={tmp_path / 'cache'}",
        "device=cpu",
    ]
    folder = cache_folder(resolve(SynthConfig, overrides=words))
    expected = codec.expected([p["age"] for p in people], [p["sex"] for p in people])
    learned = synth.pipeline.model.denoiser.element_sigma_data.float()
    z = (expected + site(6, codec, 1.5 * torch.ones(codec.shape), 0.5, learned)).half()
    rows = [{**p, "session": None, "flipped": flipped} for flipped in (False, True) for p in people]
    folder.mkdir(parents=True)
    latents = {"z": torch.cat([z, codec.flip(z.float()).half()])}
    pack_arrays(folder / "latents.safetensors", FORMAT, latents, {"rows": rows})
    codec.save(folder / "codec.safetensors")
    return words


def test_the_command_line_moves_the_codec_and_nothing_else(synth, words, tmp_path):
    codec, spread = synth.codec, synth.pipeline.model.denoiser.element_sigma_data.float()
    assert main(["run", *words, "task=adapt", f"out={tmp_path}"]) == 0
    told = json.loads((tmp_path / "metrics.json").read_text())["departure_held_out"]
    assert told["baseline"] > 2 and told["value"] < 1.5 and told["n"] == 1
    after = BrainSynth.load(tmp_path, device="cpu")
    assert after.codec.facts["site"] == 5 and after.meta["ages"] == synth.meta["ages"]
    assert after.meta["stages"] == (synth.meta["stages"] if after.codec.tone else [])
    for name, tensor in synth.pipeline.model.state_dict().items():
        assert torch.equal(after.pipeline.model.state_dict()[name], tensor)
    kept = set(codec.state_dict()) - {"mean", "deviation", "trend", "points"}
    assert all(torch.equal(codec.state_dict()[name], after.codec.state_dict()[name]) for name in kept)
    varied = spread[3:] > 0.3
    assert float((after.codec.deviation / codec.deviation)[3:][varied].median()) == pytest.approx(0.5, abs=0.08)


def test_adapters_trained_on_five_scans_are_of_their_rank_and_leave_the_trend(synth, words, tmp_path):
    training = ["train.lora_rank=2", "train.steps=2", "train.batch=1", "train.warmup=0", "train.val_every=0"]
    assert main(["run", *words, "task=train", *training, f"out={tmp_path}"]) == 0
    tuned = BrainSynth.load(tmp_path, device="cpu")
    assert tuned.codec.people == synth.codec.people and torch.equal(tuned.codec.trend, synth.codec.trend)
    before, after = synth.pipeline.model.state_dict(), tuned.pipeline.model.state_dict()
    name = "denoiser.net.conv_in.weight"
    values = torch.linalg.svdvals((after[name] - before[name]).flatten(1).double())
    assert values[0] > 1e-4 and (values[2:] < 0.1 * values[0]).all()  # what is left is rounding to half precision
    assert torch.equal(before["denoiser.element_sigma_data"], after["denoiser.element_sigma_data"])
