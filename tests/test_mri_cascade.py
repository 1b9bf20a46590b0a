"""The cascade of mri_synth: what a stage is told, what it learns from, and what it draws, against known answers."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from diffx.condition import Conditioning
from diffx.config import SampleConfig, resolve
from diffx.data.spec import Spec
from diffx.errors import UsageError
from diffx.noise import Noise
from diffx.pipeline import Pipeline, build
from diffx.pipeline.weights import describe, export
from diffx.plugins.loader import load
from diffx.plugins.registry import find, manifest_of
from diffx_mri.synth.cascade import condition, draw, place, redraw
from diffx_mri.synth.cascade.crops import Crops
from diffx_mri.synth.cascade.stages import STAGES
from diffx_mri.synth.config import STAGE_NAMES, SynthConfig
from diffx_mri.tone import Tone
from diffx_mri.volume import means


def ellipsoid(axes, middle, shape=(48, 60, 48), spacing=2.0) -> torch.Tensor:
    """1 inside, by 4 points a voxel along each axis; lengths in mm."""
    at = [(torch.arange(4 * n) + 0.5) * spacing / 4 for n in shape]
    r = sum(((g - m) / a) ** 2 for g, m, a in zip(torch.meshgrid(*at, indexing="ij"), middle, axes, strict=True))
    return F.avg_pool3d((r < 1).float()[None, None], 4)[0, 0]


@pytest.fixture(scope="module")
def brain() -> torch.Tensor:
    """An ellipsoid of smooth texture [48, 60, 48] at 2 mm."""
    texture = F.interpolate(Noise([4]).normal(12, 15, 12)[None], size=(48, 60, 48), mode="trilinear")[0, 0]
    return ellipsoid((34, 44, 30), (48, 60, 48)) * (0.6 + 0.1 * texture)


# --- where a voxel lies ----------------------------------------------------------------------------------------------


def test_the_extent_of_an_ellipsoid_is_its_centre_and_half_axes_at_any_resolution():
    axes, middle = (34.0, 44.0, 30.0), (46.0, 62.5, 49.0)
    volume = ellipsoid(axes, middle)
    for pool in (1, 2, 4):
        pooled = F.avg_pool3d(volume[None, None], pool)[0, 0]
        found = place.extent(pooled, 2.0 * pool)
        torch.testing.assert_close(found, torch.tensor([middle, axes]), rtol=0, atol=0.1)


def test_coordinates_are_minus_one_and_one_at_the_ends_of_the_axes():
    of = torch.tensor([[50.0, 60.0, 40.0], [30.0, 40.0, 20.0]])
    found = place.coordinates((10.0, 0.0, 16.0), (20, 30, 12), 4.0, of)
    assert found.shape == (3, 20, 30, 12)
    assert found[0, 2, 0, 0] == pytest.approx((10 + 2.5 * 4 - 50) / 30)  # corner, and half a voxel to the centre
    assert found[2, 0, 0, 11] == pytest.approx((16 + 11.5 * 4 - 40) / 20)


# --- what a stage is told --------------------------------------------------------------------------------------------


def fields() -> Conditioning:
    return Conditioning({
        "coarse": condition.Coarse(), "place": condition.Place(), "age": condition.Age(18, 90), "sex": condition.Sex()
    })  # fmt: skip


def record(side: int = 8, **known) -> dict:
    coarse = Noise([1])["coarse"].normal(1, *(side // 2 + 2,) * 3)[0]
    return {"coarse": coarse, "place": Noise([1])["place"].normal(3, *(side,) * 3)[0], **known}


def test_the_vector_holds_age_sex_and_what_is_not_known():
    told = fields().eval()
    assert (told.vector, told.spatial) == (4, 16)
    vectors = told(
        told.augment(told.collate([record(age=66, sex="M"), record(sex="F"), record(age=34)]), Noise([1, 2, 3]))
    )
    wanted = [[0, 1, 1, 1], [0, 0, -1, 0], [0, -1, 0, 1]]
    torch.testing.assert_close(vectors.vector[:, [0, 1, 2, 3]], torch.tensor(wanted, dtype=torch.float32))
    for wrong, said in (
        ({"age": 5}, "age: 5 is outside"),
        ({"sex": "X"}, "neither F nor M"),
        ({"coarse": None}, "coarse"),
    ):
        with pytest.raises(ValueError, match=said):
            told.collate([{**record(), **wrong}])


def test_the_coarse_volume_is_interpolated_and_the_place_has_its_waves():
    told, asked = fields().eval(), record()
    maps = told(told.augment(told.collate([asked]), Noise([1]))).spatial[0]
    torch.testing.assert_close(maps[0], place.enlarged(asked["coarse"][None])[0, 0, 2:-2, 2:-2, 2:-2] / 0.5)
    where = asked["place"]
    torch.testing.assert_close(maps[1:4], where)
    torch.testing.assert_close(maps[4:7], (math.pi * where).sin())
    torch.testing.assert_close(maps[13:16], (2 * math.pi * where).cos())


def test_noise_on_the_coarse_volume_has_the_deviation_that_is_told():
    coarse = condition.Coarse()
    values = torch.zeros(400, 1, 6, 6, 6)
    seen = coarse.train().augment(values, Noise(range(400)))
    deviation = coarse(seen).vector[:, 0] * condition.MOST
    clean = deviation == 0
    assert 0.08 < clean.float().mean() < 0.22 and deviation.max() <= condition.MOST
    assert deviation[~clean].mean() == pytest.approx(condition.MOST / 2, rel=0.1)
    ratio = seen[~clean, 0].flatten(1).std(1) / deviation[~clean]
    assert ratio.mean() == pytest.approx(1, abs=0.02) and not seen[clean, 0].any()
    coarse.eval().level = 0.02
    quiet = coarse.augment(values, Noise(range(400)))
    assert quiet[:, 0].std() == pytest.approx(0.02, rel=0.02) and (quiet[:, 1] == 0.02).all()


# --- what it learns from ---------------------------------------------------------------------------------------------

PEOPLE = [{"age": 40.0, "sex": "F"}]


@pytest.mark.parametrize("name, side", [("8to4", 16), ("4to2", 32)])  # 64 mm, where the scale is measured
def test_a_residual_and_the_enlarged_coarse_volume_are_the_brain(brain, name, side):
    stage = STAGES[name]
    crops = Crops([brain], PEOPLE, stage, side, augment=False)
    item = crops[0]
    fine = F.avg_pool3d(brain[None, None], stage.pool)[0]
    made = crops.scale * item["x"] + place.enlarged(item["coarse"][None])[0, :, 2:-2, 2:-2, 2:-2]
    at = crops._corner(0, None)
    assert all(corner % stage.pool == 0 for corner in at)  # of this brain; elsewhere the grid begins at any voxel
    x, y, z = (slice(c // stage.pool, c // stage.pool + side) for c in at)
    torch.testing.assert_close(made, fine[:, x, y, z], rtol=0, atol=1e-6)
    inside = place.enlarged(item["coarse"][None])[0, :, 2:-2, 2:-2, 2:-2] > 0.2
    assert item["x"][inside].std() == pytest.approx(1, rel=0.05)  # one brain: it is what the scale was measured on


def test_a_crop_is_a_function_of_the_seed_and_its_number(brain):
    crops, other = (Crops([brain], PEOPLE, STAGES["4to2"], 16, seed=seed, scale=0.1) for seed in (0, 1))
    again = Crops([brain], PEOPLE, STAGES["4to2"], 16, seed=0, scale=0.1)
    assert torch.equal(crops[7]["x"], again[7]["x"]) and torch.equal(crops[7]["place"], again[7]["place"])
    assert not torch.equal(crops[7]["x"], crops[8]["x"]) and not torch.equal(crops[7]["x"], other[7]["x"])
    known = [crops[i]["age"] is not None for i in range(200)]
    assert 0.82 < np.mean(known) < 0.97


def test_places_in_crops_are_those_of_what_they_show():
    """Of a brain whose intensity is the coordinate itself, mirrored or not, the first channel of the place says it."""
    volume = ellipsoid((34, 44, 30), (48, 60, 48))
    middle = place.extent(volume, 2.0)
    where = place.coordinates((0, 0, 0), (48, 60, 48), 2.0, middle)
    crops = Crops([(volume > 0.99) * (0.6 + 0.2 * where[1])], PEOPLE, STAGES["4to2"], 16, scale=1.0)
    crops._extents = [middle]
    for number in range(6):
        item = crops[number]
        shown = item["x"] + place.enlarged(item["coarse"][None])[0, :, 2:-2, 2:-2, 2:-2]
        inside = item["place"].square().sum(0, keepdim=True) < 0.6
        if inside.sum() > 50:  # gain and gamma keep the order
            pair = torch.stack([shown[inside], item["place"][1:2][inside]])
            assert torch.corrcoef(pair)[0, 1] > 0.995


def test_deformed_crops_show_the_same_brain_a_little_moved(brain):
    still, moved = (Crops([brain], PEOPLE, STAGES["16to8"], 8, scale=1.0, augment=on) for on in (False, True))
    volumes = [item["coarse"].sum() for item in (still[0], *(moved[i] for i in range(8)))]
    assert all(0.5 < float(v / volumes[0]) < 2 for v in volumes) and len({float(v) for v in volumes}) == 9


# --- what it draws ---------------------------------------------------------------------------------------------------


def stage_file(folder: Path, name: str, scale: float, says: float = 0.0, **facts: str) -> str:
    """A file of an untrained stage whose network says one number everywhere; `facts` go into its header."""
    preset = {**manifest_of(find("mri_synth")).presets[f"stage_{name}"], "plugin": "mri_synth"}
    cfg = resolve(SynthConfig, preset={**preset, "net.channels": ["8", "8"], "train.precision": "fp32"})
    spec = Spec((1, 16, 16, 16))
    model, _ = build(load("mri_synth", ()), cfg, spec)
    torch.nn.init.constant_(model.denoiser.net.conv_out.bias, says)
    file = str(folder / f"{name}{says:+g}.safetensors")
    export(file, model.state_dict(), {**describe(cfg, spec), "scale": scale, "template": "pose", **facts}, None)
    return file


@pytest.fixture(scope="module")
def refiners(tmp_path_factory) -> dict[str, str]:
    """Files of untrained stages: their network says 0, which is the best that can be said of white noise."""
    folder = tmp_path_factory.mktemp("stages")
    return {name: stage_file(folder, name, scale) for name, scale in (("8to4", 0.2), ("4to2", 0.1))}


def test_presets_are_the_stages():
    presets = manifest_of(find("mri_synth")).presets
    assert set(STAGES) == set(STAGE_NAMES)
    for name in STAGES:
        cfg = resolve(SynthConfig, preset={**presets[f"stage_{name}"], "plugin": "mri_synth"})
        assert cfg.stage == name and cfg.train.cond_dropout == 0 and not cfg.process.per_element


def test_a_stage_that_knows_nothing_draws_noise_of_its_scale_in_the_box_of_the_brain(refiners, brain):
    """N(0, scale^2) is exactly what the residuals are then, and outside the brain is nothing."""
    stage = draw.Refiner.load(refiners["4to2"], "pose", "cpu")
    coarse = F.avg_pool3d(brain[None, None], 2)[0, 0]
    options = SampleConfig("dpmpp_2m", 24, grid="karras")
    fine = stage.draw(coarse + 1.0 * (coarse > 0), 40.0, "F", 3, options)
    up = place.enlarged((coarse + 1.0 * (coarse > 0))[None, None])[0, 0]
    box = draw.around(coarse > 0)
    residual = (fine - up)[box][up[box] > 0.5]
    assert residual.std() == pytest.approx(0.1, rel=0.05) and residual.mean() == pytest.approx(0, abs=0.003)
    outside = torch.ones_like(fine, dtype=torch.bool)
    outside[box] = False
    assert not fine[outside].any()
    assert torch.equal(fine, stage.draw(coarse + 1.0 * (coarse > 0), 40.0, "F", 3, options))
    assert not torch.equal(fine, stage.draw(coarse + 1.0 * (coarse > 0), 40.0, "F", 4, options))


def test_a_stage_is_guided_away_from_the_weaker_one_that_it_names(tmp_path, brain):
    """bad + w (good - bad) is what one network says that says just that: -0.25 + 2 (0.125 - -0.25) = 0.5."""
    weak = stage_file(tmp_path, "4to2", 0.1, -0.25)
    good = stage_file(tmp_path, "4to2", 0.1, 0.125, weak=weak)
    both = stage_file(tmp_path, "4to2", 0.1, 0.5)
    coarse, options = F.avg_pool3d(brain[None, None], 2)[0, 0], SampleConfig("unipc", 6, grid="angle")

    def drawn(file: str, weight: float, weaker: str | None = None) -> torch.Tensor:
        return draw.Refiner.load(file, "pose", "cpu", weaker).draw(coarse, 40.0, "F", 3, options, weight=weight)

    torch.testing.assert_close(drawn(good, 2.0), drawn(both, 1.0), rtol=0, atol=1e-5)
    assert torch.equal(drawn(both, 2.0), drawn(both, 1.0))  # it names none
    torch.testing.assert_close(drawn(both, 0.5, weak), drawn(good, 1.0), rtol=0, atol=1e-5)  # -0.25 + 0.5 (0.5 - -0.25)
    other = stage_file(tmp_path, "8to4", 0.1, 0.2)
    with pytest.raises(UsageError, match="which is another stage"):
        draw.Refiner.load(good, "pose", "cpu", other)


def test_noise_belongs_to_a_place_whatever_the_size_of_the_brain(refiners):
    """So that brains of one seed at two ages are alike: where both are drawn, the same is added."""
    stage = draw.Refiner.load(refiners["8to4"], "pose", "cpu")
    options, added = SampleConfig("dpmpp_2m", 6, grid="karras"), []
    for half in (34, 40):
        coarse = 1 + F.avg_pool3d(ellipsoid((half, 44, 30), (48, 60, 48))[None, None], 4)[0, 0]
        coarse[coarse == 1] = 0
        added.append(stage.draw(coarse, None, None, 5, options) - place.enlarged(coarse[None, None])[0, 0])
    inside = (slice(9, 15), slice(10, 20), slice(9, 15))
    torch.testing.assert_close(added[0][inside], added[1][inside], rtol=0, atol=1e-5)


def upright(shape=(48, 60, 48), turn: float = 0.0, spacing: float = 2.0) -> redraw.Frame:
    """A canvas of 2 mm, and the grid of a scan of that spacing, turned by so many radians about the middle of both."""
    codec = SimpleNamespace(geometry=SimpleNamespace(canvas=(48, 60, 48)), affine=centred((48, 60, 48), 2.0))
    pose = np.eye(4)
    pose[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    placed = SimpleNamespace(pose=pose, shift=np.array([5.0, -3.0, 8.0]))
    scan = centred(shape, spacing)
    scan[:3, 3] += placed.shift
    return redraw.Frame(codec, placed, scan, shape)


def centred(shape, spacing: float) -> np.ndarray:
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2
    return affine


def test_a_scan_goes_to_the_canvas_and_back_where_it_was(brain):
    same = upright()
    np.testing.assert_allclose(same.to_canvas(brain.numpy()), brain.numpy(), atol=1e-4)
    smooth = ndimage.gaussian_filter(brain.numpy(), 3)
    turned = upright((72, 84, 66), 0.2, 1.5)
    there = turned.to_scan(smooth)
    at = turned.to_canvas(there)
    assert np.abs(at - smooth)[6:-6, 6:-6, 6:-6].max() < 0.02 and np.abs(there[36, 42, 33] - smooth[24, 30, 24]) < 0.02
    spot = np.zeros((48, 60, 48), np.float32)
    spot[30:33, 29:32, 23:26] = 1  # 15 mm to the right of the middle, 1 to the front, 1 up
    where = np.array(ndimage.center_of_mass(turned.to_scan(spot, 1))) - [35.5, 41.5, 32.5]
    back = np.array([[math.cos(0.2), -math.sin(0.2), 0], [math.sin(0.2), math.cos(0.2), 0], [0, 0, 1]]) @ [15, 1, 1]
    np.testing.assert_allclose(where * 1.5, back, atol=0.5)


def test_a_hole_is_drawn_anew_and_what_is_around_it_stays(refiners, brain):
    stages = [draw.Refiner.load(refiners[name], "pose", "cpu") for name in ("8to4", "4to2")]
    hole = np.zeros(brain.shape, bool)
    hole[20:28, 26:34, 20:28] = True
    options = SampleConfig("dpmpp_2m", 6, grid="angle")
    torn = np.where(hole, 0.6, brain.numpy())
    one, other = (redraw.refilled(stages, upright(), torn, hole, Tone(), 40.0, "F", seed, options) for seed in (1, 2))
    np.testing.assert_allclose(one[~hole & (torn > 0.1)], torn[~hole & (torn > 0.1)], atol=1e-3)
    assert np.abs(one - other)[hole].mean() > 0.02 and one[hole].std() > 0.03
    assert one[hole].mean() == pytest.approx(0.6, abs=0.05)  # as coarse as the first stage begins it is kept
    seen_through = redraw.refilled(stages, upright(), torn, hole, Tone(1.1, 0.8), 40.0, "F", 1, options)
    np.testing.assert_allclose(seen_through[~hole & (torn > 0.1)], torn[~hole & (torn > 0.1)], atol=2e-3)


def test_what_is_restored_is_guided_too(tmp_path, brain):
    """-0.25 + 2 (0.125 - -0.25) = 0.5, in a hole; of slices a constant is taken off again, so there the weight is seen
    by what the stage is asked."""
    weak = stage_file(tmp_path, "4to2", 0.1, -0.25)
    good, far = stage_file(tmp_path, "4to2", 0.1, 0.125, weak=weak), stage_file(tmp_path, "4to2", 0.1, 0.5)
    hole = np.zeros(brain.shape, bool)
    hole[20:28, 26:34, 20:28] = True
    options, told = SampleConfig("dpmpp_2m", 2, grid="angle"), (Tone(), 40.0, "F", 1)

    def filled(file: str, weight: float) -> np.ndarray:
        stage = draw.Refiner.load(file, "pose", "cpu")
        return redraw.refilled([stage], upright(), brain.numpy(), hole, *told, options, weight)

    np.testing.assert_allclose(filled(good, 2.0), filled(far, 1.0), atol=1e-5)
    assert np.abs(filled(good, 2.0) - filled(good, 1.0))[hole].mean() > 0.02
    asked = []

    def drawn(coarse, *_, hold, weight):
        asked.append(weight)
        return place.enlarged(coarse[None, None])[0, 0]

    spy = SimpleNamespace(stage=STAGES["4to2"], draw=drawn)
    redraw.thinned(spy, upright(), brain.numpy(), (1, 1, 3), *told, options, 2.0)
    assert asked == [2.0]


def test_detail_of_slices_adds_nothing_to_their_means(refiners, brain):
    stage = draw.Refiner.load(refiners["4to2"], "pose", "cpu")
    options, factors = SampleConfig("dpmpp_2m", 6, grid="angle"), (1, 1, 3)
    change = redraw.thinned(stage, upright(), brain.numpy(), factors, Tone(), 40.0, "F", 1, options)
    inside = ndimage.binary_erosion(brain.numpy() > 0.4, iterations=3)
    whole = means(inside.astype(float), factors) == 1
    assert change[inside].std() > 0.05 and np.abs(means(change, factors)[whole]).max() < 0.02


def test_windows_are_of_even_size_and_the_fewest():
    assert [draw.covering(n) for n in (20, 48, 50, 72, 88, 90, 130)] == [20, 48, 52, 40, 48, 52, 52]
    for size in range(8, 200):
        window = draw.covering(size)
        assert window % 4 == 0 and window <= 52


def test_stages_that_do_not_fit_are_refused(refiners):
    stages = {name: draw.Refiner.load(file, "pose", "cpu") for name, file in refiners.items()}
    assert draw.in_order([stages["8to4"], stages["4to2"]]) and draw.in_order([]) == []
    for wrong in ([stages["8to4"]], [stages["4to2"], stages["8to4"]]):
        with pytest.raises(UsageError, match="each halves those before"):
            draw.in_order(wrong)
    with pytest.raises(UsageError, match="another pose"):
        draw.Refiner.load(refiners["4to2"], "other", "cpu")
    with pytest.raises(UsageError, match="no stage of a cascade"):
        draw.Refiner.load("mri-synth-ixi", "pose", "cpu")


def test_the_pipeline_of_a_stage_says_what_it_was_trained_with(refiners):
    pipeline = Pipeline.load(refiners["8to4"], "cpu", plugin="mri_synth")
    assert pipeline.config.stage == "8to4" and pipeline.meta["scale"] == 0.2
