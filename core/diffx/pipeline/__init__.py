"""A trained model as one object; how it is built from a configuration, and what a file of weights says of it."""

from diffx.pipeline.batch import Batch, Guide, Record
from diffx.pipeline.build import build
from diffx.pipeline.pipeline import Pipeline
from diffx.pipeline.weights import describe, flat

__all__ = ["Batch", "Guide", "Pipeline", "Record", "build", "describe", "flat"]
