"""Autoguidance of appearance: its arithmetic, when it is off, whose latents it takes, and what it does to brains."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("monai")

import torch

from diffx.errors import UsageError
from diffx_mri import BrainSynth, Person
from diffx_mri.synth.config import BrainSampling
from diffx_mri.synth.guidance import guided_appearance, weak_pipeline

QUICK = BrainSampling(steps=6, stages=[])


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


def test_appearance_goes_on_from_bad_to_good_and_shape_is_good():
    good, bad = torch.randn(2, 5, 2, 2, 2), torch.randn(2, 5, 2, 2, 2)
    told = object()

    def weak(x, t, condition):
        assert condition is told and t == 0.5
        return bad

    out = guided_appearance(lambda x, t, condition: good, weak, told, 2.5)(torch.zeros(()), 0.5, None)
    assert torch.equal(out[:, :3], good[:, :3])
    assert torch.allclose(out[:, 3:], bad[:, 3:] + 2.5 * (good[:, 3:] - bad[:, 3:]), atol=1e-6)


def test_it_is_off_where_it_is_switched_off_or_nothing_weaker_is_known(synth):
    assert synth.weak(QUICK) is not None and synth.weak(BrainSampling(autoguidance=1)) is None
    meta = {name: value for name, value in synth.meta.items() if name != "weak"}
    fine_tuned = BrainSynth(synth.pipeline, synth.codec, meta)
    assert fine_tuned.weak(QUICK) is None and fine_tuned.weak(BrainSampling(weak="mri-synth-ixi-weak")) is not None


def test_a_network_of_other_latents_is_refused(synth):
    other = type(synth.codec)(synth.codec.geometry, {**synth.codec.state_dict(), "basis": synth.codec.basis.flip(0)})
    with pytest.raises(UsageError, match=r"sample.weak=mri-synth-ixi-weak: trained on other latents \(basis\)"):
        weak_pipeline("mri-synth-ixi-weak", other)


def test_the_shipped_stages_name_what_they_are_guided_away_from(synth):
    assert [one.stage.spacing for one in synth.stages(BrainSampling()) if one.weak is not None] == [4.0, 2.0]
    weaker = ["mri-synth-ixi-8to4-weak", "mri-synth-ixi-4to2-weak"]
    assert all(one.weak is not None for one in synth.stages(BrainSampling(stages=weaker, weak_stages=weaker)))
    with pytest.raises(UsageError, match=r"sample.weak_stages: 1 weights for 2 stages"):
        synth.stages(BrainSampling(weak_stages=weaker[:1]))
    with pytest.raises(UsageError, match="which is another stage"):
        synth.stages(BrainSampling(weak_stages=weaker[::-1]))


def test_brains_come_out_crisper_and_remain_the_same_people(synth):
    """Mean gradient in the brain, of the decoded image: real scans through the codec have 0.116, plain samples less."""
    people = [Person(35, "F", 1), Person(60, "M", 2)]
    plain, crisp = (
        [brain.data for brain in synth.brains(people, BrainSampling(steps=8, autoguidance=weight, stages=[]))]
        for weight in (1, 2)
    )
    inside = synth.codec.mean_brain().numpy() > 0.1

    def gradient(data: np.ndarray) -> float:
        return float(np.sqrt(sum(g**2 for g in np.gradient(data)))[inside].mean())

    for one, two in zip(plain, crisp, strict=True):
        assert 1.02 * gradient(one) < gradient(two) < 0.13
        assert np.corrcoef(one[inside], two[inside])[0, 1] > 0.9
