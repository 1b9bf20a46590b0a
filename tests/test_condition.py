"""Conditioners: missing values, gaps, padding and dropout, and errors that name the field."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest
import torch

from diffx.condition import Class, Condition, Conditioner, Conditioning, Scalar, Spatial, Tokens, drop, forget
from diffx.nets.blocks import Attention
from diffx.noise import Noise

NAN = math.nan


def age_and_sex() -> Conditioning:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Conditioning({"age": Scalar(18, 90, dim=16), "sex": Class(["F", "M"], dim=16)})


def test_records_become_numbers() -> None:
    conditioning = age_and_sex()
    values = conditioning.collate([{"age": 70, "sex": "M"}, {"sex": "F", "age": "33.5"}])
    assert values["age"].tolist() == [70, 33.5] and values["sex"].tolist() == [1, 0]
    for nothing in ({}, {"age": None, "sex": None}, {"age": NAN, "sex": NAN}):
        assert all(value.isnan().all() for value in conditioning.parse(nothing).values())


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"age": 91}, "age: 91 is outside 18 to 90"),
        ({"age": -math.inf}, "age: -inf is outside"),
        ({"age": "old"}, "age: .*'old'"),
        ({"age": [70]}, "age: "),
        ({"sex": "f"}, "sex: 'f' is none of F, M"),
        ({"sex": 1}, "sex: 1 is none of F, M"),
        ({"ages": 70}, "unknown condition ages; known: age, sex"),
    ],
)
def test_what_cannot_be_parsed_names_the_field(record, text) -> None:
    with pytest.raises(ValueError, match=text):
        age_and_sex().parse(record)


def test_the_vector_is_the_sum_of_the_fields() -> None:
    conditioning = age_and_sex()
    values = {"age": torch.tensor([20.0, 60.0, 60.0]), "sex": torch.tensor([0.0, 1.0, 0.0])}
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    vector = conditioning(values).vector
    torch.testing.assert_close(vector, age.embed(values["age"]) + sex.table.weight[[0, 1, 0]])
    assert (vector[1] - vector[2]).abs().max() > 0.1 and (vector[0] - vector[2]).abs().max() > 0.01


def test_a_missing_value_is_its_learned_embedding() -> None:
    conditioning = age_and_sex()
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    vector = conditioning(conditioning.collate([{"sex": "M"}, {"age": 40}, {}])).vector
    torch.testing.assert_close(vector[0], age.missing + sex.table.weight[1])
    torch.testing.assert_close(vector[1], age.embed(torch.tensor([40.0]))[0] + sex.missing)
    torch.testing.assert_close(vector[2], age.missing + sex.missing)
    assert torch.equal(conditioning.null(4).vector, vector[2].expand(4, -1))


def test_gradients_reach_what_was_used_and_are_never_nan() -> None:
    conditioning = age_and_sex()
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    conditioning(conditioning.collate([{"sex": "M"}, {}])).vector.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in conditioning.parameters())
    torch.testing.assert_close(age.missing.grad, torch.full((16,), 2.0))
    torch.testing.assert_close(sex.missing.grad, torch.ones(16))
    torch.testing.assert_close(sex.table.weight.grad, torch.tensor([[0.0], [1.0]]).expand(2, 16))
    assert all(not p.grad.any() for p in age.mix.parameters())


def test_numbers_near_each_other_embed_near_each_other() -> None:
    embed = age_and_sex().fields["age"].embed
    at = embed(torch.tensor([18.0, 19.0, 54.0, 89.0, 90.0]))
    assert (at[0] - at[1]).norm() < (at[0] - at[2]).norm() and (at[3] - at[4]).norm() < (at[0] - at[4]).norm()
    # the two ends of the range do not fold onto each other
    assert (at[0] - at[4]).norm() > 2 * (at[0] - at[1]).norm()


def test_no_fields() -> None:
    conditioning = Conditioning({})
    assert conditioning.collate([{}, {}]) == {} == drop({}, torch.rand(3, 1), 0.5)
    assert conditioning({}) == Condition() == conditioning.null(3)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"vector fields .* one dimension, not \[8, 16\]"):
        Conditioning({"a": Class(["x"], dim=8), "b": Class(["x"], dim=16)})
    with pytest.raises(ValueError, match=r"tokens fields .* one dimension, not \[8, 16\]"):
        Conditioning({"a": Tokens(3, 8), "b": Tokens(3, 16)})
    for augment, level in ((1.1, 0.0), (0.2, 0.3), (0.2, -0.1)):
        with pytest.raises(ValueError, match="0 <= level <= augment <= 1"):
            Spatial(1, (4,), augment, level)
    with pytest.raises(ValueError, match="low < high"):
        Scalar(5, 5)


@pytest.mark.parametrize("fields", [1, 2, 3])
def test_dropout_rates(fields) -> None:
    """Each field alone with p, all together with p; one field has no "alone". Five standard errors."""
    n, p = 100_000, 0.2
    shapes = ((n,), (n, 2, 1), (n, 1, 1, 2))[:fields]  # a number, a sequence, a map: forgotten whole
    values = {str(k): torch.ones(shape) for k, shape in enumerate(shapes)}
    dropped = drop(values, Noise([7]).uniform(n, fields + 1)[0], p)
    assert all(
        torch.equal(v.flatten(1).isnan().all(1), v.flatten(1).isnan().any(1)) for v in map(column, dropped.values())
    )
    gone = torch.stack([column(v)[:, 0].isnan() for v in dropped.values()], dim=1)
    alone = p if fields > 1 else 0.0
    for rate, expected in (
        (gone.all(1), p + (1 - p) * alone**fields),
        *((gone[:, k], p + (1 - p) * alone) for k in range(fields)),
    ):
        assert abs(float(rate.double().mean()) - expected) < 5 * math.sqrt(expected * (1 - expected) / n)
    assert all(torch.equal(v, torch.ones(shape)) for v, shape in zip(values.values(), shapes, strict=True))
    kept = drop(values, Noise([7]).uniform(n, fields + 1)[0], 0.0)
    assert not any(v.isnan().any() for v in kept.values())


def column(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(len(values), -1)


def test_a_condition_is_indexed_by_sample() -> None:
    whole = Condition(vector=torch.arange(6.0).view(3, 2), tokens_mask=torch.eye(3).bool())
    part = whole[1:]
    assert torch.equal(part.vector, whole.vector[1:]) and torch.equal(part.tokens_mask, whole.tokens_mask[1:])
    assert part.tokens is None and part.spatial is None


# ----------------------------------------------------------------------------------------- sequences and maps


def everything() -> Conditioning:
    """Two fields of each kind."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        fields: dict[str, Conditioner] = {
            "age": Scalar(0, 100, dim=8),
            "caption": Tokens(3, 6),
            "mains": Spatial(1, (5,)),
            "sex": Class(["F", "M"], dim=8),
            "residues": Tokens(2, 6),
            "context": Spatial(2, (5,)),
        }
        return Conditioning(fields)


