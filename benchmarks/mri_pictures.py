"""The pictures of synthetic brains that the documentation shows, drawn anew from the shipped weights.

python benchmarks/mri_pictures.py docs/pictures
"""

from __future__ import annotations

import sys
from pathlib import Path

from diffx_mri import BrainSynth, Person, pictures

AGES, SIZES = (25, 50, 75), (-2, -1, 0, 1, 2)


def main(folder: str) -> None:
    """Write FOLDER/mri_synth.png and FOLDER/mri_ventricles.png."""
    synth = BrainSynth.load()
    people = [Person(age, sex, seed) for sex, seed in (("F", 1), ("M", 4)) for age in AGES]
    brains = list(synth.brains(people))
    captions = [f"{person.sex}, {person.age:g} y, seed {person.seed}" for person in people]
    affines = [brain.affine for brain in brains]
    picture = pictures.grid([brain.data for brain in brains], affines, captions, columns=len(people))
    picture.save(Path(folder) / "mri_synth.png")
    sized = list(synth.brains([Person(60, "F", 3, size) for size in SIZES]))
    captions = [f"{size:+d} sd" for size in SIZES]
    pictures.sweep([brain.data for brain in sized], sized[0].affine, captions).save(Path(folder) / "mri_ventricles.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
