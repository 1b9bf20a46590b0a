"""What surrounds the work of a task: its folder, log, progress, report and the way it ends.

Light to import: no torch, no matplotlib, no jinja until a report is written.
"""

from diffx.io.files import atomic, atomic_folder
from diffx.run.execute import execute
from diffx.run.folder import Run
from diffx.run.report import Report

__all__ = ["Report", "Run", "atomic", "atomic_folder", "execute"]
