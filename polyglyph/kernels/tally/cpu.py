"""`tally` for CPU tensors: one pass over the tokens, compiled by Numba.

Letters: P request rows, R requests, T tokens, C cells, G rows of sums, L MoE layers, E experts, K selected experts.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.arrays import ABSENT, Arrays, array_of, arrays_of
from polyglyph.kernels.compiled import compiled
from polyglyph.kernels.tally.account import NO_SUMMARY, Account
from polyglyph.kernels.tally.interval import MISSING, IntervalSums
from polyglyph.kernels.tally.step import TallyStep, TokenLog
from polyglyph.kernels.tally.sums import Sums

Array = NDArray[Any]
_NUM_PHASES = len(PHASES)
_NO_SUMS = (np.zeros((0, 0, 0), np.int64), np.zeros((0, 0, 0)), np.zeros(0, np.int64))
_NO_CELLS = tuple(np.zeros(1, np.int64) for _ in range(4))


def tally(
    step: TallyStep,
    log: TokenLog,
    *,
    account: Account,
    interval: IntervalSums | None,
    summaries: Sums | None,
    counts_T: Tensor,
    has_receipts: bool,  # noqa: ARG001 - the account costs nothing here
) -> None:
    """See `polyglyph.kernels.tally.tally`."""
    notes = log.notes
    num_valid_R = ABSENT if step.num_valid_R is None else step.num_valid_R.numpy()
    _tally(
        (array_of(step.row_R), array_of(step.query_start_R1), array_of(step.start_R), num_valid_R),
        step.num_tokens,
        (array_of(notes.phase_T), array_of(notes.slot_T)),
        arrays_of(log),
        arrays_of(account),
        0 if interval is None else interval.num_scripts,
        _NO_CELLS if interval is None else arrays_of(interval),
        _NO_SUMS if interval is None else arrays_of(interval.sums),
        _NO_SUMS if summaries is None else arrays_of(summaries),
        array_of(counts_T),
    )


@compiled
def _tally(
    requests: Arrays,
    num_tokens: int,
    notes: Arrays,
    log: Arrays,
    account: Arrays,
    num_scripts: int,
    cells: Arrays,
    interval: Arrays,
    summaries: Arrays,
    counts_T: Array,
) -> None:
    row_R, query_start_R1, start_R, num_valid_R = requests
    phase_T, slot_T = notes
    script_T, _, _, changed_LT = log
    group_P, summaries_P3, high_water_P, steered_P, changed_P = account
    counts_T[:num_tokens] = False
    for request in range(len(row_R)):
        row, begin = row_R[request], query_start_R1[request]
        num_valid = num_valid_R[request] if len(num_valid_R) else query_start_R1[request + 1] - begin
        # Positions below the mark were counted before: preemption computes them again.
        first = max(high_water_P[row] - start_R[request], 0)
        end = min(begin + num_valid, query_start_R1[request + 1], num_tokens)
        high_water_P[row] = max(high_water_P[row], start_R[request] + num_valid)
        for token in range(begin + first, end):
            counts_T[token] = True
            phase = phase_T[token]
            if num_scripts:
                cell = (group_P[row] * num_scripts + script_T[token]) * _NUM_PHASES + phase
                _add(_row_of(cell, phase, cells, len(interval[2]) - 1), token, log, interval)
            if len(summaries[2]) and summaries_P3[row, phase] != NO_SUMMARY:
                _add(summaries_P3[row, phase], token, log, summaries)
            if slot_T[token]:
                steered_P[row] += 1
                for layer in range(changed_LT.shape[0]):
                    changed_P[row] += changed_LT[layer, token]


@compiled
def _row_of(cell: int, phase: int, cells: Arrays, num_rows: int) -> int:
    """Give a cell's row; the next free one where it has none yet, the overflow's where none is free."""
    num_used, cell_of_row_G, row_of_cell_C, _ = cells
    if row_of_cell_C[cell] == MISSING:
        if num_used[0] < num_rows:
            row_of_cell_C[cell] = num_used[0]
            cell_of_row_G[num_used[0]] = cell
            num_used[0] += 1
        else:
            row_of_cell_C[cell] = phase
    row: int = row_of_cell_C[cell]
    return row


@compiled
def _add(row: int, token: int, log: Arrays, sums: Arrays) -> None:
    _, ids_LTK, weights_LTK, _ = log
    selected_GLE, weight_sum_GLE, tokens_G = sums
    tokens_G[row] += 1
    for layer in range(ids_LTK.shape[0]):
        for place in range(ids_LTK.shape[2]):
            expert = ids_LTK[layer, token, place]
            if expert >= 0:
                selected_GLE[row, layer, expert] += 1
                weight_sum_GLE[row, layer, expert] += weights_LTK[layer, token, place]
