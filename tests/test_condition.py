"""Conditioners: missing values, dropout, and errors that name the field."""

from __future__ import annotations

import math

import pytest
import torch

from diffx.condition import Condition, Conditioning, Label, Number, drop
from diffx.noise import Noise

NAN = math.nan


def age_and_sex() -> Conditioning:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Conditioning({"age": Number(18, 90, dim=16), "sex": Label(["F", "M"], dim=16)})


def test_records_become_numbers() -> None:
    conditioning = age_and_sex()
    torch.testing.assert_close(conditioning.parse({"age": 70, "sex": "M"}), torch.tensor([70.0, 1.0]))
    torch.testing.assert_close(conditioning.parse({"sex": "F", "age": "33.5"}), torch.tensor([33.5, 0.0]))
    for nothing in ({}, {"age": None, "sex": None}, {"age": NAN, "sex": NAN}):
        assert conditioning.parse(nothing).isnan().all()


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
    numbers = torch.tensor([[20.0, 0.0], [60.0, 1.0], [60.0, 0.0]])
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    vector = conditioning(numbers).vector
    torch.testing.assert_close(vector, age.embed(numbers[:, 0]) + sex.table.weight[[0, 1, 0]])
    assert (vector[1] - vector[2]).abs().max() > 0.1 and (vector[0] - vector[2]).abs().max() > 0.01


def test_a_missing_value_is_its_learned_embedding() -> None:
    conditioning = age_and_sex()
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    vector = conditioning(torch.tensor([[NAN, 1.0], [40.0, NAN], [NAN, NAN]])).vector
    torch.testing.assert_close(vector[0], age.missing + sex.table.weight[1])
    torch.testing.assert_close(vector[1], age.embed(torch.tensor([40.0]))[0] + sex.missing)
    torch.testing.assert_close(vector[2], age.missing + sex.missing)
    assert torch.equal(conditioning.null(4).vector, vector[2].expand(4, -1))


def test_gradients_reach_what_was_used_and_are_never_nan() -> None:
    conditioning = age_and_sex()
    age, sex = conditioning.fields["age"], conditioning.fields["sex"]
    conditioning(torch.tensor([[NAN, 1.0], [NAN, NAN]])).vector.sum().backward()
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
    assert conditioning.parse({}).shape == (0,)
    assert conditioning(torch.zeros(3, 0)) == Condition() == conditioning.null(3)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one dimension, not \[8, 16\]"):
        Conditioning({"a": Label(["x"], dim=8), "b": Label(["x"], dim=16)})
    with pytest.raises(ValueError, match="low < high"):
        Number(5, 5)


@pytest.mark.parametrize("fields", [1, 2, 3])
def test_dropout_rates(fields) -> None:
    """Each field alone with p, all together with p; one field has no "alone". Five standard errors."""
    n, p = 100_000, 0.2
    numbers = torch.ones(n, fields)
    gone = drop(numbers, Noise([7]).uniform(n, fields + 1)[0], p).isnan()
    alone = p if fields > 1 else 0.0
    for rate, expected in (
        (gone.all(1), p + (1 - p) * alone**fields),
        *((gone[:, k], p + (1 - p) * alone) for k in range(fields)),
    ):
        assert abs(float(rate.double().mean()) - expected) < 5 * math.sqrt(expected * (1 - expected) / n)
    assert torch.equal(numbers, torch.ones(n, fields))
    assert not drop(numbers, Noise([7]).uniform(n, fields + 1)[0], 0.0).isnan().any()


def test_a_condition_is_indexed_by_sample() -> None:
    whole = Condition(vector=torch.arange(6.0).view(3, 2), tokens_mask=torch.eye(3).bool())
    part = whole[1:]
    assert torch.equal(part.vector, whole.vector[1:]) and torch.equal(part.tokens_mask, whole.tokens_mask[1:])
    assert part.tokens is None and part.spatial is None
