"""`label_scripts` in vectorised torch, for devices without a loop over tokens: nothing is read on the host.

Letters: T tokens, R requests, P request rows, V tokens of the vocabulary.
"""

import torch
from torch import Tensor

from polyglyph.kernels.label_scripts.classes import AMBIGUOUS, LETTER, NO_SCRIPT, NOTHING
from polyglyph.kernels.label_scripts.rows import (
    CODE_MASK,
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

MAX_TAKEN = 3
"""Continuation bytes of the longest character: so many tokens back a character can begin."""


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
    """See `polyglyph.kernels.label_scripts.label_scripts`."""
    if num_tokens == 0 or len(row_R) == 0:
        out_T[:num_tokens] = NO_SCRIPT
        return
    bounds_R1 = query_start_R1[: len(row_R) + 1].long().clamp(max=num_tokens)
    row_R = row_R.long()
    index_T = torch.arange(num_tokens, device=out_T.device)
    request_T = torch.searchsorted(bounds_R1[1:].contiguous(), index_T, right=True)
    is_owned_T = request_T < len(row_R)
    request_T = request_T.clamp(max=len(row_R) - 1)
    is_owned_T &= row_R[request_T] != 0
    labels_T, state_T = _label(
        input_ids_T[:num_tokens].long(), bounds_R1[request_T], rows.state_P[row_R[request_T]], table
    )
    out_T[:num_tokens] = torch.where(is_owned_T, labels_T, NO_SCRIPT).to(out_T.dtype)
    _keep(rows, row_R, bounds_R1, num_valid_R, state_T)


def _keep(rows: LabelRows, row_R: Tensor, bounds_R1: Tensor, num_valid_R: Tensor | None, state_T: Tensor) -> None:
    """Write the state after each request's last valid token; rows without one keep theirs."""
    num_kept_R = bounds_R1.diff()
    if num_valid_R is not None:
        num_kept_R = torch.minimum(num_valid_R.long(), num_kept_R)
    after_R = state_T[(bounds_R1[:-1] + num_kept_R - 1).clamp(min=0)]
    is_moved_R = (num_kept_R > 0) & (row_R != 0)
    rows.state_P[row_R] = torch.where(is_moved_R, after_R, rows.state_P[row_R])


def _label(ids_T: Tensor, begin_T: Tensor, carried_T: Tensor, table: LabelTable) -> tuple[Tensor, Tensor]:
    """Give every token's label, and the state behind it.

    Args:
        ids_T: int64 token ids.
        begin_T: Where the chunk of the token's request begins.
        carried_T: State before that chunk.
        table: On the same device.
    """
    index_T = torch.arange(len(ids_T), device=ids_T.device)
    token_T = torch.where((ids_T >= 0) & (ids_T < table.num_tokens), ids_T, table.num_tokens)
    flags_T, end_T, head_T = table.flags_V[token_T], table.end_V[token_T], table.head_V[token_T].long()
    tail_T = table.tail_V[token_T].long()
    is_first_T, is_break_T, has_body_T = index_T == begin_T, (flags_T & BREAK) != 0, end_T != NOTHING

    is_head_only_T = ~has_body_T & (tail_T == 0) & ~is_break_T
    before_T = _pending_before(head_T, tail_T, is_head_only_T, is_first_T, carried_T & PENDING_MASK)
    left_T, code_T, num_taken_T = _take(before_T, head_T)
    is_torn_T = (num_taken_T < head_T >> HEAD_LEN_SHIFT) | ((left_T != 0) & ~is_head_only_T)
    pending_T = torch.where(is_torn_T | ~is_head_only_T, tail_T, left_T)

    is_complete_T = (code_T >= 0) & ~is_break_T
    character_T = table.characters[code_T.clamp(min=0)].long()
    completes_T = is_complete_T & (character_T < LETTER)
    # Every token either sets the script of the last character or leaves it as it was; so with the last scripted one.
    sets_T = completes_T | is_torn_T | is_break_T | (has_body_T & (end_T < LETTER))
    at_body_T = torch.where(completes_T & ~is_torn_T, character_T, NO_SCRIPT)
    value_T = torch.where(has_body_T & (end_T < LETTER), end_T.long(), at_body_T)
    last_T = _carry(index_T, begin_T, sets_T, value_T, carried_T >> LAST_SHIFT & 0xFF)
    last_before_T = torch.where(is_first_T, carried_T >> LAST_SHIFT & 0xFF, last_T.roll(1))

    completed_T = torch.where(completes_T, character_T, torch.where(is_complete_T, last_before_T, NO_SCRIPT))
    body_T = table.scripted_V[token_T].long()
    found_T = torch.where(body_T != 0, body_T, torch.where(completes_T, character_T, NO_SCRIPT))
    scripted_T = _carry(index_T, begin_T, found_T != 0, found_T, carried_T >> SCRIPTED_SHIFT & 0xFF)

    keeps_T = ~(completes_T | is_torn_T)
    attached_T = torch.where(keeps_T, last_before_T, at_body_T)
    own_T = table.label_V[token_T].long()
    own_T = torch.where(((flags_T & ATTACHES) != 0) & (attached_T != 0), attached_T, own_T)
    own_wins_T = (completed_T == 0) | (((flags_T & OUTVOTES) != 0) & (own_T != 0))
    label_T = torch.where(own_wins_T, own_T, completed_T)
    guess_T = _guess(pending_T, last_T, scripted_T, table)
    label_T = torch.where((label_T == 0) & (pending_T != 0), guess_T, label_T)
    label_T = torch.where(is_break_T, NO_SCRIPT, label_T)
    return label_T, scripted_T << SCRIPTED_SHIFT | last_T << LAST_SHIFT | pending_T


def _pending_before(
    head_T: Tensor, tail_T: Tensor, is_head_only_T: Tensor, is_first_T: Tensor, carried_T: Tensor
) -> Tensor:
    """Give the unfinished character before each token.

    Only tokens of nothing but continuation bytes hand one on, each adds a byte, and after `MAX_TAKEN` of them it is
    complete or wrong: as many rounds from "none" make it right everywhere.
    """
    after_T = tail_T
    for _ in range(MAX_TAKEN):
        before_T = torch.where(is_first_T, carried_T, after_T.roll(1))
        left_T, _, num_taken_T = _take(before_T, head_T, max_taken=MAX_TAKEN - 1)
        handed_on_T = torch.where(num_taken_T == head_T >> HEAD_LEN_SHIFT, left_T, 0)
        after_T = torch.where(is_head_only_T, handed_on_T, tail_T)
    return torch.where(is_first_T, carried_T, after_T.roll(1))


def _take(pending_T: Tensor, head_T: Tensor, *, max_taken: int = MAX_TAKEN) -> tuple[Tensor, Tensor, Tensor]:
    """Give what is unfinished after each head, the code point that it completed or -1, and how many bytes fitted.

    One byte less than `MAX_TAKEN` is enough to know what stays unfinished: behind that many nothing does.
    """
    code_T, num_taken_T = torch.full_like(pending_T, -1), torch.zeros_like(pending_T)
    for index in range(max_taken):
        length_T, missing_T = pending_T >> LENGTH_SHIFT, pending_T >> MISSING_SHIFT & 3
        extended_T = (pending_T & CODE_MASK) << HEAD_BITS | (head_T >> HEAD_BITS * index & 0x3F)
        is_wrong3_T = (extended_T < 0x20) | ((extended_T >= 0x360) & (extended_T <= 0x37F))
        is_wrong4_T = (extended_T < 0x10) | (extended_T > 0x10F)
        is_wrong_T = ((length_T == 3) & (missing_T == 2) & is_wrong3_T) | (
            (length_T == 4) & (missing_T == 3) & is_wrong4_T
        )
        fits_T = (pending_T != 0) & (num_taken_T == index) & (head_T >> HEAD_LEN_SHIFT > index) & ~is_wrong_T
        is_done_T = fits_T & (missing_T == 1)
        code_T = torch.where(is_done_T, extended_T, code_T)
        grown_T = length_T << LENGTH_SHIFT | (missing_T - 1) << MISSING_SHIFT | extended_T
        pending_T = torch.where(fits_T, torch.where(is_done_T, 0, grown_T), pending_T)
        num_taken_T = num_taken_T + fits_T
    return pending_T, code_T, num_taken_T


def _carry(index_T: Tensor, begin_T: Tensor, sets_T: Tensor, value_T: Tensor, carried_T: Tensor) -> Tensor:
    """Give after each token the value last set in its chunk, else the carried one."""
    setter_T = torch.where(sets_T, index_T, -1).cummax(0).values
    return torch.where(setter_T >= begin_T, value_T[setter_T.clamp(min=0)], carried_T)


def _guess(pending_T: Tensor, last_T: Tensor, scripted_T: Tensor, table: LabelTable) -> Tensor:
    """Give the label of each unfinished character from those that begin with the same bytes."""
    code_T, missing_T = pending_T & CODE_MASK, pending_T >> MISSING_SHIFT & 3
    longer_T = torch.where(missing_T == 2, code_T + FIRST_REGION, NO_RANGE)
    index_T = torch.where(missing_T == 1, code_T, longer_T).clamp(max=NO_RANGE)
    guess_T = table.ranges_B[index_T].long()
    stays_T = (guess_T == AMBIGUOUS) | table.is_home_SB[scripted_T, index_T]
    return torch.where(stays_T, scripted_T, torch.where(guess_T >= LETTER, last_T, guess_T))
