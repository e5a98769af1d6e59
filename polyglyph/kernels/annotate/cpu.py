"""`annotate` for CPU tensors, in NumPy, whose small operations cost a third of torch's.

Shapes: T tokens, G generated tokens among them, R requests, P request rows, W ring width, S states, C marker tokens.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polyglyph.kernels.annotate.markers import MarkerAutomaton
from polyglyph.kernels.annotate.rows import ANSWER, REASONING, RequestRows, TokenNotes

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
    bounds_R1 = np.minimum(query_start_R1.numpy(), num_tokens)
    count = int(bounds_R1[-1])
    notes = [note_T.numpy() for note_T in (out.row_T, out.position_T, out.phase_T, out.slot_T)]
    for note_T in notes:
        note_T[count:] = 0
    if count == 0:
        return

    length_R = bounds_R1[1:] - bounds_R1[:-1]
    request_T = np.arange(len(length_R)).repeat(length_R)
    row_T = row_R.numpy().take(request_T).astype(np.intp)
    position_T = np.arange(count) + (start_position_R.numpy() - bounds_R1[:-1]).take(request_T)
    phase_T = np.zeros(count, dtype=np.intp)
    index_G = (position_T >= rows.prompt_len_P.numpy().take(row_T)).nonzero()[0]
    if len(index_G):
        ids_G = input_ids_T.numpy().take(index_G)
        phase_T[index_G] = _walk(request_T[index_G], row_T[index_G], position_T[index_G], ids_G, rows, automaton)
    slot_T = rows.slots_P3.numpy().reshape(-1).take(row_T * 3 + phase_T)
    for note_T, values_T in zip(notes, (row_T, position_T, phase_T, slot_T), strict=True):
        note_T[:count] = values_T


def _walk(
    request_G: Array, row_G: Array, position_G: Array, ids_G: Array, rows: RequestRows, automaton: MarkerAutomaton
) -> Array:
    """Give the phases of all generated tokens, and leave the states behind them in the rings."""
    is_first_G = np.ones(len(request_G), dtype=bool)
    np.not_equal(request_G[1:], request_G[:-1], out=is_first_G[1:])
    if is_first_G.all():
        before_G = _entry_states(row_G, position_G, rows)
        after_G = automaton.table.numpy()[before_G, _classes(ids_G, automaton)]
        _remember(row_G, position_G, after_G, rows)
    else:
        first, width = is_first_G.nonzero()[0], rows.ring_PW.shape[1]
        length = np.diff(first, append=len(request_G))
        entry = _entry_states(row_G[first], position_G[first], rows)
        after_G = _carry(automaton.table.numpy().T[_classes(ids_G, automaton)], first, entry, longest=length.max())
        # What a later token of the chunk overwrites is left out: NumPy promises no order of writes.
        kept = (first + length).repeat(length) - np.arange(len(request_G)) <= width
        _remember(row_G[kept], position_G[kept], after_G[kept], rows)
    return np.where(automaton.is_reasoning.numpy()[after_G], REASONING, ANSWER)


def _remember(row_G: Array, position_G: Array, state_G: Array, rows: RequestRows) -> None:
    ring_PW = rows.ring_PW.numpy()
    ring_PW[row_G, position_G % ring_PW.shape[1]] = state_G


def _entry_states(row: Array, position: Array, rows: RequestRows) -> Array:
    """Give the state before each chunk's first generated token."""
    ring_PW = rows.ring_PW.numpy()
    is_start = position == rows.prompt_len_P.numpy()[row]
    carried = ring_PW[row, (position - 1) % ring_PW.shape[1]]
    return np.where(is_start, rows.start_state_P.numpy()[row], carried)


def _classes(ids_G: Array, automaton: MarkerAutomaton) -> Array:
    """Give each token's class: 0 for no marker token, c + 1 for marker token c."""
    tokens = automaton.tokens.numpy()
    is_marker_GC: Array = ids_G[:, None] == tokens
    classes_G: Array = is_marker_GC @ np.arange(1, len(tokens) + 1)
    return classes_G


def _carry(map_GS: Array, first: Array, entry: Array, *, longest: int) -> Array:
    """Give the states after each token: compose the maps of each chunk's tokens by doubling (Hillis and Steele, 1986).

    A chunk's first map is made constant, so that nothing before it matters.
    """
    map_GS = np.ascontiguousarray(map_GS)
    map_GS[first] = map_GS[first, entry][:, None]
    distance = 1
    while distance < longest:
        map_GS[distance:] = np.take_along_axis(map_GS[distance:], map_GS[:-distance], axis=1)
        distance *= 2
    return map_GS[:, 0]
