"""The layers whose experts are tested: others are no hypotheses, and the correction does not count them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError


def layer_mask(layers: Sequence[int] | None, *, num_layers: int) -> NDArray[np.bool_]:
    """Give which layers are tested, bool [L]; all unless some are named.

    Raises:
        IdentificationError: A layer that the model does not have.
    """
    if layers is None:
        return np.ones(num_layers, dtype=np.bool_)
    unknown = [layer for layer in layers if not 0 <= layer < num_layers]
    if unknown:
        raise IdentificationError(f"--layers: the model has MoE layers 0 to {num_layers - 1}, got {unknown[0]}")
    mask_L = np.zeros(num_layers, dtype=np.bool_)
    mask_L[list(layers)] = True
    return mask_L
