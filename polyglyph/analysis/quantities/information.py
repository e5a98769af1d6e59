"""Information: how much a selected expert tells about the group of its token.

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.quantities.entropy import entropy_bits
from polyglyph.analysis.quantities.selection import shares

Array = NDArray[np.float64]


def information_gain_L(a_GLE: ArrayLike) -> Array:
    """Give I(group; expert) / H(group) of each layer, groups weighted alike (methods section 2).

    With p(e|g) = a normalised over experts and m = mean over groups of p: I = H(m) - mean over groups of H(p(.|g)), and
    H(group) = log2 G.

    Args:
        a_GLE: Selection frequencies, float64 [G, L, E].

    Returns:
        float64 [L], 0 (the expert says nothing) to 1 (it says all); NaN with one group (reason `ONE_GROUP`) and where
        a group's layer routed nothing (reason `NEVER_ROUTED`).
    """
    share_GLE = shares(a_GLE)
    num_groups = len(share_GLE)
    if num_groups < 2:
        return np.full(share_GLE.shape[1], np.nan)
    bits_L = entropy_bits(share_GLE.mean(axis=0)) - entropy_bits(share_GLE).mean(axis=0)
    gain_L: Array = np.clip(bits_L / np.log2(num_groups), 0.0, 1.0)
    return gain_L
