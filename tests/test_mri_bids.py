"""Other people's BIDS folders: each mask with its own scan, each person with the right age, or a line that says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffx.data import cache_key, is_held_out
from diffx.errors import DataError
from diffx_mri.bids import (
    Derivatives,
    Name,
    check_file,
    check_folder,
    find_lesions,
    find_scans,
    find_segmentations,
    images,
    sessions,
)  # fmt: skip
from diffx_mri.bids.tree import derived

D = "derivatives/fmriprep/sub-01"
T1W = "sub-01/anat/sub-01_T1w.nii.gz"
OWN = f"{D}/anat/sub-01_desc-brain_mask.nii.gz"


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "entities", "suffix"),
    [
        ("sub-01_ses-2_acq-mprage_run-1_T1w.nii.gz", {"sub": "01", "ses": "2", "acq": "mprage", "run": "1"}, "T1w"),
        ("sub-01_space-T1w_desc-brain_mask.nii", {"sub": "01", "space": "T1w", "desc": "brain"}, "mask"),
        ("sub-01_desc-a_desc-b_T1w.nii.gz", {"sub": "01", "desc": "b"}, "T1w"),
        ("sub-01_acq-t1_mprage_T1w.nii.gz", {"sub": "01", "acq": "t1"}, "T1w"),
        ("thick_T1w.nii.gz", {}, "T1w"),
        ("scan", {}, "scan"),
    ],
)
def test_a_name_is_taken_apart(text, entities, suffix):
    name = Name.parse(Path("some/where") / text)
    assert (dict(name.entities), name.suffix) == (entities, suffix)


@pytest.mark.parametrize(
    ("text", "said", "written"),
    [
        ("sub-01_T1w.nii.gz", {"desc": "filled"}, "sub-01_desc-filled_T1w.nii.gz"),
        ("sub-01_desc-preproc_T1w.nii.gz", {"desc": "filled"}, "sub-01_desc-filled_T1w.nii.gz"),
        ("sub-01_run-2_acq-x_T1w.nii", {"desc": "filled"}, "sub-01_acq-x_run-2_desc-filled_T1w.nii"),
        ("sub-01_desc-a_label-b_res-2_space-T1w_mask.nii.gz", {}, "sub-01_space-T1w_res-2_label-b_desc-a_mask.nii.gz"),
        ("sub-01_desc-preproc_ses-1_T1w.nii.gz", {"ce": "GD"}, "sub-01_ses-1_ce-GD_desc-preproc_T1w.nii.gz"),
        ("sub-01_chunk-1_space-T1w_T1w.nii.gz", {}, "sub-01_space-T1w_chunk-1_T1w.nii.gz"),  # as the schema orders them
        ("sub-01_own-1_space-T1w_T1w.nii.gz", {}, "sub-01_own-1_space-T1w_T1w.nii.gz"),
        ("sub-01_acq-t1_mprage_T1w.nii.gz", {"desc": "filled"}, "sub-01_acq-t1_mprage_desc-filled_T1w.nii.gz"),
        ("sub-01_space-T1w_T1w.nii.gz", {"space": None}, "sub-01_T1w.nii.gz"),
        ("patient_12_desc-x_T1w.nii.gz", {"desc": "filled"}, "patient_12_desc-filled_T1w.nii.gz"),
    ],
)
def test_every_entity_is_written_once_and_in_the_order_of_bids(text, said, written):
    assert str(Name.parse(text).but(**said)) == written


def test_labels_are_letters_and_digits():
    with pytest.raises(ValueError, match="letters and digits"):
        Name.parse("sub-01_T1w.nii.gz").but(desc="two-parts")


# -- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        "func/sub-01_task-rest_space-T1w_desc-brain_mask",
        "func/sub-01_task-rest_desc-brain_mask",
        "dwi/sub-01_desc-brain_mask",
        "dwi/sub-01_space-T1w_desc-brain_mask",
        "perf/sub-01_desc-brain_mask",
        "fmap/sub-01_desc-brain_mask",
        "figures/sub-01_desc-brain_mask",
        "anat/sub-01_label-brainstem_mask",
        "anat/sub-01_desc-brainstem_mask",
        "anat/sub-01_desc-brainGM_mask",
        "anat/sub-01_label-GM_desc-brain_mask",
        "anat/sub-01_hemi-L_desc-brain_mask",
        "anat/sub-01_space-MNI152NLin2009cAsym_desc-brain_mask",
        "anat/sub-01_run-2_desc-brain_mask",
        "anat/sub-01_acq-highres_desc-brain_mask",
        "anat/sub-01_ce-GD_desc-brain_mask",
        "anat/sub-01_rec-norm_desc-brain_mask",
        "anat/sub-01_mod-FLAIR_desc-brain_mask",
        "anat/sub-01_desc-ribbon_mask",
        "anat/sub-01_label-lesion_mask",
        "ses-1/anat/sub-01_ses-1_desc-brain_mask",
    ],
)
def test_the_mask_of_another_image_is_not_the_scans(tmp_path, other):
    root = tree(tmp_path / "both", T1W, OWN, f"{D}/{other}.nii.gz")
    assert find_scans(root)[0][0].mask == root / OWN
    root = tree(tmp_path / "alone", T1W, f"{D}/{other}.nii.gz")
    assert find_scans(root)[0][0].mask is None


@pytest.mark.parametrize(
    "own",
    [
        "derivatives/m/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_label-brain_mask.nii",
        "derivatives/m/sub-01/anat/sub-01_space-T1w_desc-brain_mask.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_space-orig_res-1_label-brain_desc-synthstrip_mask.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_mod-T1w_desc-brain_mask.nii.gz",
        "derivatives/m/sub-01/sub-01_desc-brain_mask.nii.gz",
        "derivatives/m/sub-01_desc-brain_mask.nii.gz",
        "derivatives/a/derivatives/b/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "sub-01/anat/sub-01_desc-brain_mask.nii.gz",
    ],
)
def test_the_scans_own_mask_is_found_wherever_it_lies(tmp_path, own):
    root = tree(tmp_path, T1W, own)
    assert [(s.mask, s.mask_kind) for s in find_scans(root)[0]] == [(root / own, "mask")]


def test_each_run_and_acquisition_has_its_own_mask(tmp_path):
    runs = [f"sub-01/anat/sub-01_run-{r}_T1w.nii.gz" for r in (10, 2)]
    masks = [f"{D}/anat/sub-01_run-{r}_desc-brain_mask.nii.gz" for r in (10, 2)]
    scan = find_scans(tree(tmp_path / "runs", *runs, *masks))[0][0]
    assert (scan.path.name, scan.mask.name) == ("sub-01_run-2_T1w.nii.gz", "sub-01_run-2_desc-brain_mask.nii.gz")
    # the mask of both runs' average, as fMRIPrep makes it, is neither's
    assert find_scans(tree(tmp_path / "average", *runs, OWN))[0][0].mask is None
    # where there is one scan alone, a mask that does not repeat its acq is its own
    root = tree(tmp_path / "one", "sub-01/anat/sub-01_acq-mprage_run-01_T1w.nii.gz", OWN)
    assert find_scans(root)[0][0].mask == root / OWN
    root = tree(root, f"{D}/anat/sub-01_acq-mprage_run-1_desc-brain_mask.nii.gz")
    assert find_scans(root)[0][0].mask.name == "sub-01_acq-mprage_run-1_desc-brain_mask.nii.gz"
    # beside an enhanced scan it could be of either
    scans, _ = find_scans(tree(tmp_path / "ce", "sub-01/anat/sub-01_acq-a_T1w.nii.gz",
                               "sub-01/anat/sub-01_ce-GD_T1w.nii.gz", OWN))  # fmt: skip
    assert scans[0].mask is None


def test_sessions_keep_their_masks_apart(tmp_path):
    names = [f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w.nii.gz" for s in (1, 2)]
    masks = [f"{D}/ses-{s}/anat/sub-01_ses-{s}_desc-brain_mask.nii.gz" for s in (1, 2)]
    scans, _ = find_scans(tree(tmp_path, *names, *masks, OWN))
    assert [s.mask.name[7:12] for s in scans] == ["ses-1", "ses-2"]


def test_of_several_masks_one_is_taken_and_that_is_said(tmp_path):
    names = [f"sub-0{i}/anat/sub-0{i}_T1w.nii.gz" for i in (1, 2)]
    masks = [f"derivatives/{p}/sub-0{i}/anat/sub-0{i}_desc-brain_mask.nii.gz" for p in ("hdbet", "a") for i in (1, 2)]
    scans, said = find_scans(tree(tmp_path, *names, *masks))
    assert {s.mask.parents[2].name for s in scans} == {"a"}
    assert sum("2 scans have several masks" in line and "hdbet" in line for line in said) == 1


def test_a_segmentation_counts_where_there_is_no_mask(tmp_path):
    root = tree(tmp_path, T1W, f"{D}/anat/sub-01_desc-aseg_dseg.nii.gz", f"{D}/anat/sub-01_dseg.nii.gz",
                f"{D}/anat/sub-01_label-hippocampus_dseg.nii.gz", f"{D}/anat/sub-01_hemi-L_dseg.nii.gz")  # fmt: skip
    scan = find_scans(root)[0][0]
    assert (scan.mask.name, scan.mask_kind) == ("sub-01_dseg.nii.gz", "dseg")
    scan = find_scans(tree(root, OWN))[0][0]
    assert (scan.mask, scan.mask_kind) == (root / OWN, "mask")


def test_region_maps_are_those_of_one_folder_and_of_the_scan(tmp_path):
    muse = "derivatives/muse/sub-01/anat/sub-01_desc-muse_dseg.nii.gz"
    root = tree(tmp_path, T1W, muse, f"{D}/anat/sub-01_dseg.nii.gz", f"{D}/anat/sub-01_run-2_dseg.nii.gz",
                "derivatives/muse/sub-01/dwi/sub-01_dseg.nii.gz")  # fmt: skip
    found = find_segmentations(root, find_scans(root)[0], root / "derivatives/muse")
    assert found == {("sub-01", None): root / muse}


def test_lesions_belong_to_their_scan(tmp_path):
    own = "derivatives/l/sub-01/anat/sub-01_space-T1w_label-lesion_mask.nii.gz"
    others = ("dwi/sub-01_label-lesion_mask", "anat/sub-01_space-MNI152_label-lesion_mask",
              "anat/sub-01_run-2_label-lesion_mask", "anat/sub-01_label-normalWMH_mask")  # fmt: skip
    root = tree(tmp_path, T1W, *(f"derivatives/l/sub-01/{o}.nii.gz" for o in others))
    assert find_lesions(root, find_scans(root)[0])[0] == {}
    found, _ = find_lesions(tree(root, own), find_scans(root)[0])
    assert found == {("sub-01", None): root / own}
    root = tree(tmp_path / "roi", T1W, "sub-01/anat/sub-01_T1w_label-lesion_roi.nii.gz")  # where fMRIPrep looks for it
    assert [p.name for p in find_lesions(root, find_scans(root)[0])[0].values()] == [
        "sub-01_T1w_label-lesion_roi.nii.gz"
    ]


def test_links_to_another_disk_are_followed_once(tmp_path):
    elsewhere = tree(tmp_path / "disk", "fmriprep/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    root = tree(tmp_path / "bids", T1W)
    (root / "derivatives").mkdir()
    (root / "derivatives/fmriprep").symlink_to(elsewhere / "fmriprep")
    (elsewhere / "fmriprep/again").symlink_to(elsewhere)  # a circle
    assert find_scans(root)[0][0].mask == root / "derivatives/fmriprep/sub-01/anat/sub-01_desc-brain_mask.nii.gz"


def test_a_big_tree_is_not_searched_where_no_mask_can_be(tmp_path, monkeypatch):
    tree(tmp_path, T1W, OWN, f"{D}/func/a.nii.gz", f"{D}/figures/b.svg", f"{D}/ses-1/func/c.nii.gz",
         "derivatives/freesurfer/sub-01/mri/brainmask.mgz")  # fmt: skip
    walked = []
    walk = os.walk

    def watched(*args, **kwargs):
        for folder, inside, files in walk(*args, **kwargs):
            walked.append(Path(folder).relative_to(tmp_path).as_posix())
            yield folder, inside, files

    monkeypatch.setattr(os, "walk", watched)
    assert derived(tmp_path, ("mask",)) == {
        ("sub-01", None): [(tmp_path / OWN, Name.parse(OWN))],
    }
    assert not any(part in folder for folder in walked for part in ("/func", "/figures", "/mri"))


# -- scans -----------------------------------------------------------------------------------------------------------


def test_what_is_no_scan_is_passed_over(tmp_path):
    root = tree(tmp_path, "sub-01/anat/._sub-01_T1w.nii.gz", "sub-01/anat/sub-01_part-phase_T1w.nii.gz",
                "sub-01/anat/sub-01_T1w.json", "sub-01/anat/sub-01_run-1_T1w.nii.gz",
                "sub-02/anat/sub-01_T1w.nii.gz", "sub-03/anat/sub-03_ce-GD_T1w.nii.gz")  # fmt: skip
    scans, said = find_scans(root)
    assert [s.path.name for s in scans] == ["sub-01_run-1_T1w.nii.gz"]
    assert any("sub-02/anat/sub-01_T1w.nii.gz" in line and "another subject" in line for line in said)
    assert any("sub-03" in line and "without contrast agent" in line for line in said)


def test_labels_that_bids_forbids_are_read_all_the_same(tmp_path):
    """sub-CC_001 and sub-NDAR-7, as studies name them, each with the mask of its own."""
    masks = [f"derivatives/m/{s}/anat/{s}_desc-brain_mask.nii.gz" for s in ("sub-CC_001", "sub-CC_002", "sub-NDAR-7")]
    names = [f"{s}/anat/{s}_T1w.nii.gz" for s in ("sub-CC_001", "sub-CC_002", "sub-NDAR-7")]
    root = tree(tmp_path, *names, *masks)
    (root / "participants.tsv").write_text("participant_id\tage\nCC001\t30\nsub-CC_002\t40\nNDAR7\t50\n")
    scans, _ = find_scans(root)
    assert [(s.path, s.mask, s.age) for s in scans] == [
        (root / name, root / mask, age) for name, mask, age in zip(names, masks, (30, 40, 50), strict=True)
    ]
    assert str(Name.of(["sub-CC_001", "ses-a-b"], "T1w", ".nii.gz").but(desc="x")) == (
        "sub-CC_001_ses-a-b_desc-x_T1w.nii.gz"
    )


def test_names_that_leave_the_session_to_the_folder(tmp_path):
    mask = "derivatives/m/sub-01/ses-1/anat/sub-01_desc-brain_mask.nii.gz"
    root = tree(tmp_path, "sub-01/ses-1/anat/sub-01_T1w.nii.gz", mask)
    assert [(s.session, s.mask) for s in find_scans(root)[0]] == [("ses-1", root / mask)]


def test_a_mask_that_does_not_say_of_what_is_named(tmp_path):
    scans, said = find_scans(tree(tmp_path, T1W, "derivatives/hdbet/sub-01/anat/sub-01_T1w_bet_mask.nii.gz"))
    assert scans[0].mask is None and any("bet_mask" in line and "desc-brain_mask" in line for line in said)


def test_a_folder_of_derivatives_is_read_like_any_other(tmp_path):
    """data.root= at fMRIPrep's output: the scan in its own space, and the mask beside it."""
    names = ("sub-01_desc-preproc_T1w", "sub-01_space-MNI152NLin6Asym_desc-preproc_T1w", "sub-01_desc-brain_mask",
             "sub-01_space-MNI152NLin6Asym_desc-brain_mask")  # fmt: skip
    scan = find_scans(tree(tmp_path / "a", *(f"sub-01/anat/{n}.nii.gz" for n in names)))[0][0]
    assert (scan.path.name, scan.mask.name) == (f"{names[0]}.nii.gz", f"{names[2]}.nii.gz")
    scan = find_scans(tree(tmp_path / "b", *(f"sub-01/anat/{n}.nii.gz" for n in names[1:])))[0][0]
    assert (scan.path.name, scan.mask.name) == (f"{names[1]}.nii.gz", f"{names[3]}.nii.gz")


