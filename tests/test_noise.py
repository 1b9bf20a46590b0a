"""Keyed noise: the generator against its published vectors, the addressing against plain Python, the distribution."""

from __future__ import annotations

import math
import random
import zlib

import numpy as np
import pytest
import torch
from scipy import stats

from diffx.noise import Noise, derive, philox4x32

MASK = 0xFFFFFFFF

# kat_vectors of Random123, "philox4x32 10": counter, key, result
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x32-10 in Python's own integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_gives_the_published_vectors(counter, key, result) -> None:
    assert philox(counter, key) == result
    words = philox4x32(tuple(torch.tensor([c]) for c in counter), tuple(torch.tensor([k]) for k in key))
    assert tuple(int(w) for w in words) == result


def test_addressing_is_what_is_documented() -> None:
    """Counter (element // 4, step, crc32(leaf), stream) under the key (low, high word of the seed); Box-Muller."""
    seed, step = 0x1234_5678_9ABC_DEF0, 7
    key = (seed & MASK, seed >> 32)
    words = [w for block in range(3) for w in philox((block, step, zlib.crc32(b"x.part"), 1), key)]
    expected = []
    for one, two in zip(words[0::2], words[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(((one >> 8) + 0.5) / 2**24))
        angle = 2 * math.pi * ((two >> 8) + 0.5) / 2**24
        expected += [radius * math.cos(angle), radius * math.sin(angle)]
    normal = Noise([seed])["part"].normal(11, step=step)[0]
    np.testing.assert_allclose(normal.numpy(), expected[:11], atol=3e-6)
    words = [w for block in range(2) for w in philox((block, step, zlib.crc32(b"x.part"), 0), key)]
    uniform = Noise([seed])["part"].uniform(2, 3, step=step)[0]
    np.testing.assert_array_equal(uniform.double().numpy().ravel(), [((w >> 9) + 0.5) / 2**23 for w in words[:6]])


@pytest.mark.parametrize("shape", [(), (1,), (2,), (5,), (33,), (1, 1), (3, 7, 5), (40_000,)])
def test_a_sample_is_the_same_to_the_bit_in_any_batch(shape) -> None:
    seeds = [5, 0, 2**63 - 1, 17, 2**32, 5]
    whole = Noise(seeds).normal(*shape, step=3)
    assert whole.shape == (6, *shape)
    assert torch.equal(whole[0], whole[5])
    for order in (range(6), reversed(range(6)), (3, 1)):
        order = list(order)
        part = Noise([seeds[i] for i in order]).normal(*shape, step=3)
        assert torch.equal(part, whole[order])
    for i, seed in enumerate(seeds):
        assert torch.equal(Noise([seed]).normal(*shape, step=3)[0], whole[i])
        assert torch.equal(Noise([seed]).uniform(*shape, step=3)[0], Noise(seeds).uniform(*shape, step=3)[i])


def test_threads_do_not_change_it() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(Noise([1, 2]).normal(70_001))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_a_longer_draw_begins_with_the_shorter() -> None:
    whole = Noise([5]).normal(1000)[0]
    for n in (1, 2, 3, 8, 17, 999):
        assert torch.equal(Noise([5]).normal(n)[0], whole[:n])


def test_empty_batches_and_shapes() -> None:
    assert Noise([]).normal(3).shape == (0, 3)
    assert Noise([1, 2]).uniform(0, 4).shape == (2, 0, 4)


def test_different_seeds_leaves_and_steps_are_uncorrelated() -> None:
    n = 100_000
    draws = [Noise([s]).normal(n)[0] for s in (0, 1, 2, 2**32, 2**33, 2**62)]
    draws += [Noise([0]).normal(n, step=k)[0] for k in (1, 2, 2**31)]
    draws += [Noise([0])[leaf].normal(n)[0] for leaf in ("x", "prior", "step")]
    draws += [Noise([0])["prior"]["step"].normal(n)[0]]
    correlation = np.corrcoef(torch.stack(draws).numpy()) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / math.sqrt(n)
    squares = np.corrcoef(torch.stack(draws).square().numpy()) - np.eye(len(draws))
    assert np.abs(squares).max() < 5 / math.sqrt(n)


def test_elements_are_uncorrelated_with_their_neighbours() -> None:
    z = Noise([3]).normal(400_000)[0].double()
    for lag in (1, 2, 3, 4, 8):
        for f in (lambda v: v, lambda v: v**2 - 1):
            assert abs(float((f(z[lag:]) * f(z[:-lag])).mean())) < 5 * 2 / math.sqrt(len(z))


def test_normals_have_the_normal_distribution() -> None:
    n = 500_000
    z = Noise(range(50)).normal(n // 50).double().flatten().numpy()
    # five standard errors of each moment
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(variance / n)
    assert stats.kstest(z, "norm").statistic < 1.95 / math.sqrt(n)  # p = 0.001
    for bound in (2.0, 3.0, 4.0):
        tail = 2 * stats.norm.sf(bound)
        assert abs((np.abs(z) > bound).mean() - tail) < 5 * math.sqrt(tail / n)
    assert np.abs(z).max() < 5.9


def test_uniforms_have_the_uniform_distribution() -> None:
    n = 500_000
    u = Noise(range(50)).uniform(n // 50).double().flatten().numpy()
    assert u.min() > 0 and u.max() < 1
    assert stats.kstest(u, "uniform").statistic < 1.95 / math.sqrt(n)


def test_no_global_generator_is_read_or_moved() -> None:
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = Noise([1, 2])["a"].normal(10)
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all() and state[2] == random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert torch.equal(first, Noise([1, 2])["a"].normal(10))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed) -> None:
    with pytest.raises(ValueError, match=r"2\*\*63"):
        Noise([seed])


def test_derived_seeds_differ_and_stay() -> None:
    seeds = [derive(a, name, b) for a in range(20) for name in ("levels", "sample") for b in range(50)]
    assert len(set(seeds)) == len(seeds) and all(0 <= s < 2**63 for s in seeds)
    assert derive(1, "order", 2) == derive(1, "order", 2) != derive(1, "order", 12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_device_does_not_change_it() -> None:
    here, there = Noise([1, 2]).normal(1000), Noise([1, 2], "cuda").normal(1000).cpu()
    assert torch.equal(Noise([1, 2]).uniform(1000), Noise([1, 2], "cuda").uniform(1000).cpu())
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", [range(80), [5, 4, 70, 3, 36, 37, 5, 0]], ids=["in order", "jumping"])
def test_what_is_drawn_ahead_is_what_is_drawn_alone(order) -> None:
    """A small state's steps are drawn many at once; each is that of a noise that was asked for it alone."""
    noise, other = Noise([1, 2, 2**62])["step"], Noise([1, 2, 2**62])
    for step in order:
        for kind in ("normal", "uniform"):
            alone = getattr(Noise([1, 2, 2**62])["step"], kind)(5, step=step)
            assert torch.equal(getattr(noise, kind)(5, step=step), alone)
            assert not torch.equal(getattr(other["else"], kind)(5, step=step), alone)
    kept = noise.normal(5, step=5)
    noise.normal(5, step=5).zero_()
    assert torch.equal(noise.normal(5, step=5), kept)
