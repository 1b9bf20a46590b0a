"""Sizes of ventricles: norms against NumPy's least squares, scores and their inverse, what a mean brain answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("monai")

import torch
from test_mri_trend import AGES, FACTS, RNG, SEXES, codec, normal

from diffx.errors import UsageError
from diffx_mri import BrainSynth, Person
from diffx_mri.normative import features, population
from diffx_mri.pack import Packed
from diffx_mri.synth.checks import check_ventricles
from diffx_mri.synth.config import BrainSampling
from diffx_mri.synth.data import Latents
from diffx_mri.synth.model import Brain
from diffx_mri.synth.segmentation.tissues import VENTRICLES
from diffx_mri.synth.volumetry import (
    measure_ventricles,
    ventricle_meter,
    ventricle_volume,
    with_response,
    with_ventricles,
)
from diffx_mri.ventricles import millilitres, norms, response, scores, to_tell

VOLUMES = np.exp(2.5 + 0.01 * AGES + 0.4 * RNG.normal(size=len(AGES))).tolist()
KNOWN = {**FACTS, "ventricles": norms(AGES.tolist(), SEXES, VOLUMES, FACTS)}


def test_norms_are_least_squares_of_log_volume():
    design = np.column_stack([np.ones(120), features(AGES, SEXES, FACTS)])
    peer, squares, *_ = np.linalg.lstsq(design, np.log(VOLUMES), rcond=None)
    np.testing.assert_allclose(KNOWN["ventricles"]["usual"], peer, atol=1e-6)
    assert KNOWN["ventricles"]["spread"] == pytest.approx((squares[0] / 116) ** 0.5)
    alone = norms(AGES.tolist(), ["F"] * 120, VOLUMES, population(AGES, ["F"] * 120))
    assert np.isfinite(alone["usual"]).all() and alone["usual"][1] == pytest.approx(0, abs=1e-9)


def test_scores_are_standard_and_invert():
    found = scores(AGES.tolist(), SEXES, VOLUMES, KNOWN)
    assert np.mean(found) == pytest.approx(0, abs=1e-6) and np.std(found, ddof=4) == pytest.approx(1)
    np.testing.assert_allclose(millilitres(AGES.tolist(), SEXES, found, KNOWN), VOLUMES, rtol=1e-9)
    assert scores([30.0], ["F"], [None], KNOWN) == [None]
    old, young = millilitres([75.0, 25.0], ["F", "F"], [0.0, 0.0], KNOWN)
    assert np.log(old / young) == pytest.approx(0.5, abs=0.25)  # as made: 0.01 a year


def test_a_size_is_one_more_feature_of_the_trend():
    plain = codec()
    sizes = torch.tensor(scores(AGES.tolist(), SEXES, VOLUMES, KNOWN))
    slope = normal(*plain.shape)
    slope = (slope + plain.flip(slope)) / 2
    z = torch.einsum("n,cxyz->ncxyz", sizes, slope) + features(AGES, SEXES, FACTS)[:, 1, None, None, None, None]
    taught = plain.with_people(z, AGES.tolist(), SEXES, VOLUMES)
    difference = taught.expected([50.0], ["F"], [2.0]) - taught.expected([50.0], ["F"], [None])
    assert (difference[0] - 2 * slope).square().mean() < 1e-3 * slope.square().mean()
    assert torch.equal(taught.expected([50.0], ["F"]), taught.expected([50.0], ["F"], [0.0]))
    half = plain.with_people(z[::2], AGES[::2].tolist(), SEXES[::2])
    assert len(half.trend) == 3 and "ventricles" not in (half.people or {})

    rows = [{"age": 50.0, "sex": "F", "ventricles": millilitres([50.0], ["F"], [1.5], taught.people)[0]}]
    item = Latents(Packed(z[:1].half(), rows), [0], taught)[0]
    want = z[0].half().float() - taught.expected([50.0], ["F"], [1.5])[0]
    assert torch.allclose(item["x"], want, atol=1e-5)


def test_what_is_told_makes_the_volume_that_was_asked_for():
    told = RNG.normal(size=120)
    design = np.column_stack([np.ones(120), features(AGES, SEXES, FACTS), told])
    answers = np.exp(design @ [2.9, 0.1, 0.05, 0.2, 0.3])
    facts = {**KNOWN, "ventricles": {**KNOWN["ventricles"], "response": []}}
    facts["ventricles"]["response"] = response(AGES.tolist(), SEXES, told.tolist(), answers.tolist(), facts)
    np.testing.assert_allclose(facts["ventricles"]["response"], [2.9, 0.1, 0.05, 0.2, 0.3], atol=1e-5)
    ages, sexes, asked = [25.0, 60.0, 80.0], ["M", "F", "F"], [-2.0, 0.0, 1.0]
    design = np.column_stack([np.ones(3), features(ages, sexes, FACTS), to_tell(ages, sexes, asked, facts)])
    np.testing.assert_allclose(
        np.exp(design @ [2.9, 0.1, 0.05, 0.2, 0.3]), millilitres(ages, sexes, asked, facts), rtol=1e-4
    )


def test_the_response_is_read_off_mean_brains():
    """A meter whose answer is known: ml as the exponential of one decoded voxel. No brain, but the same arithmetic."""
    plain = codec()
    z = torch.zeros(120, *plain.shape)
    z[:, 3] = torch.tensor(scores(AGES.tolist(), SEXES, VOLUMES, KNOWN))[:, None, None, None]
    taught = with_response(plain.with_people(z, AGES.tolist(), SEXES, VOLUMES), lambda b: float(np.exp(b[12, 12, 11])))
    low, high = (taught.decode(taught.expected([50.0], ["F"], [v]))[0, 12, 12, 11].item() for v in (-2.0, 2.0))
    assert taught.people["ventricles"]["response"][-1] == pytest.approx((high - low) / 4, rel=0.05)


def test_volumes_are_read_once_and_mirror_images_share_them(tmp_path):
    rows = [
        {"subject": f"sub-{i}", "session": None, "age": 40.0, "sex": "F", "flipped": f} for f in (0, 1) for i in (1, 2)
    ]
    packed = Packed(normal(4, *codec().shape).half(), rows)
    read: list[float] = []
    measure_ventricles(packed, codec(), lambda brain: read.append(20.0 + len(read)) or read[-1], tmp_path, print)
    assert [row["ventricles"] for row in rows] == [20.0, 21.0, 20.0, 21.0] and len(read) == 2
    assert json.loads((tmp_path / "ventricles.json").read_text()) == {"sub-1_None": 20.0, "sub-2_None": 21.0}
    measure_ventricles(packed, codec(), lambda brain: pytest.fail("it is known"), tmp_path, print)
    measure_ventricles(packed, codec(), None, tmp_path, print)
    assert [row["ventricles"] for row in rows] == [None] * 4
    said: list[str] = []
    assert ventricle_meter(codec(), said.append) is None and "grid" in said[0]


@pytest.mark.parametrize("wanted", [6.0, 20.0, 55.0])
def test_a_brain_is_solved_for_whose_ventricles_have_the_volume(wanted):
    """Where volumes answer by less than the slope that is known, and by ever less: log v = 3 + 0.4 t - 0.03 t^2."""
    told = []

    def decode(size: float) -> torch.Tensor:
        told.append(size)
        return torch.full((1, 1, 1), 3 + 0.4 * size - 0.03 * size**2).exp()

    brain = with_ventricles(decode, 0.5, wanted, 0.6, lambda volume: float(volume.mean()))
    assert float(brain) == pytest.approx(wanted, rel=0.02) and len(told) <= 4


def test_what_cannot_be_solved_for_gets_the_nearest_brain():
    brain = with_ventricles(lambda t: torch.full((1,), min(20 + t, 30.0)), 0.0, 50.0, 0.3, lambda v: float(v[0]))
    assert float(brain) == 30


class Flags(list):
    """A run that is told of flags."""

    flag = list.append


def test_ventricles_beyond_the_largest_of_the_training_set_are_flagged_and_not_drawn_by_chance(synth):
    people = synth.codec.people
    known = {**people, "ventricles": {**people["ventricles"], "largest": 40.0}}
    limited = BrainSynth(synth.pipeline, synth.codec.with_facts(people=known), synth.meta)
    tissues = np.zeros(synth.codec.geometry.canvas, np.uint8)
    tissues.ravel()[: round(30 / 0.008)] = VENTRICLES  # 30 ml
    flags = Flags()
    check_ventricles(flags, limited, Brain(Person(70, "F", 1, 2.5), tissues, synth.codec.affine, 1.0, tissues), "one")
    assert "the largest that these weights learned from have 40" in flags[0] and "has ventricles of 30 ml" in flags[1]
    usual = Person(70, "F", 1, scores([70.0], ["F"], [31.0], known)[0])
    check_ventricles(flags, limited, Brain(usual, tissues, synth.codec.affine, 1.0, tissues), "other")
    assert len(flags) == 2
    volumes = [limited.millilitres(limited.somebody(Person(80, "M", seed))) for seed in range(200)]
    assert max(volumes) == pytest.approx(40, rel=0.01) and min(volumes) < 25


def test_every_brain_comes_with_its_tissues_on_its_voxels(synth):
    brain = next(synth.brains([Person(40, "F", 1)], BrainSampling(steps=3, stages=[])))
    labels = brain.segmentation()
    assert labels.shape == brain.image().shape and labels.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(labels.affine, brain.image().affine)
    assert not brain.tissues[brain.data == 0].any() and set(np.unique(brain.tissues)) == {0, 1, 2, 3, 4}
    assert ventricle_volume(brain.tissues, brain.affine) == pytest.approx(synth.millilitres(brain.person), rel=0.03)


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


def test_ventricles_have_the_size_that_was_asked_for(synth):
    """Of two people at 25 and at 70: the segmenter finds what was asked within a tenth, over a factor of three."""
    read = ventricle_meter(synth.codec, print)
    quick = BrainSampling(steps=6, stages=[])
    for age in (25, 70):
        found = []
        for size in (-1.5, 1.5):
            people = [Person(age, "F", seed, size) for seed in (1, 2)]
            volumes = [read(brain.data) for brain in synth.brains(people, quick)]
            asked = synth.millilitres(people[0])
            assert volumes == pytest.approx([asked] * 2, rel=0.1)
            found.append(np.mean(volumes))
        assert found[1] > 2.2 * found[0]


def test_who_has_no_size_gets_one_by_the_seed(synth):
    some = [synth.somebody(Person(40, "F", seed)).ventricles for seed in range(400)]
    assert np.mean(some) == pytest.approx(0, abs=0.15) and np.std(some) == pytest.approx(1, abs=0.1)
    assert max(map(abs, some)) <= 3
    assert synth.somebody(Person(40, "F", 5)).ventricles == synth.somebody(Person(70, "M", 5)).ventricles
    assert synth.somebody(Person(40, "F", 5, 1.25)).ventricles == 1.25


def test_sizes_that_cannot_be_asked_for_are_refused(synth):
    with pytest.raises(UsageError, match="ventricles: 4 is outside -3 to 3"):
        synth.sample(age=40, ventricles=4)
    people = {name: value for name, value in synth.codec.people.items() if name != "ventricles"}
    older = BrainSynth(synth.pipeline, synth.codec.with_facts(people=people), synth.meta)
    with pytest.raises(UsageError, match="not told of ventricles"):
        older.sample(age=40, ventricles=1)
    assert older.millilitres(replace(Person(40, "F", 1), ventricles=None)) is None
