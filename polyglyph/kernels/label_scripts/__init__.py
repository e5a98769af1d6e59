"""Label scripts: once per engine step, on the device, the script of every token from itself and what came before."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from polyglyph.kernels.choice import implementation
from polyglyph.kernels.label_scripts.rows import EMPTY, LabelRows, seed
from polyglyph.kernels.label_scripts.table import LabelTable

__all__ = ["EMPTY", "LabelRows", "LabelTable", "label_scripts", "run", "seed"]


def label_scripts(
    *,
    row_R: Tensor,
    query_start_R1: Tensor,
    num_valid_R: Tensor | None,
    input_ids_T: Tensor,
    num_tokens: int,
    rows: LabelRows,
    table: LabelTable,
    out_T: Tensor,
) -> None:
    """Label every token of the step, and carry each request's state on.

    All tensors are on one device. R may be 0 or padded with neutral rows of no tokens. Labels do not depend on how a
    request's tokens are cut into steps, nor on the other requests of a step.

    Args:
        row_R: int32 row of each scheduled request, each at most once; 0 for nobody, whose tokens are labelled 0.
        query_start_R1: int32; request r has the tokens from query_start_R1[r] to before query_start_R1[r + 1].
            May be longer, as the other inputs may; all stay where they are from step to step.
        num_valid_R: Integers, how many of each request's tokens stay: rejected drafts behind them leave no trace.
            None where all stay.
        input_ids_T: int32 or int64 token ids; those outside the vocabulary have no script.
        num_tokens: Tokens of this step without padding, 0 for an idle step.
        rows: State after the tokens before this step; written.
        table: Of the model's vocabulary.
        out_T: uint8, at least `num_tokens` elements; overwritten as far as `num_tokens`.
    """
    implementation("label_scripts", out_T.device).label_scripts(
        row_R=row_R,
        query_start_R1=query_start_R1,
        num_valid_R=num_valid_R,
        input_ids_T=input_ids_T,
        num_tokens=num_tokens,
        rows=rows,
        table=table,
        out_T=out_T,
    )


def run(table: LabelTable, token_ids: Sequence[int] | np.ndarray, state: int = EMPTY) -> tuple[np.ndarray, int]:
    """Label tokens on the host, as the device would; the table must be on the CPU.

    Args:
        table: Of the model's vocabulary.
        token_ids: Any integers.
        state: State before them.

    Returns:
        uint8 labels, and the state after the last token.
    """
    # Imported here: Numba is not to be imported before the model is loaded.
    from polyglyph.kernels.label_scripts import cpu

    return cpu.run(table, np.asarray(token_ids, dtype=np.int64), state)
