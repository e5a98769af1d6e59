"""What is remembered of a text between two steps: one int64 for each running request.

    bits 0 to 20    the unfinished character's code point, as far as known
    bits 21 to 22   how many of its bytes are missing, 1 to 3
    bits 23 to 25   how many it has in all, 2 to 4; an unfinished character of 0 is none
    bits 32 to 39   script of the last complete character
    bits 40 to 47   script of the last character that has one

Shapes: P request rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.kernels.arrays import put

EMPTY = 0
"""State before any token."""

MISSING_SHIFT, LENGTH_SHIFT = 21, 23
LAST_SHIFT, SCRIPTED_SHIFT = 32, 40
CODE_MASK = (1 << MISSING_SHIFT) - 1
PENDING_MASK = (1 << 26) - 1


@dataclass(frozen=True, eq=False)
class LabelRows:
    """Persistent tensors, one row for each request the engine can hold and row 0 for nobody.

    Attributes:
        state_P: int64, state after the tokens computed so far; row 0 stays `EMPTY`.
    """

    state_P: Tensor

    @classmethod
    def allocate(cls, num_rows: int, *, device: torch.device | str = "cpu") -> "LabelRows":
        """Make rows of requests that have no token yet.

        Args:
            num_rows: P, the neutral row included.
            device: Where the engine's input ids are.
        """
        return cls(torch.full((num_rows,), EMPTY, dtype=torch.int64, device=device))

    def grown(self, num_rows: int) -> "LabelRows":
        """Give `num_rows` rows whose first ones are these."""
        rows = LabelRows.allocate(num_rows, device=self.state_P.device)
        rows.state_P[: len(self.state_P)] = self.state_P
        return rows


def seed(rows: LabelRows, row: int, state: int = EMPTY) -> None:
    """Set a row's state: `EMPTY` for a new request, `run`'s where tokens before the first computed one are known.

    So too for a request that comes back after preemption: its state is the one after the tokens still in the cache.
    """
    put(rows.state_P, row, state)
