"""The model of healthy brains: its losses, and what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anomaly_phantom import head
from torch import Tensor, nn

from diffx.condition import Conditioning, Spatial
from diffx.errors import DataError
from diffx.nets.model import Model
from diffx.noise import Noise
from diffx.pipeline import Pipeline
from diffx.process import Gaussian
from diffx_mri.anomaly.config import AnomalyConfig, HealthySampling
from diffx_mri.anomaly.data import seen
from diffx_mri.anomaly.model import Healing, HealingRegression, HealthyModel
from diffx_mri.anomaly.stack import BRIGHTEST, Stack


class Fixed(nn.Module):
    """A prediction that is known: what is brighter than ``level`` is too bright, and a lesion."""

    autocast = None

    def __init__(self, level: float, spread: float = 0.0):
        super().__init__()
        self.level, self.spread = level, spread

    def forward(self, x: Tensor, t: object, condition: object = None) -> Tensor:
        intensity = condition.spatial[:, 1] * 0.7 + 0.5  # type: ignore[attr-defined]
        over = (intensity - self.level).clamp_min(0)
        return torch.stack([over, (over > 0).float()], 1) + self.spread * x.sign()


def model_of(denoiser: nn.Module, process: Gaussian | None = None) -> HealthyModel:
    conditioning = Conditioning({"source": Spatial(3, (128, 128))})
    config = AnomalyConfig(contrast="FLAIR")
    return HealthyModel.of(
        Pipeline(Model(denoiser, conditioning), process or Healing(), (2, 128, 128), device="cpu", config=config)
    )


@pytest.fixture(scope="module")
def stack() -> Stack:
    image, brain = head((100, 110, 8), (2.0, 2.0, 18.0))
    image.data[30:40, 40:60, 3:5] = 180.0
    return Stack.of(image, brain, "FLAIR")


def test_a_known_prediction_is_taken_from_the_scan(stack):
    healthy = model_of(Fixed(1.2)).draw(stack, range(2))
    expected = np.where(stack.region.any((1, 2))[:, None, None], np.minimum(stack.slices, 1.2), stack.slices)
    assert np.allclose(healthy.samples, expected, atol=1e-5)
    ill = (stack.slices > 1.2 + 1e-4)[stack.filled]
    assert np.array_equal(healthy.probability[0][stack.filled] > 0.5, ill)


def test_outside_of_a_brain_without_skull_there_stays_nothing(stack):
    class Haze(Fixed):
        def forward(self, x: Tensor, t: object, condition: object = None) -> Tensor:
            return torch.stack([-torch.ones_like(x[:, 0]), torch.ones_like(x[:, 0])], 1)

    healthy = model_of(Haze(1.2)).draw(stack, range(2))
    assert (
        stack.stripped
        and not healthy.samples[:, ~stack.region].any()
        and not healthy.probability[:, ~stack.region].any()
    )
    inside = stack.region & stack.region.any((1, 2))[:, None, None]
    assert np.allclose(healthy.samples[:, inside], np.minimum(stack.slices[inside] + 1, BRIGHTEST))


def test_a_draw_depends_on_its_seed_and_slice_not_on_the_batch(stack):
    model = model_of(Fixed(1.2, spread=0.1))
    together = model.draw(stack, [3, 8], HealthySampling(batch=16))
    apart = model.draw(stack, [8], HealthySampling(batch=3))
    assert np.array_equal(together.samples[1], apart.samples[0])
    assert not np.array_equal(together.samples[0], together.samples[1])


def test_odd_seeds_see_the_mirrored_scan(stack):
    class Left(Fixed):
        def forward(self, x: Tensor, t: object, condition: object = None) -> Tensor:
            out = torch.zeros_like(x)
            out[:, 0, :64] = 0.5
            return out

    healthy = model_of(Left(1.2)).draw(stack, [0, 1])
    k = stack.filled[2]
    change = stack.slices[k] - healthy.samples[:, k]
    assert change[0][:64].any() and not change[0][64:].any()
    assert change[1][64:].any() and not change[1][:64].any()


def test_the_loss_weighs_lesions_five_times_as_much():
    target = torch.zeros(2, 2, 4, 4)
    target[1, 1] = 1  # all of it a lesion
    for process, power in ((Healing(), 2), (HealingRegression(), 1)):
        noisy = process.corrupt(target, np.ones(2), Noise([1, 2]))
        off = target.clone()
        off[:, 0] += 0.3  # in the change of intensity alone
        healthy, ill = process.loss(off, noisy) / noisy.weight
        assert ill / healthy == pytest.approx(5)
        assert float(healthy) == pytest.approx(0.3**power / 2)


def test_the_regression_answers_in_one_evaluation_and_hides_the_state():
    process = HealingRegression()
    assert len(process.answer.rows) == 1
    assert not process.corrupt(torch.ones(1, 2, 4, 4), np.ones(1), Noise([0])).x.any()


def test_another_process_is_no_model_of_healthy_brains():
    with pytest.raises(DataError, match="healthy"):
        model_of(Fixed(1.0), Gaussian())


def test_the_network_sees_a_slice_between_its_neighbours(stack):
    around = seen(stack.neighbours)
    assert np.isnan(around[0, 0]).all() and np.isnan(around[-1, 2]).all()
    assert np.allclose(around[3, 0], seen(stack.slices[2]))
    assert np.allclose(around[3, 2], seen(stack.slices[4]))
