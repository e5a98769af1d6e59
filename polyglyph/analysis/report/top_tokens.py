"""Top tokens: which tokens of the vocabulary go to an expert more often than others do.

Letters of shapes: n tokens, V token ids that occur, P tokens per expert, L MoE layers, E experts, K selected experts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_EXPERT = 8
FEWEST = 2
"""A token must have gone to the expert this often."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TopTokens:
    """The tokens of each expert, the one with the largest excess first.

    Attributes:
        ids_V: int64, the token ids that occur.
        index_LEP: int64, places in `ids_V`.
        count_LEP: int64, how often the token went to the expert; 0 where there is no further token.
        share_LEP: float64, of the token's occurrences.
    """

    ids_V: NDArray[np.int64]
    index_LEP: NDArray[np.int64]
    count_LEP: NDArray[np.int64]
    share_LEP: NDArray[np.float64]


def top_tokens_of(token_ids_n: NDArray[Any], ids_nLK: NDArray[Any], num_experts: int) -> TopTokens:
    """Find each expert's tokens.

    Tokens are ordered by excess: how often they went to the expert, less how often as many tokens of any kind did. So a
    frequent token leads only where it goes more often than others, and a rare one only where it goes often.

    Args:
        token_ids_n: Vocabulary ids, 0 or more.
        ids_nLK: Selected experts; the dtype's largest value where unknown.
        num_experts: E.
    """
    ids_V, index_n, number_V = np.unique(token_ids_n, return_inverse=True, return_counts=True)
    num_layers = ids_nLK.shape[1]
    shape = (num_layers, num_experts, min(PER_EXPERT, len(ids_V)))
    index_LEP, count_LEP = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for layer in range(num_layers):
        count_VE = _table(index_n.reshape(-1), ids_nLK[:, layer], (len(ids_V), num_experts))
        share_E = count_VE.sum(axis=0) / len(token_ids_n)
        excess_VE = np.where(count_VE >= FEWEST, count_VE - number_V[:, None] * share_E, 0.0)
        top_PE = np.argsort(-excess_VE, axis=0, kind="stable")[: shape[2]]
        is_more_PE = np.take_along_axis(excess_VE, top_PE, axis=0) > 0
        index_LEP[layer] = top_PE.T
        count_LEP[layer] = np.where(is_more_PE, np.take_along_axis(count_VE, top_PE, axis=0), 0).T
    return TopTokens(
        ids_V=ids_V.astype(np.int64),
        index_LEP=index_LEP,
        count_LEP=count_LEP,
        share_LEP=count_LEP / number_V[index_LEP],
    )


def _table(index_n: NDArray[np.int64], ids_nK: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.int64]:
    is_known_nK = ids_nK != np.iinfo(ids_nK.dtype).max
    cells = (index_n[:, None] * shape[1] + ids_nK)[is_known_nK]
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
