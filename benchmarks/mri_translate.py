"""What mri_translate makes of lesions: error and uncertainty inside them and in the rest of the head.

python benchmarks/mri_translate.py ROOT --out translate_lesions.json

ROOT: a BIDS folder with FLAIR, *_ce-*_T1w, lesion masks on their voxels in derivatives/lesion, and a column split in
participants.tsv (val is used). Means over subjects, each over its whole scan, in units of the robust mean of a head.
About 9 s of CPU for each 20 slices and direction.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from diffx.data import is_held_out
from diffx.io.files import write_json
from diffx_mri import Translator
from diffx_mri.bids import derived, is_lesion_mask, known
from diffx_mri.contrast import Contrast, find_contrast
from diffx_mri.translate.intensity import normalise
from diffx_mri.volume import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("translate_lesions.json"))
    asked = parser.parse_args()
    translator = Translator.load()
    scans = {name: find_contrast(asked.root, Contrast.of(name)) for name in translator.contrasts}
    both = sorted(set.intersection(*map(set, scans.values())))
    (people, _), lesions = known(asked.root, both), derived(asked.root, ("mask",))
    rows = []
    for session in both:
        masks = [path for path, name in lesions.get(session, []) if is_lesion_mask(name)]
        if not is_held_out(people[session]["split"]) or not masks:
            continue
        lesion = load(masks[0])
        for given, wanted in (translator.contrasts, translator.contrasts[::-1]):
            made = translator.translate(scans[given][session], given, wanted, asked.samples)
            slices = translator.grid.slices
            truth, head, _ = normalise(slices(load(scans[wanted][session])))
            inside = head & (slices(lesion) > 0.5)
            row: dict[str, str | float] = {"subject": session[0], "direction": f"{given} to {wanted}"}
            for where, mask in (("lesion", inside), ("rest", head & ~inside)):
                row[f"{where} truth"] = float(truth[mask].mean())
                row[f"{where} synthetic"] = float(made.estimate[mask].mean())
                row[f"{where} error"] = float(np.abs(made.estimate - truth)[mask].mean())
                row[f"{where} uncertainty"] = float(made.spread[mask].mean()) if made.spread is not None else np.nan
            rows.append(row)
            write_json(asked.out, rows)
    for direction in dict.fromkeys(row["direction"] for row in rows):
        of = [row for row in rows if row["direction"] == direction]
        print(f"{direction}, {len(of)} subjects")
        for name in list(of[0])[2:]:
            print(f"  {name:20} {np.mean([float(row[name]) for row in of]):.3f}")


if __name__ == "__main__":
    main()