def test_widths_are_what_comes_out() -> None:
    conditioning = everything()
    told = conditioning(conditioning.collate([{"caption": torch.ones(4, 3), "residues": torch.ones(2, 2)}, {}]))
    assert (conditioning.vector, conditioning.tokens, conditioning.spatial) == (8, 6, 2 + 4)
    assert told.vector.shape == (2, 8) and told.tokens.shape == (2, 6, 6) and told.spatial.shape == (2, 6, 5)
    assert told.tokens_mask.tolist() == [[True] * 6, [True, False, False, False, True, False]]


def test_ragged_tokens_are_padded_and_the_padding_has_no_influence() -> None:
    """Attention over a batch of 4, 0, 2 and 1 tokens is attention over each alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        tokens, attention = Tokens(3, 6), Attention(8, context=6)
        torch.nn.init.normal_(attention.out.weight)
        x = torch.randn(4, 8, 5)
        captions = [torch.randn(4, 3), None, torch.randn(2, 3), torch.randn(1, 3)]
    parsed = [tokens.parse(caption) for caption in captions]
    told = tokens(tokens.collate(parsed))
    assert told.tokens_mask.sum(1).tolist() == [4, 1, 2, 1]
    for k, value in enumerate(parsed):
        alone = tokens(tokens.collate([value]))
        torch.testing.assert_close(
            attention(x, told.tokens, told.tokens_mask)[k],
            attention(x[k : k + 1], alone.tokens, alone.tokens_mask)[0],
        )
    for number, caption in ((0, captions[0]), (2, captions[2])):
        expected = caption @ tokens.project.weight.T + tokens.project.bias
        torch.testing.assert_close(told.tokens[number, : len(caption)], expected)
    assert torch.equal(told.tokens[1, 0], tokens.missing) and not told.tokens[3, 1:].any()


def test_a_missing_sequence_is_its_token_exactly_however_it_is_missing() -> None:
    tokens = Tokens(3, 6)
    batch = tokens.collate([tokens.parse(v) for v in (None, NAN, [], torch.zeros(0, 3), torch.ones(3, 3))])
    told = tokens(batch)
    for k in range(4):
        assert told.tokens_mask[k].tolist() == [True, False, False] and torch.equal(told.tokens[k, 0], tokens.missing)
    forgotten = tokens(forget({"": batch})[""])
    assert torch.equal(forgotten.tokens[4], told.tokens[0]) and torch.equal(
        forgotten.tokens_mask[4], told.tokens_mask[0]
    )
    told.tokens.sum().backward()
    torch.testing.assert_close(tokens.missing.grad, torch.full((6,), 4.0))
    assert all(p.grad.isfinite().all() for p in tokens.parameters())


def test_gaps_of_a_map_are_told_and_what_lay_in_them_has_no_influence() -> None:
    power = Spatial(2, (4,))
    whole = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    gappy = whole.clone()
    gappy[0, 1], gappy[1, 3] = NAN, NAN
    told = power(torch.stack([whole, gappy])).spatial
    assert torch.equal(told[0], torch.cat([whole, torch.ones(2, 4)]))
    known = torch.tensor([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]])
    assert torch.equal(told[1], torch.cat([whole * known, known]))


def test_a_missing_map_is_its_constant_exactly_at_any_size() -> None:
    power = Spatial(1, (4,))
    values = power.collate([power.parse(v) for v in (None, torch.ones(1, 7), NAN, torch.full((1, 7), NAN))])
    told = power(values).spatial
    assert told.shape == (4, 2, 7)
    for k in (0, 2, 3):
        assert torch.equal(told[k], power.missing[:, None].expand(2, 7))
    assert torch.equal(told[1], torch.ones(2, 7))
    assert torch.equal(power(forget({"": values})[""]).spatial[1], told[0])
    assert Conditioning({"power": power}).null(3).spatial.shape == (3, 2, 4)
    told.sum().backward()
    torch.testing.assert_close(power.missing.grad, torch.full((2,), 21.0))


def test_fields_of_one_kind_stand_side_by_side_in_order() -> None:
    conditioning = everything()
    record = {"caption": torch.ones(2, 3), "residues": torch.ones(1, 2), "mains": torch.ones(1, 5)}
    told = conditioning(values := conditioning.collate([record]))
    parts = {name: field(values[name]) for name, field in conditioning.fields.items()}
    assert torch.equal(told.tokens, torch.cat([parts["caption"].tokens, parts["residues"].tokens], dim=1))
    assert torch.equal(told.spatial, torch.cat([parts["mains"].spatial, parts["context"].spatial], dim=1))
    torch.testing.assert_close(told.vector, parts["age"].vector + parts["sex"].vector)
    null = conditioning.null(1)
    for name in ("vector", "tokens", "spatial"):
        forgotten = getattr(conditioning(forget(values)), name)
        rows = [0, 2] if name == "tokens" else slice(None)  # behind the first token of a field there is padding
        torch.testing.assert_close(
            forgotten[:, rows], getattr(null, name)[:, : forgotten[:, rows].shape[1]], rtol=0, atol=0
        )


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"caption": torch.ones(4, 2)}, r"caption: expected embeddings \[L, 3\], not of shape \[4, 2\]"),
        ({"caption": torch.tensor([[1.0, NAN, 0.0]])}, "caption: an embedding is not finite"),
        ({"caption": "a dog"}, "caption: "),
        ({"mains": torch.ones(2, 5)}, r"mains: expected a map like \[1, 5\], not of shape \[2, 5\]"),
        ({"mains": torch.ones(5)}, r"mains: expected a map like"),
        ({"context": torch.full((2, 5), math.inf)}, "context: the map is infinite"),
    ],
)
def test_what_is_no_sequence_or_map_names_the_field(record, text) -> None:
    with pytest.raises(ValueError, match=text):
        everything().parse(record)


def test_maps_of_two_sizes_in_a_batch_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"mains: the maps of one batch have one size"):
        everything().collate([{"mains": torch.ones(1, 5)}, {"mains": torch.ones(1, 6)}])


# -------------------------------------------------------------------------------------- maps through noise (cascades)


def test_an_augmented_map_keeps_its_variance_and_tells_its_noise() -> None:
    """sqrt(1 - s^2) map + s eps: unit variance at any s; correlation with the map sqrt(1 - s^2). 5 standard errors."""
    coarse, n = Spatial(1, (4000,), augment=0.8, level=0.5), 12
    clean = Noise(range(n))["map"].normal(1, 4000)
    noise = Noise(range(100, 100 + n))["augment"]
    shares = []
    for training in (True, False):
        told = coarse.train(training)(coarse.augment(clean, noise)).spatial
        seen, known, share = told[:, :1], told[:, 1:2], told[:, 2:]
        assert told.shape == (n, coarse.width, 4000) and bool((known == 1).all())
        assert torch.equal(share, share[:, :, :1].expand_as(share))
        s = share[:, 0, 0]
        shares.append(s)
        assert ((seen.square().mean((1, 2)) - 1).abs() < 5 * math.sqrt(2 / 4000)).all()
        likeness = (seen * clean).mean((1, 2)) / clean.square().mean((1, 2)) - (1 - s.square()).sqrt()
        assert (likeness.abs() < 5 * s / math.sqrt(4000) + 1e-6).all()
    drawn, fixed = shares
    assert torch.equal(fixed, torch.full((n,), 0.5))
    assert len(set(drawn.tolist())) == n and drawn.min() > 0 and drawn.max() < 0.8 and drawn.max() > 0.5
    many = coarse.train().augment(torch.zeros(4000, 1, 1), Noise(range(4000)))[:, 1]
    assert abs(float(many.mean()) - 0.4) < 5 * 0.8 / math.sqrt(12 * 4000)


def test_noise_in_a_map_is_the_samples_own_and_gaps_and_forgotten_maps_stay() -> None:
    coarse = Spatial(1, (6,), augment=0.8, level=0.3)
    clean = Noise([1, 2, 3])["map"].normal(1, 6)
    clean[0, 0, 2] = NAN
    clean[2] = NAN
    both = coarse.augment(clean, Noise([5, 6, 7]))
    assert torch.equal(coarse.augment(clean[1:2], Noise([6]))[0], both[1])
    told = coarse(both).spatial
    assert torch.equal(both.isnan()[:, :1], clean.isnan()) and told[0, 0, 2] == 0 and told[0, 1, 2] == 0
    assert torch.equal(told[2], coarse.missing[:, None].expand(3, 6))
    plain = coarse(clean).spatial  # not augmented: clean, and it says so
    assert torch.equal(plain[1], torch.cat([clean[1], torch.ones(1, 6), torch.zeros(1, 6)]))
    assert torch.equal(Spatial(1, (6,)).augment(clean, Noise([5, 6, 7]))[1], clean[1])


# ------------------------------------------------------------------------------------------------------ class labels


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Side(enum.IntEnum):
    LEFT = 1
    RIGHT = 2


@pytest.mark.parametrize(
    ("labels", "value", "number"),
    [
        (range(10), 3, 3),
        (range(10), "3", 3),
        (range(10), 3.0, 3),
        (range(10), np.int64(7), 7),
        (range(10), np.float32(7), 7),
        (range(10), torch.tensor(9), 9),
        (np.array([4, 2]), 2, 1),
        (torch.tensor([4, 2]), np.uint8(2), 1),
        ((-1, 0, 1), -1, 0),
        ((0.5, 1.5), 1.5, 1),
        ((False, True), True, 1),
        ((False, True), np.bool_(False), 0),
        ((False, True), "True", 1),
        (["F", "M"], "M", 1),
        (["F", "M"], np.str_("F"), 0),
        (Colour, Colour.BLUE, 1),
        ([Colour.BLUE, Colour.RED], "red", 1),
        (Colour, "BLUE", 1),
        (Side, Side.RIGHT, 1),
        (Side, 2, 1),
        (Side, "LEFT", 0),
        ({"a": 1, "b": 2}, "b", 1),
    ],
)
def test_a_label_is_known_however_it_is_given(labels, value, number) -> None:
    conditioner = Class(labels, dim=4)
    assert float(conditioner.parse(value)) == number
    told = conditioner(conditioner.collate([conditioner.parse(value)])).vector
    assert torch.equal(told[0], conditioner.table.weight[number])


@pytest.mark.parametrize(
    ("labels", "value", "message"),
    [
        (range(3), 3, "^3 is none of 0, 1, 2$"),
        (range(3), 1.5, "^1.5 is none of 0, 1, 2$"),
        (range(3), True, "^True is none of 0, 1, 2$"),
        (range(3), np.int64(5), "^5 is none of 0, 1, 2$"),
        ((False, True), 2, "^2 is none of False, True$"),
        (["F", "M"], "f", "^'f' is none of F, M$"),
        (Colour, "green", "^'green' is none of red, blue$"),
        (["F", "M"], ["F"], "is none of F, M$"),
    ],
)
def test_a_label_that_is_not_known_is_named_beside_those_that_are(labels, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        Class(labels).parse(value)
    with pytest.raises(ValueError, match=r"^kind: "):
        Conditioning({"kind": Class(labels)}).parse({"kind": value})


@pytest.mark.parametrize(
    ("labels", "message"), [("FM", "not the text 'FM'"), ([], "no labels"), ([1, "1"], "written alike: 1"),
                            (["a", "b", "a"], "written alike: a")],
)  # fmt: skip
def test_labels_that_cannot_be_told_apart_are_refused(labels, message) -> None:
    with pytest.raises(ValueError, match=message):
        Class(labels)


@pytest.mark.parametrize("nothing", [None, math.nan, np.nan, np.float32("nan"), torch.tensor(math.nan)])
def test_nothing_is_missing_however_it_is_written(nothing) -> None:
    for conditioner in (Class(range(3)), Scalar(0, 1), Spatial(1, (2,)), Tokens(2)):
        assert conditioner.parse(nothing).isnan().all()


def test_what_pandas_calls_nothing_is_missing() -> None:
    pandas = pytest.importorskip("pandas")
    for nothing in (pandas.NA, pandas.NaT):
        assert Class(range(3)).parse(nothing).isnan() and Scalar(0, 1).parse(nothing).isnan()


def test_a_conditioner_without_parse_cannot_be_made() -> None:
    class Half(Conditioner):
        kind = "vector"

    with pytest.raises(TypeError, match="abstract"):
        Half(3)


def test_former_names_are_accepted_and_say_the_new_one() -> None:
    import diffx.condition

    for former, now in (("Label", Class), ("Number", Scalar), ("Map", Spatial)):
        with pytest.warns(FutureWarning, match=f"{former} is now called {now.__name__}"):
            assert getattr(diffx.condition, former) is now
    with pytest.raises(AttributeError, match="no attribute 'Mop'"):
        diffx.condition.Mop  # noqa: B018
