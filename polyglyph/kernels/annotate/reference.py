"""`annotate` in plain torch, request by request and token by token: the meaning, on any device, at no speed."""

from torch import Tensor

from polyglyph.kernels.annotate.markers import MarkerAutomaton
from polyglyph.kernels.annotate.rows import ANSWER, PROMPT, REASONING, RequestRows, TokenNotes


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
    """See `polyglyph.kernels.annotate.annotate`."""
    for note_T in (out.row_T, out.position_T, out.phase_T, out.slot_T):
        note_T.zero_()
    for request, row in enumerate(row_R.tolist()):
        begin, end = query_start_R1[request : request + 2].clamp(max=num_tokens).tolist()
        start = int(start_position_R[request])
        for index in range(begin, end):
            position = start + index - begin
            phase = _advance(row, position, int(input_ids_T[index]), rows, automaton)
            out.row_T[index] = row
            out.position_T[index] = position
            out.phase_T[index] = phase
            out.slot_T[index] = rows.slots_P3[row, phase]


def _advance(row: int, position: int, token: int, rows: RequestRows, automaton: MarkerAutomaton) -> int:
    """Give the token's phase, and write the state after it into the ring if it was generated."""
    prompt_len, width = int(rows.prompt_len_P[row]), rows.ring_PW.shape[1]
    if position < prompt_len:
        return PROMPT
    before = rows.start_state_P[row] if position == prompt_len else rows.ring_PW[row, (position - 1) % width]
    classes = [0, *(index + 1 for index, marker in enumerate(automaton.tokens.tolist()) if marker == token)]
    after = automaton.table[before, classes[-1]]
    rows.ring_PW[row, position % width] = after
    return REASONING if automaton.is_reasoning[after] else ANSWER
