"""Which experts the tokens of a trace selected, as masks and counts.

Letters: n tokens, L MoE layers, K selected experts, E experts.
"""

import numpy as np
from numpy.typing import NDArray

from polyglyph.contract.trace import SequenceTrace


def unsteered(trace: SequenceTrace) -> NDArray[np.bool_]:
    """Give the tokens whose selection is the model's own: computed, and no edit in force; bool [n]."""
    own_n: NDArray[np.bool_] = trace.computed & ~trace.steered
    return own_n


def count_selections(trace: SequenceTrace, rows_n: NDArray[np.bool_], *, num_experts: int) -> NDArray[np.int64]:
    """Count how many of some tokens select each expert, int64 [L, E]."""
    ids_nLK = trace.ids[rows_n].astype(np.int64)
    num_layers = ids_nLK.shape[1]
    cells = ids_nLK + np.arange(num_layers)[:, None] * num_experts
    found = np.bincount(cells[ids_nLK < num_experts], minlength=num_layers * num_experts)
    return found.astype(np.int64).reshape(num_layers, num_experts)


def selection_mask(trace: SequenceTrace, rows_n: NDArray[np.bool_], *, num_experts: int) -> NDArray[np.bool_]:
    """Give which experts each of some tokens selects, bool [n, L, E]."""
    ids_nLK = trace.ids[rows_n].astype(np.int64)
    mask = np.zeros((*ids_nLK.shape[:2], num_experts + 1), dtype=np.bool_)
    # The filler, which is past the last expert, goes into a column of its own.
    np.put_along_axis(mask, np.minimum(ids_nLK, num_experts), values=True, axis=2)
    selected_nLE: NDArray[np.bool_] = mask[..., :num_experts]
    return selected_nLE
