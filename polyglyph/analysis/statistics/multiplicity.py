"""Multiplicity: p values of several plans or rules, adjusted for how many were tried."""

from collections.abc import Mapping
from typing import Literal

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
