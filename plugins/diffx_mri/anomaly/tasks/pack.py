"""task=pack: the slices of a BIDS folder in one file."""

from __future__ import annotations

from diffx.run import Run

from ..inputs import check_inputs
from ..pack import pack as write_slices


def pack(run: Run) -> None:
    """Write the slices of ``data.root`` as one file in the run folder, for ``data.root=`` of another machine."""
    cfg = run.cfg
    check_inputs(cfg)
    file = run.samples / "slices.safetensors"
    write_slices(cfg.data.root, file, cfg.contrast, run.log, run.fail)
    run.log(f"{file}: data.root= takes it")
