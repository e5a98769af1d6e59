"""Units of a comparison: what a permutation exchanges.

Letters of shapes: N rows, U units, C cells (an expert of a layer, or of a cluster of layers).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_UNPAIRED = ""


class Units(NamedTuple):
    """Sums by unit.

    Attributes:
        sums_UC: What is counted.
        weights_U: What it is divided by: tokens, or sequences.
        is_first_U: On which side.
        strata: Within which units change places.
    """

    sums_UC: NDArray[np.float64]
    weights_U: NDArray[np.float64]
    is_first_U: NDArray[np.bool_]
    strata: list[str]


def units_of(
    sums_NC: NDArray[Any], weights_N: NDArray[Any], is_first_N: NDArray[np.bool_], items: Sequence[str]
) -> Units:
    """Sum rows into units: a row of an item that is on both sides, and all rows together of any other item.

    The versions of an item that is on both sides change places with one another. Items that are on one side only are
    exchanged among themselves, whole, because their rows are no independent evidence.

    Args:
        sums_NC: Of each row.
        weights_N: Of each row, above 0.
        is_first_N: Its side.
        items: Its item.
    """
    _, item_N = np.unique(np.asarray(items, dtype=object).astype(str), return_inverse=True)
    num_items = int(item_N.max()) + 1
    sides_I2 = np.zeros((num_items, 2), dtype=bool)
    sides_I2[item_N, is_first_N.astype(np.int64)] = True
    is_paired_I: NDArray[np.bool_] = np.asarray(sides_I2.all(axis=1))
    is_paired_N = is_paired_I[item_N]
    key_N = np.where(is_paired_N, num_items + np.arange(len(item_N)), item_N)
    _, row_U, unit_N = np.unique(key_N, return_index=True, return_inverse=True)
    sums_UC = np.zeros((len(row_U), sums_NC.shape[1]))
    np.add.at(sums_UC, unit_N, sums_NC.astype(np.float64))
    return Units(
        sums_UC=sums_UC,
        weights_U=np.bincount(unit_N, weights_N.astype(np.float64)).astype(np.float64),
        is_first_U=is_first_N[row_U],
        strata=[f"item {item_N[row]}" if is_paired_N[row] else _UNPAIRED for row in row_U],
    )
