"""`label_scripts` for CPU tensors and the host: one pass over the tokens, compiled by Numba.

Letters: T tokens, R requests, P request rows, V tokens of the vocabulary.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polyglyph.kernels.arrays import ABSENT, Arrays, array_of, arrays_of
from polyglyph.kernels.compiled import compiled
from polyglyph.kernels.label_scripts.classes import AMBIGUOUS, LETTER, NO_SCRIPT, NOTHING
from polyglyph.kernels.label_scripts.rows import (
    CODE_MASK,
    EMPTY,
    LAST_SHIFT,
    LENGTH_SHIFT,
    MISSING_SHIFT,
    PENDING_MASK,
    SCRIPTED_SHIFT,
    LabelRows,
)
from polyglyph.kernels.label_scripts.table import (
    ATTACHES,
    BREAK,
    FIRST_REGION,
    HEAD_BITS,
    HEAD_LEN_SHIFT,
    NO_RANGE,
    OUTVOTES,
    LabelTable,
)

Array = NDArray[Any]
Int = Any
"""np.int64 in compiled code, where an unsigned byte would turn sums into floats."""


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
    """See `polyglyph.kernels.label_scripts.label_scripts`. Works on the tensors' own memory."""
    _label_rows(
        array_of(row_R),
        array_of(query_start_R1),
        ABSENT if num_valid_R is None else num_valid_R.numpy(),
        array_of(input_ids_T),
        num_tokens,
        array_of(rows.state_P),
        arrays_of(table),
        array_of(out_T),
    )


def run(table: LabelTable, token_ids: Array, state: int = EMPTY) -> tuple[Array, int]:
    """See `polyglyph.kernels.label_scripts.run`."""
    ids = np.ascontiguousarray(token_ids, dtype=np.int64)
    labels = np.empty(len(ids), dtype=np.uint8)
    after = _label_chunk(ids, len(ids), np.int64(state), arrays_of(table), labels)
    return labels, int(after)


@compiled
def _label_rows(
    row_R: Array,
    query_start_R1: Array,
    num_valid_R: Array,
    ids_T: Array,
    num_tokens: Int,
    state_P: Array,
    columns: Arrays,
    out_T: Array,
) -> None:
    out_T[:num_tokens] = NO_SCRIPT
    for request, row in enumerate(row_R):
        begin, end = min(query_start_R1[request], num_tokens), min(query_start_R1[request + 1], num_tokens)
        if row != 0 and begin < end:
            num_valid = num_valid_R[request] if len(num_valid_R) else end - begin
            state_P[row] = _label_chunk(ids_T[begin:end], num_valid, state_P[row], columns, out_T[begin:end])


@compiled
def _label_chunk(ids: Array, num_valid: Int, state: Int, columns: Arrays, out: Array) -> Int:
    """Label every token; give the state after the first `num_valid`."""
    label_V, end_V, scripted_V, flags_V, head_V, tail_V, characters, ranges_B, is_home_SB = columns
    num_tokens = len(label_V) - 1
    pending, last, scripted = state & PENDING_MASK, state >> LAST_SHIFT & 0xFF, state >> SCRIPTED_SHIFT & 0xFF
    kept, num_kept = state, min(num_valid, len(ids))
    for index in range(len(ids)):
        token = ids[index] if 0 <= ids[index] < num_tokens else num_tokens
        flags, end, head, tail = flags_V[token], end_V[token], np.int64(head_V[token]), np.int64(tail_V[token])
        label, completed = np.int64(label_V[token]), np.int64(NO_SCRIPT)
        if flags & BREAK:
            label, pending, last = np.int64(NO_SCRIPT), np.int64(0), np.int64(NO_SCRIPT)
        else:
            pending, code, num_taken = _take(pending, head)
            if code >= 0:
                character = np.int64(characters[code])
                completed = last if character >= LETTER else character
                last, scripted = completed, completed or scripted
            if num_taken < head >> HEAD_LEN_SHIFT or (pending and (end != NOTHING or tail)):
                pending, last = 0, NO_SCRIPT
            if end != NOTHING:
                label = last if flags & ATTACHES and last else label
                last = last if end >= LETTER else np.int64(end)
                scripted = np.int64(scripted_V[token]) or scripted
            pending = pending or tail
            label = completed if completed and not flags & OUTVOTES else label or completed
            if not label and pending:
                label = _guess(pending, last, scripted, ranges_B, is_home_SB)
        out[index] = label
        if index + 1 == num_kept:
            kept = scripted << SCRIPTED_SHIFT | last << LAST_SHIFT | pending
    return kept


@compiled
def _take(pending: Int, head: Int) -> tuple[Int, Int, Int]:
    """Give what is unfinished after a head, the code point that it completed or -1, and how many bytes fitted."""
    num_taken, code = 0, -1
    while pending and num_taken < min(head >> HEAD_LEN_SHIFT, 3):
        extended = _extend(pending, head >> HEAD_BITS * num_taken & 0x3F)
        if extended < 0:
            break
        pending, num_taken = extended, num_taken + 1
        if pending >> MISSING_SHIFT & 3 == 0:
            pending, code = 0, pending & CODE_MASK
    return pending, code, num_taken


@compiled
def _extend(pending: Int, bits: Int) -> Int:
    """Give the unfinished character with one more byte, or -1 where UTF-8 forbids it (Unicode, table 3-7)."""
    length, missing = pending >> LENGTH_SHIFT, pending >> MISSING_SHIFT & 3
    code = (pending & CODE_MASK) << HEAD_BITS | bits
    if length == 3 and missing == 2 and (code < 0x20 or 0x360 <= code <= 0x37F):
        return -1
    if length == 4 and missing == 3 and not 0x10 <= code <= 0x10F:
        return -1
    return length << LENGTH_SHIFT | missing - 1 << MISSING_SHIFT | code


@compiled
def _guess(pending: Int, last: Int, scripted: Int, ranges_B: Array, is_home_SB: Array) -> Int:
    code, missing = pending & CODE_MASK, pending >> MISSING_SHIFT & 3
    index = code if missing == 1 else FIRST_REGION + code if missing == 2 else NO_RANGE
    guess = np.int64(ranges_B[index])
    if guess == AMBIGUOUS or is_home_SB[scripted, index]:
        return scripted
    return last if guess >= LETTER else guess
