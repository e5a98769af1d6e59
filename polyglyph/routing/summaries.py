"""Sums of single requests, for those that asked for a summary; made when the first one asks."""

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.tally import Sums


class Summaries:
    """Hands out three rows, one per phase, to each request that asked.

    Args:
        capacity: Requests that fit before the sums are doubled.
        num_layers: L.
        num_experts: E.
        device: Where the model runs.

    Attributes:
        sums: What the rows are rows of; None until somebody asks.
    """

    def __init__(self, capacity: int, num_layers: int, num_experts: int, device: torch.device) -> None:
        self._capacity = capacity
        self._shape = (num_layers, num_experts)
        self._device = device
        self.sums: Sums | None = None
        self._free: list[int] = []

    def take(self) -> range:
        """Give three cleared rows."""
        if not self._free:
            self._grow()
        assert self.sums is not None
        base = self._free.pop()
        self.sums.clear(slice(base, base + len(PHASES)))
        return range(base, base + len(PHASES))

    def give_back(self, rows: range) -> None:
        """Return the rows of a finished request."""
        self._free.append(rows.start)

    def read(self, rows: range) -> tuple[Tensor, Tensor, Tensor]:
        """Give tokens [3], selected [3, L, E] and weight sums [3, L, E] of a request."""
        assert self.sums is not None
        which = slice(rows.start, rows.stop)
        return self.sums.tokens_G[which], self.sums.selected_GLE[which], self.sums.weight_sum_GLE[which]

    def _grow(self) -> None:
        old = self.sums
        first = 0 if old is None else old.trash
        num_rows = 2 * first or self._capacity * len(PHASES)
        self.sums = Sums(num_rows, *self._shape, self._device)
        if old is not None:
            self.sums.copy_rows(old, first)
        self._free.extend(range(num_rows - len(PHASES), first - len(PHASES), -len(PHASES)))
