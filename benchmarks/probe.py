"""Figures that need a process of their own: time to import, and peak memory of a training step in 3-D.

python benchmarks/probe.py import STATEMENT
python benchmarks/probe.py memory LIBRARY [checkpointing]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMPORTS = {
    "diffx": "import diffx",
    "diffx.sampling": "import diffx.sampling, diffx.nets, diffx.guide",
    "torch": "import torch",
    "diffusers": "from diffusers import UNet2DModel, DPMSolverMultistepScheduler",
    "k_diffusion": "import k_diffusion.sampling",
    "monai": "from monai.networks.nets import DiffusionModelUNet; from monai.networks.schedulers import DDIMScheduler",
    "azula": "import azula.sample, azula.noise, azula.denoise",
}


def _ask(*words: str) -> float:
    command = [sys.executable, "-W", "ignore", __file__, *words]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def import_ms(repeats: int) -> dict[str, float]:
    """CPU milliseconds of each import in a fresh interpreter, median."""
    return {name: statistics.median(_ask("import", code) for _ in range(repeats)) for name, code in IMPORTS.items()}


def memory_mib() -> dict[str, float]:
    """Peak memory that a 3-D training step adds, MiB."""
    cases = (("diffx",), ("diffx", "checkpointing"), ("monai",), ("azula",))
    return {" ".join(case): _ask("memory", *case) for case in cases}


def _import(statement: str) -> float:
    began = time.process_time()
    exec(statement, {})
    return (time.process_time() - began) * 1e3


def _peak_mib() -> float:
    """Of this program so far. Linux hands ru_maxrss on from the program that started this one; VmHWM it does not."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _memory(name: str, checkpointing: bool) -> float:
    import throughput
    import torch

    _, calls = throughput._calls(throughput.BUILDERS[name], 3, None)
    if checkpointing:
        net = next(c.cell_contents for c in calls["train"].__closure__ if isinstance(c.cell_contents, torch.nn.Module))
        net.checkpointing = True
    before = _peak_mib()
    calls["train"]()
    return _peak_mib() - before


if __name__ == "__main__":
    print(_import(sys.argv[2]) if sys.argv[1] == "import" else _memory(sys.argv[2], "checkpointing" in sys.argv))
