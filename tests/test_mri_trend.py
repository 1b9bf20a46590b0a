"""What is known of people in closed form: slopes against least squares, modes against an SVD, files old and new."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("monai")

import torch

from diffx.io import checkpoint
from diffx_mri.codec import BrainCodec
from diffx_mri.geometry import Geometry
from diffx_mri.modes import fit_modes, with_modes
from diffx_mri.normative import FEWEST, KNEE, features, fit_slopes, population, somebody
from diffx_mri.pack import Packed
from diffx_mri.patches import mirror_order
from diffx_mri.synth.data import Latents

GRID = Geometry(box=(16, 16, 16), canvas=(24, 24, 24), spacing=4.0)
RNG = np.random.default_rng(3)
AGES = RNG.uniform(20, 80, 120)
SEXES = ["F" if u < 0.6 else "M" for u in RNG.uniform(size=120)]
FACTS = population(AGES, SEXES)
X = features(AGES, SEXES, FACTS)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def codec() -> BrainCodec:
    basis = torch.eye(64)[:2] + torch.eye(64)[mirror_order(4)][:2] * torch.tensor([[1.0], [-1.0]])
    support = torch.zeros(GRID.box)
    support[3:13, 2:15, 4:11] = 1
    tensors = {
        "template": support * 0.5, "support": support, "mean": normal(5, *GRID.grid).half().float(),
        "deviation": torch.ones(5, *GRID.grid), "basis": basis / 2**0.5, "lapping": torch.empty(0),
        "signs": torch.tensor([-1.0, 1, 1, 1, -1]), "head": torch.empty(0), "head_brain": torch.empty(0),
    }  # fmt: skip
    return BrainCodec(GRID, tensors, {"whole_head": False})


def test_features_are_those_of_the_formula_and_unknown_is_the_mean():
    raw = [[-0.5 if s == "F" else 0.5, a / 10, max(a - KNEE, 0) / 10] for a, s in zip(AGES, SEXES, strict=True)]
    np.testing.assert_allclose(X, np.array(raw) - np.mean(raw, 0), atol=2e-3)
    assert features([None, 30.0], [None, None], FACTS)[0].tolist() == [0, 0, 0]
    assert features([None, 30.0], [None, None], FACTS)[1, 0] == 0
    ends = features([5.0, min(AGES), max(AGES), 99.0], ["F"] * 4, FACTS)
    assert torch.allclose(ends[0], ends[1], atol=1e-3) and torch.allclose(ends[2], ends[3], atol=1e-3)


def test_an_age_told_twice_over_is_twice_as_far_from_the_mean_and_sex_and_sizes_are_as_they_were():
    facts = {**FACTS, "ventricles": {}}
    once, twice = (features([25.0, 75.0, None], ["F", "M", "F"], facts, [1.0, -2.0, 0.5], k) for k in (1.0, 2.0))
    torch.testing.assert_close(twice, once * torch.tensor([1.0, 2.0, 2.0, 1.0]))
    assert once[0, 1] < 0 < once[1, 1] and (once[2, 1:3] == 0).all()


def test_slopes_are_those_of_least_squares_where_there_is_no_noise_to_speak_of():
    z = torch.einsum("np,pcxyz->ncxyz", X, 1 + normal(3, 2, 6, 6, 6).abs()) + 0.01 * normal(120, 2, 6, 6, 6, seed=1) + 7
    design = np.column_stack([np.ones(120), X])
    peer = np.linalg.lstsq(design, z.flatten(1).numpy(), rcond=None)[0][1:].reshape(3, 2, 6, 6, 6)
    np.testing.assert_allclose(fit_slopes(z, X), peer, atol=2e-3)


def test_what_is_noise_is_shrunk_away_and_what_is_not_stays():
    """Mean squared error of the slopes: of pure noise a tenth of least squares' or less; beside it, a strong slope."""
    truth = torch.zeros(3, 2, 20, 20, 20)
    truth[1, 0] = 0.5  # age moves the first channel, nothing moves the second
    z = torch.einsum("np,pcxyz->ncxyz", X, truth) + normal(120, 2, 20, 20, 20, seed=2)
    peer = torch.linalg.lstsq(X - X.mean(0), (z - z.mean(0)).flatten(1)).solution.reshape(truth.shape)
    found = fit_slopes(z, X)
    assert (found[:, 1]).square().mean() < 0.1 * peer[:, 1].square().mean()
    assert found[1, 0].mean() == pytest.approx(0.5, abs=0.06)
    assert (found - truth).square().mean() < 0.6 * (peer - truth).square().mean()


def test_a_feature_that_does_not_vary_has_no_slope():
    women = features(AGES, ["F"] * 120, population(AGES, ["F"] * 120))
    found = fit_slopes(normal(120, 2, 5, 5, 5), women)
    assert found.isfinite().all() and (found[0] == 0).all()


