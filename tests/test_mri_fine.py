"""Brains at 1 mm: the stage from 2 to 1 mm, its training scans, and what task=sample writes with voxel=1."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("monai")

from diffx.condition import Condition, Conditioning
from diffx.config import SampleConfig
from diffx.errors import UsageError
from diffx.noise import Noise
from diffx_mri import BrainSynth, Person
from diffx_mri.geometry import Geometry
from diffx_mri.synth.cascade import condition, draw, place
from diffx_mri.synth.cascade.crops import Crops
from diffx_mri.synth.cascade.stages import STAGES
from diffx_mri.synth.config import FINE, BrainSampling
from diffx_mri.synth.data import shipped_codec
from diffx_mri.synth.evaluate import scans
from diffx_mri.synth.segmentation.segment import Segmenter, dice
from diffx_mri.volume import means

QUICK = BrainSampling(steps=8, stages=[], fine_steps=1)  # the prior, and one step of the stage


@pytest.fixture(scope="module")
def synth() -> BrainSynth:
    return BrainSynth.load(device="cpu")


# --- grids -----------------------------------------------------------------------------------------------------------


def test_a_finer_grid_covers_the_same_box():
    coarse = Geometry()
    fine = coarse.finer(1.0)
    assert fine.canvas == (192, 240, 192) and fine.grid == coarse.grid and fine.spacing == 1
    for index in ((0, 0, 0), (10, 20, 30)):  # eight fine voxels lie about the centre of a coarse one
        parts = 2 * np.array(index) + np.array(list(np.ndindex(2, 2, 2)))
        middle = nib.affines.apply_affine(fine.affine(fine.canvas), parts).mean(0)
        np.testing.assert_allclose(middle, nib.affines.apply_affine(coarse.affine(coarse.canvas), index))


# --- training scans --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The mean brain in a scanner's space, at 1 mm and at 2 mm."""
    root, codec = tmp_path_factory.mktemp("bids"), shipped_codec()
    assert codec is not None
    brain = codec.mean_brain()
    fine = F.interpolate(brain[None, None], scale_factor=2, mode="trilinear", align_corners=False)[0, 0]
    geometry = codec.geometry.finer(1.0)
    for subject, data, affine in (
        ("sub-01", fine, geometry.affine(geometry.canvas)),
        ("sub-02", brain, codec.affine.copy()),
    ):
        affine[:3, 3] += [14.0, -9.0, 21.0]
        (root / subject / "anat").mkdir(parents=True)
        image = nib.Nifti1Image((data.numpy() * 900).astype(np.float32), affine)
        image.to_filename(root / subject / "anat" / f"{subject}_T1w.nii.gz")
        mask = root / "derivatives/strip" / subject / "anat" / f"{subject}_desc-brain_mask.nii.gz"
        mask.parent.mkdir(parents=True)
        nib.Nifti1Image((data.numpy() > 0.06).astype(np.uint8), affine).to_filename(mask)
    return root


def test_scans_are_posed_at_1_mm_where_they_show_that(folder, tmp_path):
    codec, failed = shipped_codec(), {}
    fine = scans.read_posed(folder, codec, tmp_path, failed.__setitem__, spacing=1.0)
    assert list(failed) == ["sub-02"] and "voxels of 2 mm are too large" in failed["sub-02"]
    assert fine.images.shape == (1, 192, 240, 192)
    assert fine.affine[0, 0] == 1
    coarse = scans.read_posed(folder, codec, tmp_path)  # both are kept beside each other
    assert [scan.subject for scan in coarse.scans] == ["sub-01", "sub-02"]
    one, other = means(fine.images[0].astype(float), (2, 2, 2)), coarse.images[0].astype(float)
    inside = other > 20
    assert np.corrcoef(one[inside], other[inside])[0, 1] > 0.99  # the same pose
    assert one[inside].mean() == pytest.approx(other[inside].mean(), rel=0.03)


