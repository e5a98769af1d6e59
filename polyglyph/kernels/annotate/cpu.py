"""`annotate` for CPU tensors: one pass over the tokens, compiled by Numba.

Shapes: T tokens, R requests, P request rows, W ring width, S states, C marker tokens.
"""

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from polyglyph.kernels.annotate.markers import MarkerAutomaton
from polyglyph.kernels.annotate.rows import ANSWER, NEUTRAL_ROW, PROMPT, REASONING, RequestRows, TokenNotes
from polyglyph.kernels.arrays import Arrays, array_of, arrays_of
from polyglyph.kernels.compiled import compiled

Array = NDArray[Any]


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
    """See `polyglyph.kernels.annotate.annotate`. Works on the tensors' own memory."""
    _annotate(
        array_of(row_R),
        array_of(query_start_R1),
        array_of(start_position_R),
        array_of(input_ids_T),
        num_tokens,
        arrays_of(rows),
        arrays_of(automaton),
        arrays_of(out),
    )


@compiled
def _annotate(
    row_R: Array,
    query_start_R1: Array,
    start_R: Array,
    ids_T: Array,
    num_tokens: int,
    rows: Arrays,
    automaton: Arrays,
    notes: Arrays,
) -> None:
    prompt_len_P, start_state_P, ring_PW, slots_P3 = rows
    tokens_C, table_SC, is_reasoning_S = automaton
    row_T, position_T, phase_T, slot_T = notes
    width, end = ring_PW.shape[1], 0
    for request in range(len(row_R)):
        begin, end = min(query_start_R1[request], num_tokens), min(query_start_R1[request + 1], num_tokens)
        row, position = row_R[request], start_R[request]
        prompt_len, state = prompt_len_P[row], start_state_P[row]
        if position > prompt_len:
            state = ring_PW[row, (position - 1) % width]
        for token in range(begin, end):
            phase = PROMPT
            if position >= prompt_len:
                state = table_SC[state, _class_of(ids_T[token], tokens_C)]
                ring_PW[row, position % width] = state
                phase = REASONING if is_reasoning_S[state] else ANSWER
            row_T[token], position_T[token], phase_T[token] = row, position, phase
            slot_T[token] = slots_P3[row, phase]
            position += 1
    for token in range(end, len(row_T)):
        if row_T[token] == NEUTRAL_ROW:
            # Tokens have rows: the step before went no further.
            break
        row_T[token] = position_T[token] = phase_T[token] = slot_T[token] = 0


@compiled
def _class_of(token_id: int, tokens_C: Array) -> int:
    """Give a token's class: 0 for no marker token, c + 1 for marker token c."""
    for index in range(len(tokens_C)):
        if tokens_C[index] == token_id:
            return index + 1
    return 0
