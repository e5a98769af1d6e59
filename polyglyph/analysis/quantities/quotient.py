"""Quotients that are NaN, without a warning, where there is nothing to divide by."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def quotient(above: ArrayLike, below: ArrayLike, *, where: ArrayLike) -> NDArray[np.float64]:
    """Divide where asked; NaN elsewhere.

    Args:
        above: Dividends.
        below: Divisors, of a shape that broadcasts with them.
        where: Where the quotient exists, broadcast likewise.
    """
    shape = np.broadcast_shapes(np.shape(above), np.shape(below), np.shape(where))
    result: NDArray[np.float64] = np.full(shape, np.nan)
    np.divide(above, below, out=result, where=np.asarray(where, dtype=bool))
    return result