def test_crops_of_the_stage_are_cut_from_scans_of_1_mm():
    texture = F.interpolate(Noise([4]).normal(20, 20, 20)[None], size=(80, 80, 80), mode="trilinear")[0, 0]
    brain = 0.6 + 0.05 * texture
    crops = Crops([brain], [{"age": 40.0, "sex": "F"}], STAGES["2to1"], 32, augment=False)
    item = crops[0]
    made = crops.scale * item["x"] + place.enlarged(item["coarse"][None])[0, :, 2:-2, 2:-2, 2:-2]
    torch.testing.assert_close(made[0], brain[24:56, 24:56, 24:56], rtol=0, atol=1e-6)
    half = float(crops._extents[0][1, 0])
    assert item["place"][0, :, 0, 0].diff().mean() == pytest.approx(1 / half, rel=1e-4)  # a voxel is 1 mm
    even = Crops([torch.full((80, 80, 80), 0.6)], [{"age": 40.0, "sex": "F"}], STAGES["2to1"], 32, scale=1.0)
    tone = torch.stack([even[i]["coarse"].max() for i in range(60)])
    low, high = STAGES["2to1"].gamma  # 0.6 to any of these powers, times a gain of 6 %
    assert 0.93 * 0.6**high < tone.min() < 0.6**high < 0.6**low < tone.max() < 1.07 * 0.6**low


# --- drawing in windows ----------------------------------------------------------------------------------------------


def echo(channel: int) -> draw.Refiner:
    """A stage from 2 to 1 mm whose network says one of the maps that it is told."""
    fields = {"coarse": condition.Coarse(), "place": condition.Place(),
              "age": condition.Age(18, 90), "sex": condition.Sex()}  # fmt: skip
    told = Conditioning(fields).eval()

    class Echo:
        def condition(self, records, seeds):
            return told(told.augment(told.collate(records), Noise(seeds)))

        def batches(self, asked, seeds, options, guide, shape):
            def predict(x, t, condition):
                assert max(condition.spatial.shape[2:]) <= 52  # memory is bounded by a window
                return condition.spatial[:, channel : channel + 1]

            x = torch.zeros(1, *shape)
            yield None, guide(predict, None)(x, 1.0, self.condition([asked], seeds))

    return draw.Refiner(Echo(), STAGES["2to1"], scale=0.1)


def test_windows_are_told_what_the_whole_would_be():
    """Of several windows an axis, each asked with a condition of its own: the maps come out whole."""
    at = torch.stack(torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in (48, 60, 40)], indexing="ij"))
    ball = ((at / torch.tensor([20.0, 26, 16]).view(3, 1, 1, 1)).square().sum(0) < 1).float()
    coarse = ball * (0.7 + 0.05 * Noise([1]).normal(48, 60, 40)[0])
    up, options = place.enlarged(coarse[None, None])[0, 0], SampleConfig()
    inside = F.max_pool3d(-F.interpolate(ball[None, None], scale_factor=2), 5, 1, 2)[0, 0] == -1
    fine = echo(0).draw(coarse, 40.0, "F", 1, options)
    torch.testing.assert_close(fine[inside], (up + 0.1 * up / 0.5)[inside], rtol=0, atol=1e-5)
    where = place.coordinates((0, 0, 0), (96, 120, 80), 1.0, place.extent(coarse, 2.0))
    for axis in range(3):
        fine = echo(1 + axis).draw(coarse, 40.0, "F", 1, options)
        torch.testing.assert_close(fine[inside], (up + 0.1 * where[axis])[inside], rtol=0, atol=1e-5)


def test_the_network_is_not_asked_where_nothing_is():
    asked = []

    def predict(x, t, condition):
        asked.append(x.shape)
        return x + 1

    empty, full = (Condition(spatial=torch.full((1, 2, 4, 4, 4), value)) for value in (0.0, 0.5))
    x = torch.zeros(1, 1, 4, 4, 4)
    assert not draw.awake(predict)(x, 1.0, empty).any() and not asked
    assert (draw.awake(predict)(x, 1.0, full) == 1).all() and len(asked) == 1


# --- tissues ---------------------------------------------------------------------------------------------------------


