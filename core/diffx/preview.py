"""Samples on the way of a training: a few, each time of the same seeds and validation conditions, for its report."""

from __future__ import annotations

import traceback
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diffx.errors import in_one_line
from diffx.pipeline import Pipeline
from diffx.run.gallery import gallery
from diffx.run.images import open_picture
from diffx.state import each
from diffx.train.objective import Dataset

if TYPE_CHECKING:
    from diffx.run import Run

SAMPLES, STEPS, TIMES, LEAST = 4, 8, 4, 20  # few, so that they cost little beside the training


class Preview:
    """Draws samples of a network that is being trained, `TIMES` times, and keeps a picture of each time as a file.

    Args:
        run: in whose folder `previews/` the pictures lie; a resumed training shows those from before too.
        pipeline: of the network that is trained.
        data: whose conditions are asked for, the validation data or, where there are none, those of training.
    """

    def __init__(self, run: Run, pipeline: Pipeline, data: Dataset):
        self.run, self.pipeline = run, pipeline
        chosen = sorted({round(k) for k in np.linspace(0, len(data) - 1, SAMPLES)})
        names = list(pipeline.model.conditioning.fields)
        items = [data[index] for index in chosen]
        self.records: list[dict[str, Any]] = [{name: item.get(name) for name in names} for item in items]
        steps = run.cfg.train.steps
        self.due = {round(steps * (k + 1) / TIMES) for k in range(TIMES)} if steps >= LEAST else set()

    def __call__(self, step: int) -> None:
        """Draw, after this step. What fails is logged, and not tried again: it must not end a training."""
        cfg = self.run.cfg
        eager = torch.compiler.set_stance("force_eager") if cfg.train.compile else nullcontext()
        try:
            self.pipeline.model.eval()
            options = replace(cfg.sample, steps=min(cfg.sample.steps, STEPS), batch=len(self.records))
            with eager:
                seeds = range(cfg.seed, cfg.seed + len(self.records))
                states = list(self.pipeline.draw(self.records, seeds, options))
            samples = each(lambda *one: torch.stack(one).float().numpy(), *states)
            for number, picture in enumerate(gallery(samples)):
                folder = self.run.folder / "previews"
                folder.mkdir(exist_ok=True)
                open_picture(picture.image).save(folder / f"step-{step:09d}-{number}.png")
        except Exception as error:
            self.due.clear()
            self.run.log_only(traceback.format_exc().rstrip())
            self.run.log(f"note: no samples on the way: {in_one_line(error)}")

    def report(self) -> None:
        """Add the pictures to the run's report, the latest last."""
        for path in sorted((self.run.folder / "previews").glob("step-*.png")):
            step = int(path.name.split("-")[1])
            caption = f"{len(self.records)} samples under conditions of the validation data, {STEPS} steps at most."
            self.run.report.picture(f"After {step:,} steps", path, caption)
