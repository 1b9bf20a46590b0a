"""Figures as people read them."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any


def duration(seconds: float) -> str:
    """1.2 s, 41 s, 3 min 20 s, 1 h 05 min, 2 d 3 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def rate(per_second: float, unit: str) -> str:
    """12.3 steps/s, or 4.1 s/step when slower than one a second. '' when nothing is known yet."""
    if not per_second > 0:
        return ""
    if per_second >= 1:
        return f"{figure(per_second, 3)} {unit}s/s"
    return f"{duration(1 / per_second)}/{unit}"


def size(n_bytes: float) -> str:
    """Bytes in decimal units: 812 B, 1.4 MB, 12 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 999.5 or unit == "TB":
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 99.5 else f"{n_bytes:.3g} {unit}"


def figure(value: Any, digits: int = 4) -> str:
    """A value for a table: floats to `digits` significant digits, a pair of numbers as an interval, None as a dash.

    Takes what Python has, and whatever has `tolist()`: NumPy scalars and arrays, tensors on any device.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    elif isinstance(value, Decimal | Fraction):
        value = int(value) if float(value).is_integer() else float(value)
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "not finite"
        text = f"{value:.{digits}g}"
        if "e" in text and 1e-4 <= abs(value) < 1e9:
            text = f"{value:.0f}"
        return text
    if isinstance(value, list | tuple):
        items = [figure(item, digits) for item in value]
        if len(items) == 2 and all(_is_number(item) for item in value):
            return f"{items[0]} to {items[1]}"
        return ", ".join(items)
    if isinstance(value, dict):
        return ", ".join(f"{key} {figure(item, digits)}" for key, item in value.items())
    return str(value)


def _is_number(value: Any) -> bool:
    value = value.tolist() if hasattr(value, "tolist") else value
    return isinstance(value, int | float | Decimal | Fraction) and not isinstance(value, bool)
