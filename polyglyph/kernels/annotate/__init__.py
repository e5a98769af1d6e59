"""Annotate: once per step, on the device, which request, phase and edit table slot every scheduled token has."""

from torch import Tensor

from polyglyph.kernels.annotate.markers import MarkerAutomaton
from polyglyph.kernels.annotate.rows import (
    ANSWER,
    NEUTRAL_ROW,
    PROMPT,
    REASONING,
    RequestRows,
    TokenNotes,
    seed_ring,
)
from polyglyph.kernels.choice import implementation

__all__ = [
    "ANSWER",
    "NEUTRAL_ROW",
    "PROMPT",
    "REASONING",
    "MarkerAutomaton",
    "RequestRows",
    "TokenNotes",
    "annotate",
    "seed_ring",
]


def annotate(
    *,
    row_R: Tensor,
    query_start_R1: Tensor,
    start_position_R: Tensor,
    input_ids_T: Tensor,
    num_tokens: int,
    rows: RequestRows,
    automaton: MarkerAutomaton,
    out: TokenNotes,
) -> None:
    """Note row, position, phase and slot of every token of the step, and carry the markers' state on.

    All tensors are contiguous and on one device. R may be 0 or padded with neutral rows of no tokens, and no request of
    a neutral row has tokens.

    Args:
        row_R: int32 row of each scheduled request, each at most once; `NEUTRAL_ROW` for nobody.
        query_start_R1: int32; request r has the tokens from query_start_R1[r] to before query_start_R1[r + 1].
            May be longer, as the other inputs may; all stay where they are from step to step.
        start_position_R: int32 position of each request's first scheduled token.
        input_ids_T: int32 or int64 token ids; what lies behind the step's tokens is not read.
        num_tokens: Tokens of this step without padding, 0 for an idle step; tokens from there on are neutral.
        rows: The running requests; their rings are written at positions of generated tokens.
        automaton: On the same device.
        out: Overwritten whole, the range behind the step's tokens with the neutral row, position, phase and slot (0).
    """
    implementation("annotate", row_R.device).annotate(
        row_R=row_R,
        query_start_R1=query_start_R1,
        start_position_R=start_position_R,
        input_ids_T=input_ids_T,
        num_tokens=num_tokens,
        rows=rows,
        automaton=automaton,
        out=out,
    )
