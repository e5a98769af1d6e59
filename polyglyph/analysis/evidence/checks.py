"""What must hold of counts before anything is computed from them.

Letters of shapes: N rows, L MoE layers, E experts.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.model_shape import ModelShape

LARGEST = 2**53
"""Up to here float64 holds every whole number, so that dividing counts loses nothing."""
NO_SCRIPT = ("Zyyy", "Zzzz")
"""Scripts of what has none: digits, punctuation, template tokens, and tokens that found no free group."""
COLUMNS = ("sequence", "item", "request_script", "script", "phase", "plan", "tag")
"""Labels that every row has; labels of the user's own come after them."""


def check_counts(
    model: ModelShape,
    labels: pl.DataFrame,
    tokens_N: NDArray[Any],
    selected_NLE: NDArray[Any],
    weight_NLE: NDArray[Any] | None,
) -> None:
    """Refuse counts that no model can have made.

    Raises:
        EvidenceError: Says what was expected and what came.
    """
    _check_labels(labels, num_rows=len(tokens_N))
    _check_shapes(model, tokens_N, selected_NLE, weight_NLE)
    _check_values(tokens_N, selected_NLE)
    if weight_NLE is not None and not np.isfinite(weight_NLE).all():
        raise EvidenceError("expected finite sums of routing weights, got one that is not: read the evidence again")


def _check_labels(labels: pl.DataFrame, *, num_rows: int) -> None:
    if missing := [column for column in COLUMNS if column not in labels.columns]:
        raise EvidenceError(f"expected the labels {', '.join(COLUMNS)}, got none named {missing[0]!r}")
    if wrong := [name for name, dtype in labels.schema.items() if dtype != pl.String or labels[name].null_count()]:
        raise EvidenceError(f"expected a text as {wrong[0]!r} of every row, got {labels.schema[wrong[0]]} or nothing")
    if labels.height != num_rows:
        raise EvidenceError(f"expected labels of {num_rows} rows, got {labels.height}")


def _check_shapes(
    model: ModelShape, tokens_N: NDArray[Any], selected_NLE: NDArray[Any], weight_NLE: NDArray[Any] | None
) -> None:
    if tokens_N.dtype != np.int64 or selected_NLE.dtype not in {np.dtype(np.int32), np.dtype(np.int64)}:
        raise EvidenceError(
            f"expected counts as int64 tokens and int32 or int64 selections, got {tokens_N.dtype} and "
            f"{selected_NLE.dtype}"
        )
    shape = (len(tokens_N), model.layers, model.experts)
    for name, array in (("selections", selected_NLE), ("weights", weight_NLE)):
        if array is not None and array.shape != shape:
            raise EvidenceError(
                f"expected {name} of {shape[0]} rows, {shape[1]} layers and {shape[2]} experts, got {array.shape}"
            )


def _check_values(tokens_N: NDArray[Any], selected_NLE: NDArray[Any]) -> None:
    if not len(tokens_N):
        raise EvidenceError("expected counts of one row or more, got none: nothing was recorded")
    lowest = min(int(tokens_N.min()), int(selected_NLE.min(initial=0)))
    if lowest < 0:
        raise EvidenceError(f"expected counts of 0 or more, got {lowest}: the evidence is damaged")
    # Float: the sum of several huge counts would wrap round.
    total = float(tokens_N.sum(dtype=np.float64))
    if total > LARGEST:
        raise EvidenceError(
            f"expected at most {LARGEST} tokens (2^53, beyond which shares are no longer exact), got {total:.4g}"
        )
    if (selected_NLE.max(axis=(1, 2), initial=0) > tokens_N).any():
        row = int(np.argmax(selected_NLE.max(axis=(1, 2), initial=0) > tokens_N))
        raise EvidenceError(
            f"expected every expert to be selected at most once per token, got {int(selected_NLE[row].max())} "
            f"selections by {int(tokens_N[row])} tokens in row {row}: the evidence is damaged"
        )
