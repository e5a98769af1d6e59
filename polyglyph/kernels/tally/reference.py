"""`tally` in plain torch: the meaning, and what runs on devices, where it reads nothing back to the host.

Letters: P request rows, R requests, T tokens, C cells, G rows of sums, L MoE layers, E experts, K selected experts.
"""

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.tally.account import NO_SUMMARY, Account
from polyglyph.kernels.tally.interval import MISSING, IntervalSums
from polyglyph.kernels.tally.step import TallyStep, TokenLog
from polyglyph.kernels.tally.sums import Sums

UNSTEERED = 0


def tally(
    step: TallyStep,
    log: TokenLog,
    *,
    account: Account,
    interval: IntervalSums | None,
    summaries: Sums | None,
    counts_T: Tensor,
    has_receipts: bool,
) -> None:
    """See `polyglyph.kernels.tally.tally`."""
    used = slice(0, step.num_tokens)
    row_T, phase_T = log.notes.row_T[used].long(), log.notes.phase_T[used].long()
    new_T = _take_new(step, log, account, row_T)
    counts_T[used] = new_T
    if interval is not None:
        cell_T = interval.cells(account.group_P[row_T], log.script_T[used].long(), phase_T)
        cell_T = torch.where(new_T, cell_T, interval.trash_cell)
        _add(interval.sums, _claim(interval, cell_T, phase_T), log, used)
    if has_receipts:
        _add_steered(log, used, account, row_T, new_T)
    if summaries is not None:
        own_T = account.summaries_P3[row_T, phase_T]
        _add(summaries, torch.where(new_T & (own_T != NO_SUMMARY), own_T, summaries.trash), log, used)


def _add_steered(log: TokenLog, used: slice, account: Account, row_T: Tensor, new_T: Tensor) -> None:
    steered_T = new_T & (log.notes.slot_T[used] != UNSTEERED)
    account.steered_P.scatter_add_(0, row_T, steered_T.long())
    account.changed_P.scatter_add_(0, row_T, (log.changed_LT[:, used] & steered_T).sum(dim=0))


def _take_new(step: TallyStep, log: TokenLog, account: Account, row_T: Tensor) -> Tensor:
    """Find the tokens that count for the first time, and raise the high-water marks."""
    num_requests = len(step.row_R)
    num_valid_R = step.num_valid_R
    if num_valid_R is None:
        num_valid_R = step.query_start_R1[: num_requests + 1].diff()
    limit_P = torch.zeros_like(account.high_water_P)
    limit_P[step.row_R.long()] = step.start_R[:num_requests] + num_valid_R
    position_T = log.notes.position_T[: step.num_tokens]
    new_T = (position_T < limit_P[row_T]) & (position_T >= account.high_water_P[row_T])
    torch.maximum(account.high_water_P, limit_P, out=account.high_water_P)
    return new_T


def _claim(interval: IntervalSums, cell_T: Tensor, phase_T: Tensor) -> Tensor:
    """Give each token the row of its cell; cells that have none yet take the next free ones."""
    missing_T = interval.row_of_cell_C[cell_T] == MISSING
    index_T = torch.arange(len(cell_T), device=cell_T.device)
    # Of several tokens of a new cell one wins, whichever wrote last.
    interval.claim_C[cell_T] = index_T
    wins_T = missing_T & (interval.claim_C[cell_T] == index_T)
    fresh_T = interval.num_used + wins_T.cumsum(0) - 1
    fresh_T = torch.where(fresh_T < interval.num_rows, fresh_T, phase_T)
    interval.row_of_cell_C[torch.where(wins_T, cell_T, interval.dump_cell)] = fresh_T
    claimed_T = torch.where(wins_T & (fresh_T >= len(PHASES)), fresh_T, interval.num_rows)
    interval.cell_of_row_G[claimed_T] = cell_T
    interval.num_used.add_(wins_T.sum()).clamp_(max=interval.num_rows)
    return interval.row_of_cell_C[cell_T]


def _add(sums: Sums, row_T: Tensor, log: TokenLog, used: slice) -> None:
    ids_LTK = log.ids_LTK[:, used]
    num_layers, num_experts = sums.selected_GLE.shape[1:]
    layer_L = torch.arange(num_layers, device=ids_LTK.device).view(-1, 1, 1) * num_experts
    first_LT1 = (row_T * (num_layers * num_experts)).view(1, -1, 1) + layer_L
    cell_n = torch.where(ids_LTK >= 0, first_LT1 + ids_LTK, sums.trash * num_layers * num_experts).view(-1)
    sums.selected_GLE.view(-1).scatter_add_(0, cell_n, torch.ones_like(cell_n))
    sums.weight_sum_GLE.view(-1).scatter_add_(0, cell_n, log.weights_LTK[:, used].double().reshape(-1))
    sums.tokens_G.scatter_add_(0, row_T, torch.ones_like(row_T))
