"""The resource card: what a run took, and an estimate of its energy with the assumptions it rests on."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

WATTS_PER_BUSY_CORE = 10.0
WATTS_PER_GB = 0.3725  # memory; Lannelongue, Grealey and Inouye, "Green Algorithms", Advanced Science 2021


class Meter:
    """Measures from its making to each call of `card`."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = _cpu_seconds()

    def card(self) -> dict[str, Any]:
        """Wall and CPU seconds, peak memory in bytes, energy in Wh and what was assumed for it.

        CPU time covers all threads and the child processes that have ended. Peak memory is that of the largest single
        process since it began; None where the system does not tell. CUDA entries are there if CUDA was used.
        """
        wall = time.monotonic() - self._wall
        cpu = _cpu_seconds() - self._cpu
        peak = _peak_memory()
        gpus = _gpus()
        card: dict[str, Any] = {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "peak_memory_bytes": peak}
        if gpus:
            card["gpus"] = [{"name": gpu["name"], "peak_memory_bytes": gpu["peak_memory_bytes"]} for gpu in gpus]
        card["energy"] = energy(wall, cpu, peak, [gpu["watts"] for gpu in gpus])
        return card


def energy(wall_s: float, cpu_s: float, peak_bytes: int | None, gpu_watts: list[float | None]) -> dict[str, Any]:
    """An estimate in Wh, and its assumptions in words. `gpu_watts`: the power limit of each GPU used, None if unknown.

    A GPU is taken to draw its full limit the whole time, so with one the estimate is an upper bound.
    """
    joules = WATTS_PER_BUSY_CORE * cpu_s
    assumptions = [f"{WATTS_PER_BUSY_CORE:g} W for each busy CPU core"]
    if peak_bytes:
        joules += WATTS_PER_GB * peak_bytes / 1e9 * wall_s
        assumptions.append(f"{WATTS_PER_GB:g} W per GB of peak memory for the whole time")
    for watts in gpu_watts:
        if watts is None:
            assumptions.append("a GPU not counted: its power limit is unknown")
        else:
            joules += watts * wall_s
            assumptions.append(f"a GPU at its limit of {watts:g} W for the whole time, so an upper bound")
    assumptions.append("idle machine, cooling and power supply not counted")
    return {"wh": joules / 3600, "assumptions": assumptions}


def power_limits(listing: str) -> dict[str, float]:
    """GPU uuid -> watts, from `nvidia-smi --query-gpu=uuid,power.limit --format=csv,noheader,nounits`."""
    limits = {}
    for line in listing.splitlines():
        uuid, _, watts = line.partition(",")
        try:
            limits[uuid.strip().removeprefix("GPU-")] = float(watts)
        except ValueError:
            continue  # "[N/A]": some boards do not tell
    return limits


def _gpus() -> list[dict[str, Any]]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return []
    peaks = {i: torch.cuda.max_memory_allocated(i) for i in range(torch.cuda.device_count())}
    used = {i: peak for i, peak in peaks.items() if peak > 0}
    limits = power_limits(_nvidia_smi()) if used else {}
    found = []
    for i, peak in used.items():
        properties = torch.cuda.get_device_properties(i)
        uuid = str(getattr(properties, "uuid", ""))
        found.append({"name": properties.name, "peak_memory_bytes": peak, "watts": limits.get(uuid)})
    return found


def _nvidia_smi() -> str:
    command = ["nvidia-smi", "--query-gpu=uuid,power.limit", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _cpu_seconds() -> float:
    children = 0.0
    if sys.platform != "win32":
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        children = used.ru_utime + used.ru_stime
    return time.process_time() + children


def _peak_memory() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else peak * 1024
