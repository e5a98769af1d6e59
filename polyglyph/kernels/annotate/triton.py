"""`annotate` as one Triton kernel: a program for each request, then programs that refill the padding.

Shapes: T tokens, R requests, P request rows, W ring width, S states, C marker tokens.
"""

import triton
import triton.language as tl
from torch import Tensor

from polyglyph.kernels.annotate.markers import MarkerAutomaton
from polyglyph.kernels.annotate.rows import RequestRows, TokenNotes

BLOCK_T = 256
REFILL_T = 1024


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
    """See `polyglyph.kernels.annotate.annotate`. Neither reads on the host nor allocates; graphs may capture it."""
    num_requests, max_num_tokens = row_R.shape[0], out.row_T.shape[0]
    num_marker_tokens = automaton.tokens.shape[0]
    # One warp: within it a ring cell is read for all lanes before any lane overwrites it.
    _annotate_kernel[(num_requests + triton.cdiv(max_num_tokens, REFILL_T),)](
        row_R,
        query_start_R1,
        start_position_R,
        input_ids_T,
        rows.prompt_len_P,
        rows.start_state_P,
        rows.ring_PW,
        rows.slots_P3,
        automaton.tokens,
        automaton.table,
        automaton.is_reasoning,
        out.row_T,
        out.position_T,
        out.phase_T,
        out.slot_T,
        num_requests,
        num_tokens,
        max_num_tokens,
        RING_WIDTH=rows.ring_PW.shape[1],
        C=num_marker_tokens,
        BLOCK_C=triton.next_power_of_2(max(num_marker_tokens, 1)),
        BLOCK_T=BLOCK_T,
        REFILL_T=REFILL_T,
        num_warps=1,
    )


@triton.jit(do_not_specialize=["num_requests", "num_tokens", "max_num_tokens"])
def _annotate_kernel(
    row_R, query_start_R1, start_position_R, input_ids_T,
    prompt_len_P, start_state_P, ring_PW, slots_P3,
    tokens_C, table_SC, is_reasoning_S,
    out_row_T, out_position_T, out_phase_T, out_slot_T,
    num_requests, num_tokens, max_num_tokens,
    RING_WIDTH: tl.constexpr, C: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr, REFILL_T: tl.constexpr,
):  # fmt: skip
    request = tl.program_id(0)
    if request >= num_requests:
        end = tl.minimum(tl.load(query_start_R1 + num_requests), num_tokens)
        index = (request - num_requests) * REFILL_T + tl.arange(0, REFILL_T)
        is_padding = (index >= end) & (index < max_num_tokens)
        tl.store(out_row_T + index, 0, mask=is_padding)
        tl.store(out_position_T + index, 0, mask=is_padding)
        tl.store(out_phase_T + index, 0, mask=is_padding)
        tl.store(out_slot_T + index, 0, mask=is_padding)
        return

    row = tl.load(row_R + request)
    begin = tl.minimum(tl.load(query_start_R1 + request), num_tokens)
    end = tl.minimum(tl.load(query_start_R1 + request + 1), num_tokens)
    start = tl.load(start_position_R + request)
    prompt_len = tl.load(prompt_len_P + row)
    slots = slots_P3 + row.to(tl.int64) * 3
    prompt_slot = tl.load(slots)
    prompt_end = tl.minimum(tl.maximum(begin + prompt_len.to(tl.int64) - start, begin), end)

    for block in range(begin, end, BLOCK_T):
        index = block + tl.arange(0, BLOCK_T)
        is_token = index < end
        tl.store(out_row_T + index, row, mask=is_token)
        tl.store(out_position_T + index, start + index - begin, mask=is_token)
        tl.store(out_phase_T + index, 0, mask=index < prompt_end)
        tl.store(out_slot_T + index, prompt_slot, mask=index < prompt_end)

    if prompt_end < end:
        ring = ring_PW + row.to(tl.int64) * RING_WIDTH
        carried = tl.load(ring + tl.maximum(start - 1, 0) % RING_WIDTH)
        state = tl.where(start > prompt_len, carried, tl.load(start_state_P + row))
        marker = tl.arange(0, BLOCK_C)
        token_C = tl.load(tokens_C + marker, mask=marker < C, other=-1)
        for index in range(prompt_end, end):
            token = tl.load(input_ids_T + index)
            token_class = tl.sum(tl.where((token_C == token) & (marker < C), marker + 1, 0))
            state = tl.load(table_SC + state.to(tl.int64) * (C + 1) + token_class)
            phase = tl.where(tl.load(is_reasoning_S + state) != 0, 1, 2)
            tl.store(out_phase_T + index, phase)
            tl.store(out_slot_T + index, tl.load(slots + phase))
            tl.store(ring + (start + index - begin) % RING_WIDTH, state)