def test_home_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    tree(tmp_path / "bids", T1W, OWN)
    (tmp_path / "bids/participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    scan = find_scans("~/bids")[0][0]
    assert (scan.path, scan.mask, scan.age) == (tmp_path / "bids" / T1W, tmp_path / "bids" / OWN, 30)
    check_folder("~/bids")


def test_a_folder_that_is_none_says_so(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        check_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"not a BIDS folder.*did you mean .*study/rawdata"):
        sessions(tree(tmp_path / "study", "rawdata/sub-01/anat/sub-01_T1w.nii.gz"))
    check_folder(tmp_path / "study/rawdata")


def test_content_that_was_not_fetched_is_told_from_a_missing_file(tmp_path):
    root = tree(tmp_path, T1W)
    (root / "link.nii.gz").symlink_to(".git/annex/objects/x.nii.gz")
    (root / "annex.nii.gz").write_text("/annex/objects/MD5E-s9--0.nii.gz\n")
    (root / "lfs.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for name in ("link", "annex", "lfs"):
        with pytest.raises(DataError, match=f"{name}.nii.gz: .*not been fetched.*datalad get"):
            check_file(root / f"{name}.nii.gz")
    with pytest.raises(DataError, match="empty"):
        check_file(root / T1W)
    with pytest.raises(DataError, match="a folder"):
        check_file(root)
    with pytest.raises(DataError, match="no such file"):
        check_file(root / "no.nii.gz")


def test_what_is_cached_changes_when_a_link_gets_its_content(tmp_path):
    link = tmp_path / "a.nii.gz"
    link.symlink_to("content")
    before = cache_key(files=[link, None])
    (tmp_path / "content").write_text("x")
    assert cache_key(files=[link, None]) != before


# -- participants.tsv ------------------------------------------------------------------------------------------------

TWO = ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")


def people(root: Path, table: str | bytes, folders=(T1W,), about: object = None):
    tree(root, *folders)
    (root / "participants.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
    if about is not None:
        (root / "participants.json").write_text(about if isinstance(about, str) else json.dumps(about))
    scans, said = find_scans(root)
    assert all(str(root) in line or line.startswith("...") for line in said)
    return [(s.age, s.sex) for s in scans], "\n".join(said)


@pytest.mark.parametrize(
    "table",
    [
        b"participant_id\tage\tsex\nsub-01\t30\tF\n",
        b"\xef\xbb\xbfparticipant_id\tage\tsex\r\nsub-01\t30\tF\r\n",
        b"participant_id\tage\tsex\rsub-01\t30\tF\r",
        "participant_id\tage\tsex\nsub-01\t30\tF\n".encode("utf-16"),
        b"Participant_ID\tAge\tGender\nsub-01\t30\tfemale\n",
        b'"participant_id"\t"age"\t"sex"\n"sub-01"\t30\t"F"\n',  # of R
        b'participant_id\tnote\tage\tsex\nsub-02\t"tall\t40\tM\nsub-01\t\t30\tF\nsub-03\t5\' 7"\t50\tM\n',
        b'participant_id\tnote\tage\tsex\nsub-01\t"a\tb"\t30\tF\n',
        b"participant_id\tage\tsex\tsite\nsub-01\t30Y\tf\t\n",
        b"\n\nparticipant_id\tage\tsex\n\nsub-01 \t 30.0\tFemale\n\n",
        b"participant_id\tage\tsex\nsub-01\t30,0\tF\n",
        b"participant_id\tage\tsex\n01\t30\tF\n",
        b"participant_id\tage\tsex\tgender\nsub-01\t30\tn/a\tF\n",
    ],
)
def test_a_table_is_read_however_it_was_saved(tmp_path, table):
    known, said = people(tmp_path, table)
    assert (known, said) == ([(30.0, "F")], "")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("participant_id,age,sex\nsub-01,30,F\n", "commas instead of tabs"),
        ('participant_id,name,age,sex\nsub-01,"Doe, J",30,F\n', "commas instead of tabs"),
        ("participant_id;age;sex\nsub-01;30,0;F\n", "semicolons"),
        ("participant_id  age sex\nsub-01 30   F\n", "spaces"),
        ("participant_id\tage\tsex\tsite\nsub-01\t30\tF\tM\xfcnchen\n".encode("latin-1"), "not UTF-8; read as Latin-1"),
        ("participant_id\tage\tsex\tsite\nsub-01\t30\tF\n", "line 2 has 3 columns where the header has 4"),
        ("participant_id\tage\tsex\n1\t30\tF\n", "1 is taken for sub-01"),
        ("participant_id\tage\tsex\n1.0\t30\tF\n", "1.0 is taken for sub-01"),
        ("participant_id\tage\tsex\nSUB-01\t30\tF\n", "SUB-01 is taken for sub-01"),
        ("participant_id\tparticipant_id\tage\tsex\nsub-01\tCQ2\t30\tF\n", "2 columns are called participant_id"),
        ("participant_id\tage\tsex\nsub-01\t30\tF\nsub-01\t30\tF\nn/a\t1\tM\n", "line 4 has no participant_id"),
    ],
)
def test_what_is_odd_is_read_right_and_said(tmp_path, table, says):
    known, said = people(tmp_path, table)
    assert known == [(30.0, "F")] and says in said


@pytest.mark.parametrize(
    ("table", "known", "says"),
    [
        ("subject\tage\tsex\nsub-01\t30\tF\n", (None, None), "no column participant_id (columns: subject, age, sex)"),
        ("participant_id\tage\tsex\nsub-A1\t30\tF\n", (None, None), "no row for 1 of 1 subjects (sub-01)"),
        ("participant_id\tage\tsex\nsub-01\t30\tF\nsub-01\t60\tF\n", (None, "F"), "age 30 and 60 in different rows"),
        ("participant_id\tage\tage\tsex\nsub-01\t30\t60\tF\n", (None, "F"), "2 columns are called age"),
        ("participant_id\tage\tsex\nsub-01\told\tF\n", (None, "F"), "age 'old' is not a number of years"),
        ("participant_id\tage\tsex\nsub-01\t22-25\tF\n", (None, "F"), "'22-25'"),
        ("participant_id\tage\tsex\nsub-01\t999\tF\n", (None, "F"), "'999'"),
        ("participant_id\tage\tsex\nsub-01\t-9\tF\n", (None, "F"), "'-9'"),
        ("participant_id\tage\tsex\nsub-01\t30\t2\n", (30.0, None), "sex '2' is not M or F; taken as unknown; Levels"),
        ("participant_id\tage\tsex\nsub-01\t30\tF\textra\tmore\n", (None, None), "line 2 has 5 columns where"),
        ("participant_id\tage_at_scan\tsex\nsub-01\t30\tF\n", (None, "F"), "no column age; age_at_scan is not read"),
        ("participant_id age sex\nsub-01 30\n", (None, None), "line 2 has 2 columns where the header has 3"),
        ("", (None, None), "empty"),
        ("participant_id\tage\tsex\n", (None, None), "a header and no row"),
    ],
)
def test_what_cannot_be_known_is_one_line(tmp_path, table, known, says):
    found, said = people(tmp_path, table)
    assert found == [known] and says in said


@pytest.mark.parametrize(
    ("age", "years"),
    [("90+", 90), ("89 +", 89), (">89", 89), ("84M", 7), ("030Y", 30), ("31 years", 31), ("30 y", 30),
     ("52w", 52 * 7 / 365.25), ("34,5", 34.5), ("n/a", None), ("N/A", None), ("", None), ("none", None)],
)  # fmt: skip
def test_ages_in_other_words(tmp_path, age, years):
    known, said = people(tmp_path, f"participant_id\tage\nsub-01\t{age}\n")
    assert known == [(None if years is None else pytest.approx(years), None)] and "age" not in said


@pytest.mark.parametrize(
    ("about", "years", "says"),
    [
        ({"age": {"Units": "months"}}, 7.0, ""),
        ({"age": {"Units": "Months"}}, 7.0, ""),
        ({"Age": {"Units": "month"}}, None, ""),
        ({"age": {"Units": "weeks"}}, 84 * 7 / 365.25, ""),
        ({"age": {"Units": "days"}}, 84 / 365.25, ""),
        ({"age": {"Units": "years"}}, 84.0, ""),
        ({"age": {"Units": "decimal years"}}, 84.0, ""),
        ({"age": {"Description": "age in years at scan"}}, 84.0, ""),
        ({"age": {"Description": "age in months"}}, None, "described in months but has no Units"),
        ({"age": {"Units": "decades"}}, None, "Units of age are 'decades'"),
        ("{broken", 84.0, "participants.json: not readable as JSON"),
        ([], 84.0, ""),
        ({"age": "months"}, None, "described in months"),
    ],
)
def test_the_unit_of_age_is_that_of_the_sidecar(tmp_path, about, years, says):
    heading = "Age" if isinstance(about, dict) and "Age" in about else "age"
    if heading == "Age":
        years = 7.0
    known, said = people(tmp_path, f"participant_id\t{heading}\nsub-01\t84\n", about=about)
    assert known[0][0] == (None if years is None else pytest.approx(years)) and says in said


@pytest.mark.parametrize(
    ("value", "levels", "sex"),
    [
        ("1", {"1": "male", "2": "female"}, "M"),
        ("2.0", {"1": "male", "2": "female"}, "F"),
        ("0", {"0": {"Description": "Female participant"}, "1": {"Description": "Male"}}, "F"),
        ("M", {"M": "male", "F": "female"}, "M"),
        ("woman", {}, "F"),
        ("3", {"3": "intersex"}, None),
    ],
)
def test_sexes_go_by_their_levels(tmp_path, value, levels, sex):
    known, said = people(tmp_path, f"participant_id\tsex\nsub-01\t{value}\n", about={"sex": {"Levels": levels}})
    assert known == [(None, sex)] and (sex is not None or "is not M or F" in said)


@pytest.mark.parametrize(
    "table",
    [
        "participant_id\tsession\tage\tsex\nsub-01\tses-1\t30\tF\nsub-01\tses-2\t60\tF\n",
        "participant_id\tsession_id\tage\tsex\nsub-01\t2\t60\tn/a\nsub-01\t1\t30\tF\n",
        "participant_id\tage\tsex\tses\n01\t60\tF\t02\n01\t30\tF\t01\n",
        "participant_id\tage\tsex\nsub-01_ses-1\t30\tF\nsub-01_ses-2\t60\tF\n",
        "participant_id\tvisit\tage\tsex\nsub-01\tses-1\t30\tF\nsub-01\tses-2\t60\tF\n",
    ],
)
def test_a_row_for_each_session(tmp_path, table):
    assert people(tmp_path, table, TWO) == ([(30.0, "F"), (60.0, "F")], "")


def test_a_session_without_a_row_has_no_age(tmp_path):
    table = "participant_id\tsession\tage\tsex\nsub-01\tses-1\t30\tF\n"
    known, said = people(tmp_path / "a", table, TWO)
    assert known == [(30.0, "F"), (None, "F")] and "no row for ses-2 of sub-01" in said
    known, said = people(tmp_path / "b", table + "sub-01\tses-2\t60\tF\n")  # a folder without sessions
    assert known == [(None, "F")] and "2 rows, each for a session" in said
    known, said = people(tmp_path / "c", "participant_id\tage\nsub-01\t30\n", TWO)
    assert known == [(30.0, None)] * 2 and "one age for all sessions of sub-01" in said


def test_a_table_of_sessions_goes_before_that_of_participants(tmp_path):
    tree(tmp_path, *TWO)
    (tmp_path / "sub-01/sub-01_sessions.tsv").write_text("session_id\tage\nses-1\t360\nses-2\t720\n")
    (tmp_path / "sessions.json").write_text('{"age": {"Units": "months"}}')
    assert people(tmp_path, "participant_id\tage\tsex\nsub-01\t30\tF\n", TWO) == ([(30.0, "F"), (60.0, "F")], "")


def test_ids_that_fit_two_folders_are_nobodys(tmp_path):
    folders = ("sub-1/anat/sub-1_T1w.nii.gz", T1W)
    known, said = people(tmp_path, "participant_id\tage\n001\t30\n", folders)
    assert known == [(None, None)] * 2 and "no row for 2 of 2 subjects" in said


def test_many_lines_of_a_kind_are_counted(tmp_path):
    folders = [f"sub-{i:03d}/anat/sub-{i:03d}_T1w.nii.gz" for i in range(50)]
    table = "participant_id\tage\n" + "".join(f"sub-{i:03d}\t20-25\n" for i in range(50))
    _, said = people(tmp_path, table, folders)
    assert len(said.splitlines()) < 8 and "46 more" in said


@pytest.mark.parametrize("link", ["link", "pointer"])
def test_a_table_that_was_not_fetched(tmp_path, link):
    tree(tmp_path, T1W)
    if link == "link":
        (tmp_path / "participants.tsv").symlink_to(".git/annex/objects/x.tsv")
    else:
        (tmp_path / "participants.tsv").write_text("/annex/objects/MD5E-s9--0.tsv\n")
    scans, said = find_scans(tmp_path)
    assert scans[0].age is None and any("participants.tsv" in line and "datalad get" in line for line in said)


# -- splits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["val", "dev", "Dev", "holdout", "hold-out", "held_out", "test", "Validation"])
def test_what_is_held_out_by_any_word_is_not_trained_on(tmp_path, split):
    assert is_held_out(split)
    tree(tmp_path, T1W)
    (tmp_path / "participants.tsv").write_text(f"participant_id\tsplit\nsub-01\t{split}\n")
    scans, said = find_scans(tmp_path)
    assert scans[0].split == split and not said


def test_a_split_of_an_unknown_name_is_held_out_and_said(tmp_path):
    assert not is_held_out("train") and not is_held_out("Training") and not is_held_out(None)
    tree(tmp_path, T1W)
    (tmp_path / "participants.tsv").write_text("participant_id\tsplit\nsub-01\tfold3\n")
    scans, said = find_scans(tmp_path)
    assert is_held_out(scans[0].split)
    assert any("'fold3' is not called train, so it is held out" in line for line in said)


def test_packed_scans_and_slices_are_chosen_by_the_same_words():
    pytest.importorskip("nibabel")
    from diffx_mri.pack import Packed
    from diffx_mri.slices import SliceGrid
    from diffx_mri.translate.pack import Slices

    rows = [{"split": s} for s in ("train", None, "dev", "holdout", "val", "x")]
    assert Packed(None, rows).select("train") == [0, 1] and Packed(None, rows).select("val") == [2, 3, 4, 5]
    slices = Slices({}, {}, rows, SliceGrid())
    assert slices.select("train") == rows[:2] and slices.select("val") == rows[2:]


# -- written ---------------------------------------------------------------------------------------------------------


def test_derivatives_are_written_whole(tmp_path):
    out = Derivatives(tmp_path, "Made up", "CC0")
    name = Name.parse("sub-01_run-1_ses-2_desc-old_T1w.nii.gz").but(desc="new")
    path = out.write(name, lambda path: (path.parent.mkdir(parents=True), path.write_text("x")), {"A": 1})
    assert path == tmp_path / "sub-01/ses-2/anat/sub-01_ses-2_run-1_desc-new_T1w.nii.gz"
    assert json.loads(path.with_name("sub-01_ses-2_run-1_desc-new_T1w.json").read_text()) == {"A": 1}
    about = json.loads((tmp_path / "dataset_description.json").read_text())
    assert (about["DatasetType"], about["GeneratedBy"][0]["Name"], about["License"]) == ("derivative", "diffx", "CC0")
    out.add_participant({"participant_id": "sub-01", "age": 70.0}, {"participant_id": "who", "age": "years"})
    assert (tmp_path / "participants.tsv").read_text() == "participant_id\tage\nsub-01\t70\n"
    assert set(json.loads((tmp_path / "participants.json").read_text())) == {"participant_id", "age"}


def test_images_of_a_contrast_are_in_order(tmp_path):
    names = [f"sub-01/anat/sub-01_{n}FLAIR.nii.gz" for n in ("run-10_", "run-2_", "space-MNI_", "")]
    tree(tmp_path, *names)
    found, _ = images(("sub-01", None), tmp_path / "sub-01/anat", lambda name: name.suffix == "FLAIR")
    assert [p.name[7:-12] for p, _ in found] == ["", "run-2_", "run-10_", "space-MNI_"]


def test_bids_is_read_without_torch_or_nibabel(tmp_path):
    code = (
        "import sys; from diffx_mri.bids import find_scans; print(len(find_scans(sys.argv[1])[0]));"
        "print([m for m in ('torch', 'numpy', 'nibabel', 'monai', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    made = subprocess.run([sys.executable, "-c", code, str(tree(tmp_path, T1W))], capture_output=True, text=True)
    assert made.stdout.split("\n")[:2] == ["1", "[]"], made.stderr