def test_a_brain_of_half_the_voxels_is_segmented_where_it_lies():
    segment = Segmenter.load()
    brain = shipped_codec().mean_brain().numpy()
    coarse = segment(brain).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine = segment(brain.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    assert (dice(fine, coarse) > 0.94).all()  # corners of its cubes are rounded
    weights = [np.stack(np.nonzero(labels == 3)).mean(1) for labels in (coarse, fine)]  # of the ventricles
    np.testing.assert_allclose(*weights, atol=0.3)  # a voxel to one side would be 1


def test_the_eight_grids_of_a_brain_decide_together():
    class InTurn(torch.nn.Module):
        """Says the one and then the other, more surely, in five and three grids of eight."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            says = [0.0, 0.6, 0.4, 0.0, 0.0] if self.calls % 8 < 5 else [0.0, 0.1, 0.9, 0.0, 0.0]
            self.calls += 1
            return torch.tensor(says).log()[None, :, None, None, None].expand(1, 5, *x.shape[2:])

    brain = np.ones((12, 12, 12), np.float32)
    brain[:3] = 0
    found = Segmenter(InTurn(), (6, 6, 6))(brain)
    assert (found[3:-1, 1:-1, 1:-1] == 2).all() and not found[:3].any()


# --- the shipped stage -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """One run of the command line in this process: its folder."""
    from diffx.cli import main

    out = tmp_path_factory.mktemp("run") / "brains"
    words = "run plugin=mri_synth age=60 sex=F n=1 seed=3 voxel=1 sample.steps=8 sample.stages=[] sample.fine_steps=1"
    assert main([*words.split(), "device=cpu", f"out={out}"]) == 0
    return out


def test_what_is_written_at_1_mm_is_the_brain_of_2_mm_with_more_in_it(run, synth):
    image, labels = (nib.load(next(run.glob(f"samples/sub-synth001/anat/*_{what}.nii.gz"))) for what in ("T1w", "dseg"))
    assert image.shape == labels.shape == (192, 240, 192)
    np.testing.assert_allclose(image.header.get_zooms(), 1.0, atol=1e-6)
    np.testing.assert_array_equal(image.affine, labels.affine)
    np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-4)
    assert image.header["sform_code"] == image.header["qform_code"] == 2
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S") and image.header.get_xyzt_units()[0] == "mm"

    data, coarse = image.get_fdata(), next(synth.brains([Person(60, "F", 3)], QUICK))
    np.testing.assert_allclose(  # the eight voxels about the centre of a coarse one
        nib.affines.apply_affine(image.affine, [100.5, 120.5, 90.5]),
        nib.affines.apply_affine(coarse.affine, [50, 60, 45]),
    )
    seen, inside = means(data, (2, 2, 2)), coarse.data > 0.2
    assert np.corrcoef(seen[inside], coarse.data[inside])[0, 1] > 0.99
    assert seen[inside].mean() == pytest.approx(coarse.data[inside].mean(), rel=0.01)
    overlap = ((seen > 0.1) & (coarse.data > 0.1)).sum() / ((seen > 0.1) | (coarse.data > 0.1)).sum()
    assert overlap > 0.95
    up = F.interpolate(torch.from_numpy(coarse.data)[None, None], scale_factor=2, mode="trilinear")[0, 0].numpy()
    core = (up > 0.4) & (data > 0)
    assert np.std((data - up)[core]) > 0.01  # more than interpolation


def test_labels_of_1_mm_are_the_tissues_of_the_brain(run, synth):
    image, labels = (nib.load(next(run.glob(f"samples/sub-synth001/anat/*_{what}.nii.gz"))) for what in ("T1w", "dseg"))
    data, numbers = image.get_fdata(), np.asarray(labels.dataobj)
    assert numbers.dtype == np.uint8 and not numbers[data == 0].any()
    coarse = next(synth.brains([Person(60, "F", 3)], QUICK)).tissues
    shares = [np.bincount(x.ravel(), minlength=5)[1:] * volume for x, volume in ((numbers, 1e-3), (coarse, 8e-3))]
    np.testing.assert_allclose(shares[0], shares[1], rtol=0.15)  # ml
    table = next(run.glob("samples/*_dseg.tsv")).read_text()
    assert [row["index"] for row in csv.DictReader(table.splitlines(), delimiter="\t")] == list("01234")


def test_the_sidecar_names_the_stage_and_the_report_the_grid(run):
    sidecar = json.loads(next(run.glob("samples/sub-synth001/anat/*_T1w.json")).read_text())
    assert sidecar["Sampling"]["stages"] == [FINE] and sidecar["Age"] == 60
    page = (run / "report.html").read_text()
    assert "192 x 240 x 192 at 1 mm" in page and FINE in page
    assert json.loads((run / "status.json").read_text())["flags"] == []


def test_what_cannot_be_drawn_at_1_mm_is_refused(synth):
    with pytest.raises(UsageError, match="voxels of 2 or 1 mm are drawn"):
        synth.sample(voxel=3)
    with pytest.raises(UsageError, match="mri-synth-ixi-4to2 draws voxels of 2 mm, not of 1 mm"):
        synth.sample(voxel=1, fine="mri-synth-ixi-4to2")
    with pytest.raises(UsageError, match="no stage of a cascade"):
        synth.fine(replace(QUICK, fine="mri-synth-ixi"))
