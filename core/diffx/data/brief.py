"""What objects that hold arrays look like in a notebook: their facts, and shapes in place of a thousand numbers."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from typing import Any


class Brief:
    """A dataclass whose ``repr`` gives the type and shape of arrays, tensors and images instead of their values.

    ``@dataclass(repr=False) class Brain(Brief): ...``
    """

    def __repr__(self) -> str:
        shown = [f"{f.name}={_SHORT.repr(getattr(self, f.name))}" for f in fields(self) if f.repr]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


class _Short(reprlib.Repr):
    """The standard library's short form, which asks the method of the type's name."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 200

    def repr_ndarray(self, value: Any, level: int) -> str:
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"

    repr_Tensor = repr_ndarray

    def repr_Nifti1Image(self, value: Any, level: int) -> str:
        return f"Nifti1Image {list(value.shape)}"

    def repr_float(self, value: float, level: int) -> str:
        return f"{value:.4g}"


_SHORT = _Short()