def test_somebody_is_of_the_population():
    drawn = [somebody(FACTS, u) for u in RNG.uniform(size=(4000, 2))]
    ages = np.array([age for age, _ in drawn])
    np.testing.assert_allclose(
        np.quantile(ages, [0.1, 0.25, 0.5, 0.75, 0.9]), np.quantile(AGES, [0.1, 0.25, 0.5, 0.75, 0.9]), atol=2
    )
    assert np.mean([sex == "M" for _, sex in drawn]) == pytest.approx(np.mean([s == "M" for s in SEXES]), abs=0.03)


def test_a_codec_expects_what_it_was_taught_left_and_right_alike():
    plain = codec()
    slopes = normal(3, *plain.shape) * 2
    ages, sexes = [*AGES, None], [*SEXES, "F"]
    z = torch.einsum("np,pcxyz->ncxyz", features(ages, sexes, FACTS), slopes)
    z[-1] = 1e6  # of unknown age: passed over
    taught = plain.with_people(z, ages, sexes)
    even = (slopes + plain.flip(slopes)) / 2
    want = torch.einsum("np,pcxyz->ncxyz", features([30.0, 70.0, None], ["F", "M", "M"], FACTS), even)
    found = taught.expected([30.0, 70.0, None], ["F", "M", "M"])
    assert (found - want).square().mean() < 1e-4 * want.square().mean()
    assert torch.allclose(taught.flip(found), found, atol=2e-3)
    assert plain.with_people(z[: FEWEST - 1], ages[: FEWEST - 1], sexes[: FEWEST - 1]) is plain
    assert plain.people is None and (plain.expected([30.0], ["F"]) == 0).all()


def test_modes_are_principal_components_as_long_as_their_spread():
    x = normal(30, 5)[:, :, None, None, None, None] * normal(5, 3, 4, 5, 4, seed=1)
    x = x.sum(1) - x.sum(1).mean(0)
    modes = fit_modes(x, 4)
    _, size, direction = np.linalg.svd(x.flatten(1).numpy(), full_matrices=False)
    np.testing.assert_allclose(modes.flatten(1).norm(dim=1), size[:4] / 30**0.5, rtol=1e-4)
    along = np.abs((direction[:4] * modes.flatten(1).numpy()).sum(1)) / modes.flatten(1).norm(dim=1).numpy()
    np.testing.assert_allclose(along, 1, atol=1e-4)
    assert len(fit_modes(x)) == 5  # no more than the rank


def test_a_prediction_is_told_its_modes_and_keeps_the_rest():
    modes = fit_modes(normal(20, 3, 4, 4, 4), 6)
    own = normal(2, 5, 4, 4, 4, seed=4)
    weights = normal(2, 6, seed=5)
    out = with_modes(lambda x, t, condition: x, modes, weights)(own, 1.0)
    inverse = torch.linalg.pinv(modes.flatten(1))
    assert torch.allclose(out[:, :3].flatten(1) @ inverse, weights, atol=1e-4)
    rest = (out - own)[:, :3].flatten(1)
    assert torch.allclose(rest, rest @ inverse @ modes.flatten(1), atol=1e-4)  # nothing but modes has changed
    assert torch.equal(out[:, 3:], own[:, 3:])


def test_training_sees_what_is_left_of_the_latents():
    taught = codec().with_people(normal(120, 5, *GRID.grid) + X[:, :1, None, None, None], AGES.tolist(), SEXES)
    z = normal(2, *taught.shape, seed=5).half()
    rows = [{"age": 70.0, "sex": "M"}, {"age": None, "sex": None}]
    known, unknown = (Latents(Packed(z, rows), [0, 1], taught)[i] for i in range(2))
    assert torch.allclose(known["x"] + taught.expected([70.0], ["M"])[0], z[0].float(), atol=1e-6)
    assert taught.expected([70.0], ["M"]).abs().max() > 0.1
    assert torch.equal(unknown["x"], z[1].float()) and (known["age"], known["sex"]) == (70.0, "M")


def test_files_keep_the_trend_to_the_bit_and_older_ones_are_read(tmp_path):
    plain = codec()
    taught = plain.with_people(normal(120, *plain.shape) + X[:, 1:2, None, None, None], AGES.tolist(), SEXES)
    again = BrainCodec.load(taught.save(tmp_path / "codec.safetensors"))
    assert torch.equal(again.expected([70.0, None], ["M", "F"]), taught.expected([70.0, None], ["M", "F"]))
    assert again.people == taught.people and torch.equal(again.support, taught.support)
    assert torch.equal(again.modes, taught.modes) and again.modes.shape == (16, 3, *GRID.grid)
    assert again.state_dict().keys() == taught.state_dict().keys()
    tensors, facts = plain.to_tensors()
    del tensors["trend"], tensors["modes"]
    older = {**tensors, "support": plain.support.to(torch.bool)}
    checkpoint.save(tmp_path / "old.safetensors", older, {**facts, "codec": "diffx-brain-codec-1"})
    old = BrainCodec.load(tmp_path / "old.safetensors")
    z = normal(1, *plain.shape)
    assert torch.equal(old.decode(z), plain.decode(z)) and old.people is None
