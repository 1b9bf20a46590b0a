"""Low precision and compilation against fp32: the error of a whole sampling run, loss curves, and speed.

python benchmarks/precision.py [--device cuda] [--steps 200] [--json FILE]

On a GPU it runs fp32, bf16, fp16 and each compiled; on a CPU fp32 and bf16. Weights: mri-synth-ixi.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from diffx.config import TrainConfig
from diffx.pipeline import Pipeline
from diffx.plan import make_plan
from diffx.sampling import sample
from diffx.train import Monitor, fit

WEIGHTS = "mri-synth-ixi"


def sampling(device: str, batch: int = 2) -> list[dict[str, Any]]:
    """Relative RMS error against fp32 of 24 steps from the same noise, and seconds."""
    pipeline = Pipeline.load(WEIGHTS, device)
    model, process, shape = pipeline.model, pipeline.process, pipeline.spec.shape
    plan = make_plan(process.schedule, "dpmpp_2m", 24)
    predict = model.denoiser
    condition = pipeline.condition([{"age": 30.0 + 10 * i, "sex": "F"} for i in range(batch)], range(batch))
    rows, truth = [], None
    kinds: list[tuple[str, torch.dtype | None, bool]] = [("fp32", None, False), ("bf16", torch.bfloat16, False)]
    if device == "cuda":
        kinds += [("fp16", torch.float16, False), ("bf16 compiled", torch.bfloat16, True)]
    for name, dtype, compiled in kinds:
        model.denoiser.autocast = dtype
        call = torch.compile(predict) if compiled else predict
        for _ in range(2):  # the second is timed
            began = time.perf_counter()
            end = sample(call, process, plan, shape, range(batch), condition, device=device).cpu()
            seconds = time.perf_counter() - began
        truth = end if truth is None else truth
        error = float((end - truth).square().mean().sqrt() / truth.square().mean().sqrt())
        rows.append({"what": "sampling", "precision": name, "relative_error": error, "seconds": seconds})
    return rows


class _Curve(Monitor):
    """A monitor that keeps the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def record(self, step: int, **values: float) -> None:
        self.losses += [values["loss"]] if "loss" in values else []


def training(device: str, steps: int) -> list[dict[str, Any]]:
    """Final losses and steps a second of the same training in each precision, on states drawn from the model."""
    pipeline = Pipeline.load(WEIGHTS, device)
    model, process, shape = pipeline.model, pipeline.process, pipeline.spec.shape
    rows = []
    data = [{"x": torch.randn(shape, generator=torch.Generator().manual_seed(i))} for i in range(16)]
    start = {k: v.clone() for k, v in model.state_dict().items()}
    for precision, compiled in [("fp32", False), ("bf16", False)] + (
        [("fp16", False), ("bf16", True)] if device == "cuda" else []
    ):
        model.load_state_dict(start)
        curve = _Curve()
        config = TrainConfig(steps=steps, batch=2, precision=precision, compile=compiled, log_every=1, val_every=0)
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            fit(model, process, data, config, folder=folder, monitor=curve, device=device)
            seconds = time.perf_counter() - began
        name = precision + (" compiled" if compiled else "")
        last = curve.losses[-max(steps // 5, 1) :]
        rows.append({"what": "training", "precision": name, "loss": sum(last) / len(last), "seconds": seconds / steps})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = sampling(options.device) + training(options.device, options.steps)
    for row in rows:
        print("  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
