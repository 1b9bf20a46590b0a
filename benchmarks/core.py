"""The core against its peers, in one run: overhead a step, error against evaluations, U-Nets, memory, imports.

python benchmarks/core.py [--quick] [--json FILE]

Peers are diffusers, k-diffusion, MONAI and azula as `pip install 'diffx-suite[bench]'` installs them. Every figure is
the median of several calls that take turns. Ratios are ours over theirs in throughput: above 1 ours is faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import overhead  # noqa: E402
import probe  # noqa: E402
import solvers  # noqa: E402
import throughput  # noqa: E402
import torch  # noqa: E402

PEERS = ("diffusers", "k_diffusion", "monai", "azula")
DEFAULT, THEIRS = "unipc karras", "dpmpp_2m karras"  # k-diffusion's is the same to 1e-8: tests/test_peers.py
COUNTS = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100)


def equal_error(rows: list[solvers.Error], ours: str, at: int) -> dict[str, float]:
    """How many of the peer's evaluations one of ours is worth, where the peer uses ``at``; by data set."""
    ratios = {}
    for data in dict.fromkeys(row.data for row in rows):
        theirs = [r for r in rows if r.data == data and r.sampler == THEIRS]
        error = min(theirs, key=lambda r: abs(r.evaluations - at))
        ratios[data] = error.evaluations / solvers.evaluations_to(rows, data, ours, error.error)
    return ratios


def brains(quick: bool) -> list[solvers.Error]:
    """Errors on the shipped network of mri_synth, unguided and as it is used."""
    from diffx.pipeline import Pipeline

    pipeline = Pipeline.load("mri-synth-ixi", "cpu")
    records = [{"age": 30.0, "sex": "F"}, {"age": 70.0, "sex": "M"}]
    counts, reference = ((10, 20), 40) if quick else ((5, 8, 10, 15, 20, 30, 50), 120)
    rows = []
    for name, guidance, stop in (("mri-synth-ixi", 1.0, 0.0), ("mri-synth-ixi, guided, stop 0.3", 1.5, 0.3)):
        if quick and guidance != 1.0:
            continue
        chosen = solvers.SHORT if quick else solvers.CANDIDATES
        rows += solvers.trained(counts, pipeline, pipeline.spec.shape, records, name, reference, guidance, stop, chosen)
    return rows


def table(head: list[str], rows: list[list[Any]]) -> str:
    """As Markdown."""

    def line(cells: list[Any]) -> str:
        return "| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


def pivot(rows: list[solvers.Error]) -> str:
    """Errors of each data set, samplers down and evaluations across."""
    parts = []
    for data in dict.fromkeys(row.data for row in rows):
        mine = [row for row in rows if row.data == data]
        counts = sorted({row.evaluations for row in mine if not row.sampler.startswith("heun")})
        lines = []
        for sampler in dict.fromkeys(row.sampler for row in mine):
            of = {row.evaluations: row.error for row in mine if row.sampler == sampler}
            # Heun has an odd number of evaluations: it stands in the column that it fits in
            lines.append([sampler, *(of.get(n, of.get(n - 1, "")) for n in counts)])
        parts.append(f"**{data}**\n\n" + table(["sampler", *map(str, counts)], lines))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and counts: under 5 minutes on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    quick = options.quick

    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "diffusers", "k-diffusion", "monai", "azula")},
    }
    print(f"{result['machine']}; {', '.join(f'{k} {v}' for k, v in result['versions'].items())}\n")

    steps = overhead.measure(5 if quick else 15)
    result["step_overhead_all_us"] = steps
    result["step_overhead_us"] = steps[overhead.COMPARED["diffx"]]
    result |= {f"step_overhead_us_{peer}": steps[overhead.COMPARED[peer]] for peer in PEERS}
    print(table(["a step on a small state", "us"], [[k, v] for k, v in steps.items()]), "\n", flush=True)

    nets = throughput.measure(3, ("fp32",)) if quick else throughput.measure(9)
    result["unets"] = nets
    for kind in ("forward", "train"):
        for peer in ("diffusers", "monai", "azula"):
            result[f"unet_{kind}_ratio_{peer}"] = {
                f"{row['dims']}d {row['precision']}": row["ratio"]
                for row in nets
                if row["library"] == peer and row["kind"] == kind
            }
    columns = ["library", "dims", "precision", "kind", "parameters", "ms", "ratio"]
    print(table(columns, [[row[c] for c in columns] for row in nets]), "\n", flush=True)

    result["memory_3d_train_mib"] = probe.memory_mib()
    result["import_all_ms"] = probe.import_ms(1 if quick else 7)
    result["import_ms"] = result["import_all_ms"]["diffx.sampling"]
    print(table(["3-D training step", "MiB"], [[k, v] for k, v in result["memory_3d_train_mib"].items()]), "\n")
    print(table(["import", "CPU ms"], [[k, v] for k, v in result["import_all_ms"].items()]), "\n", flush=True)

    errors = solvers.exact((5, 10, 20, 30) if quick else COUNTS)
    print("W1 to the data, exact denoisers\n\n" + pivot(errors), "\n", flush=True)
    trained = brains(quick)
    print("relative RMS to the end of the flow, trained networks\n\n" + pivot(trained), "\n")
    result["errors"] = [vars(row) for row in errors + trained]
    result["evals_to_equal_error_ratio"] = equal_error(errors + trained, DEFAULT, 20)
    result["evals_to_equal_error_ratio_angle"] = equal_error(errors + trained, "unipc angle", 20)
    angle = result["evals_to_equal_error_ratio_angle"]
    rows = [[data, value, angle[data]] for data, value in result["evals_to_equal_error_ratio"].items()]
    print(table([f"of 20 evaluations of k-diffusion's {THEIRS} one of ours is worth", DEFAULT, "unipc angle"], rows))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
