"""Multiplicity: p values of several plans, rules or experts, adjusted for how many were tried."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Method = Literal["holm", "fdr_bh"]


def adjust(p_values: Mapping[str, float], *, method: Method = "holm") -> dict[str, float]:
    """Adjust p values for their number.

    Args:
        p_values: By name, 0 to 1.
        method: `holm` (any false claim, Holm 1979) or `fdr_bh` (share of false claims, Benjamini and Hochberg 1995).

    Returns:
        Adjusted p values by name, never below the given ones.
    """
    if not p_values:
        return {}
    from statsmodels.stats.multitest import multipletests

    _, adjusted, _, _ = multipletests(list(p_values.values()), method=method)
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Give q values: the smallest share of false claims at which each hypothesis is claimed (Benjamini, Hochberg 1995).

    Args:
        p: p values, 0 to 1, of any shape; NaN where there is no hypothesis, which then does not count as one.

    Returns:
        float64 of the same shape, never below `p`; NaN where `p` is.

    Raises:
        ValueError: A p value lies outside 0 to 1.
    """
    values = np.asarray(p, dtype=np.float64)
    flat = values.ravel()
    there = np.flatnonzero(~np.isnan(flat))
    found = flat[there]
    if len(found) and (found.min() < 0 or found.max() > 1):
        raise ValueError(f"expected p values from 0 to 1, got {found.min()} to {found.max()}")
    order = np.argsort(-found, kind="stable")
    number = len(found)
    # From the largest down: a q value is the smallest that any larger p allows.
    stepped = np.minimum.accumulate(found[order] * (number / np.arange(number, 0, -1)))
    q = np.full(flat.shape, np.nan)
    q[there[order]] = np.maximum(np.minimum(stepped, 1.0), found[order])
    return q.reshape(values.shape)
