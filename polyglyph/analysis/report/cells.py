"""Numbers as JSON: six significant digits, and a reason in place of what is none; never a NaN."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polyglyph.analysis.statistics.figure import Missing

DIGITS = 6
Cell = float | int | dict[str, Any]


def cell(value: float, *, otherwise: str) -> Cell:
    """Give a number, or the reason why there is none.

    Args:
        value: Any number.
        otherwise: Why it cannot be computed, where it is not finite.
    """
    return rounded(value) if isfinite(value) else Missing(otherwise).to_json()


def rounded(value: float) -> float | int:
    """Give a finite number with six significant digits; a whole one as it is."""
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def matrix(values: ArrayLike) -> list[Any]:
    """Give nested lists, null where there is no number."""
    return _nested(np.asarray(values).tolist())


def cells_by(names: Sequence[str], values: ArrayLike, *, otherwise: str) -> dict[str, Cell]:
    """Give a cell per name."""
    numbers = np.asarray(values, dtype=np.float64).tolist()
    return {name: cell(value, otherwise=otherwise) for name, value in zip(names, numbers, strict=True)}


def _nested(values: list[Any]) -> list[Any]:
    if values and isinstance(values[0], list):
        return [_nested(row) for row in values]
    return [rounded(value) if isfinite(value) else None for value in values]
