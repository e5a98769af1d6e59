"""The table of a method: arrays over layers and experts as rows, best first.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

KEY = ("layer", "expert")


def expert_table(
    score_LE: NDArray[Any],
    chosen_LE: NDArray[np.bool_],
    columns: Mapping[str, NDArray[Any]],
    *,
    rank_LE: NDArray[Any] | None = None,
) -> "pl.DataFrame":
    """Lay arrays out as rows.

    Args:
        score_LE: The method's score.
        chosen_LE: Which experts it chose.
        columns: Further arrays [L, E] by column; NaN and infinity become null.
        rank_LE: What rows are ordered by, the largest first and NaN last; the score's magnitude unless given. Chosen
            rows go before others.

    Returns:
        A row per layer and expert.
    """
    import polars as pl

    layers, experts = np.indices(score_LE.shape)
    rank = np.abs(score_LE) if rank_LE is None else np.asarray(rank_LE, dtype=np.float64)
    order = np.lexsort((layers.ravel(), experts.ravel(), -np.nan_to_num(rank, nan=-np.inf).ravel(), ~chosen_LE.ravel()))
    arrays = {"layer": layers, "expert": experts, "score": score_LE, "chosen": chosen_LE, **columns}
    return pl.DataFrame([_column(name, array.ravel()[order]) for name, array in arrays.items()])


def _column(name: str, values: NDArray[Any]) -> "pl.Series":
    import polars as pl

    if not np.issubdtype(values.dtype, np.floating):
        return pl.Series(name, values)
    found = values.astype(np.float64)
    return pl.Series(name, np.where(np.isfinite(found), found, np.nan)).fill_nan(None)
