"""`label_scripts` in plain Python, token by token: the meaning, on any device, at no speed."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from polyglyph.kernels.label_scripts.classes import AMBIGUOUS, LETTER, MARK, NO_SCRIPT, NOTHING
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


@dataclass(frozen=True)
class Pending:
    """A character of which some bytes are known.

    Attributes:
        code: Its code point's upper bits, as far as known.
        missing: Bytes to come.
        length: Bytes in all.
    """

    code: int
    missing: int
    length: int

    def extended(self, bits: int) -> "Pending | None":
        """Give the character with one more continuation byte; None where UTF-8 forbids it (Unicode, table 3-7)."""
        code = self.code << HEAD_BITS | bits
        if self.missing == self.length - 1:
            is_overlong = code < {2: 0, 3: 0x20, 4: 0x10}[self.length]
            is_surrogate = self.length == 3 and 0xD800 >> 6 <= code <= 0xDFFF >> 6
            if is_overlong or is_surrogate or (self.length == 4 and code > 0x10FFFF >> 12):
                return None
        return Pending(code, self.missing - 1, self.length)


@dataclass(frozen=True)
class State:
    """What is remembered after a token: the unfinished character, and the scripts of those before it."""

    pending: Pending | None = None
    last: int = NO_SCRIPT
    scripted: int = NO_SCRIPT

    @classmethod
    def unpack(cls, packed: int) -> "State":
        """Read one element of `LabelRows.state_P`."""
        return cls(_unpack(packed & PENDING_MASK), packed >> LAST_SHIFT & 0xFF, packed >> SCRIPTED_SHIFT & 0xFF)

    def pack(self) -> int:
        """Write one element of `LabelRows.state_P`."""
        pending = self.pending
        packed = 0
        if pending is not None:
            packed = pending.length << LENGTH_SHIFT | pending.missing << MISSING_SHIFT | pending.code
        return self.scripted << SCRIPTED_SHIFT | self.last << LAST_SHIFT | packed


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
    out_T[:num_tokens] = NO_SCRIPT
    for request, row in enumerate(row_R.tolist()):
        begin, end = query_start_R1[request : request + 2].clamp(max=num_tokens).tolist()
        if row == 0 or begin == end:
            continue
        ids = input_ids_T[begin:end].cpu().numpy()
        num_valid = len(ids) if num_valid_R is None else int(num_valid_R[request])
        labels, _ = run(table, ids, int(rows.state_P[row]))
        out_T[begin:end] = torch.from_numpy(labels)
        _, rows.state_P[row] = run(table, ids[:num_valid], int(rows.state_P[row]))


def run(table: LabelTable, token_ids: np.ndarray, state: int = EMPTY) -> tuple[np.ndarray, int]:
    """See `polyglyph.kernels.label_scripts.run`."""
    labels, after = [], State.unpack(state)
    for token in token_ids.tolist():
        label, after = _step(table, after, token)
        labels.append(label)
    return np.array(labels, dtype=np.uint8), after.pack()


def _step(table: LabelTable, state: State, token: int) -> tuple[int, State]:
    """Give a token's label and the state behind it."""
    token = token if 0 <= token < table.num_tokens else table.num_tokens
    flags, label, end = int(table.flags_V[token]), int(table.label_V[token]), int(table.end_V[token])
    if flags & BREAK:
        return NO_SCRIPT, State(scripted=state.scripted)

    head_len = int(table.head_V[token]) >> HEAD_LEN_SHIFT
    pending, code, num_taken = _take(state.pending, int(table.head_V[token]))
    last, scripted, completed = state.last, state.scripted, NO_SCRIPT
    if code is not None:
        character = int(table.characters[code])
        last = completed = last if _attaches(character) else character
        scripted = completed or scripted

    tail = _unpack(int(table.tail_V[token]))
    if num_taken < head_len or (pending is not None and (end != NOTHING or tail is not None)):
        # Bytes that belong to no character stand between what was before and what comes.
        pending, last = None, NO_SCRIPT
    if end != NOTHING:
        label = last if flags & ATTACHES and last else label
        last = last if _attaches(end) else end
        scripted = int(table.scripted_V[token]) or scripted
    if pending is None:
        pending = tail

    label = completed if completed and not flags & OUTVOTES else label or completed
    if not label and pending is not None:
        label = _guess(table, pending, last, scripted)
    return label, State(pending, last, scripted)


def _take(pending: Pending | None, head: int) -> tuple[Pending | None, int | None, int]:
    """Give what is unfinished after a token's head, the code point that it completed, and how many bytes fitted."""
    head_len, num_taken = head >> HEAD_LEN_SHIFT, 0
    while pending is not None and num_taken < min(head_len, 3):
        extended = pending.extended(head >> HEAD_BITS * num_taken & 0x3F)
        if extended is None:
            break
        pending, num_taken = extended, num_taken + 1
        if pending.missing == 0:
            return None, pending.code, num_taken
    return pending, None, num_taken


def _guess(table: LabelTable, pending: Pending, last: int, scripted: int) -> int:
    """Give the label of an unfinished character from those that begin with the same bytes."""
    index = {1: pending.code, 2: FIRST_REGION + pending.code}.get(pending.missing, NO_RANGE)
    guess = int(table.ranges_B[index])
    if guess == AMBIGUOUS or table.is_home_SB[scripted, index]:
        return scripted
    return last if _attaches(guess) else guess


def _attaches(character: int) -> bool:
    return character in {LETTER, MARK}


def _unpack(packed: int) -> Pending | None:
    if packed == 0:
        return None
    return Pending(packed & CODE_MASK, packed >> MISSING_SHIFT & 3, packed >> LENGTH_SHIFT)
