"""Sums of one interval on the device: a row for each (group, token script, phase) that occurs, claimed as it occurs.

Letters: C cells (group, script, phase), G rows, L MoE layers, E experts, T tokens, K selected experts.
"""

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.routing.sums import Sums

_MISSING = -1


class IntervalSums:
    """Rows are claimed on the device, because only there it is known which scripts a step's tokens have.

    The first rows, one per phase, are the overflow's: they take what finds no free row, and the overflow group.

    Args:
        num_groups: Groups without the overflow, whose slot is `num_groups`.
        num_scripts: Token scripts.
        num_rows: G, at least one more than there are phases.
        num_layers: L.
        num_experts: E.
        device: Where the model runs.
    """

    def __init__(
        self,
        *,
        num_groups: int,
        num_scripts: int,
        num_rows: int,
        num_layers: int,
        num_experts: int,
        device: torch.device,
    ) -> None:
        self.sums = Sums(num_rows, num_layers, num_experts, device)
        self.num_used = torch.full((1,), len(PHASES), dtype=torch.int64, device=device)
        self.cell_of_row_G = torch.zeros(num_rows + 1, dtype=torch.int64, device=device)
        self._num_rows = num_rows
        self._num_scripts = num_scripts
        self._on_host = device.type == "cpu"
        num_cells = (num_groups + 1) * num_scripts * len(PHASES)
        self._trash_cell, self._dump_cell = num_cells, num_cells + 1
        self._row_of_cell_C = torch.full((num_cells + 2,), _MISSING, dtype=torch.int64, device=device)
        self._claim_C = torch.zeros(num_cells + 2, dtype=torch.int64, device=device)
        self._row_of_cell_C[self._trash_cell] = self.sums.trash
        num_own = num_groups * num_scripts * len(PHASES)
        self._own_cells_C = self._row_of_cell_C[:num_own]
        overflow_C = self._row_of_cell_C[num_own:num_cells]
        overflow_C.copy_(torch.arange(len(overflow_C), device=device) % len(PHASES))

    def add(
        self,
        *,
        group_T: Tensor,
        script_T: Tensor,
        phase_T: Tensor,
        counts_T: Tensor,
        ids_LTK: Tensor,
        weights_LTK: Tensor,
    ) -> None:
        """Add one step's tokens.

        Args:
            group_T: int64 slot of each token's group.
            script_T: Index of each token's script, any integer dtype.
            phase_T: int64 phase of each token.
            counts_T: bool, False for tokens that do not count.
            ids_LTK: Selected experts, -1 for none.
            weights_LTK: Routing weights.
        """
        cell_T = (group_T * self._num_scripts + script_T) * len(PHASES) + phase_T
        cell_T = torch.where(counts_T, cell_T, self._trash_cell)
        self.sums.add(self._rows_of(cell_T, phase_T), ids_LTK, weights_LTK)

    def clear(self, num_used: int) -> None:
        """Make the first rows and their cells as new.

        Args:
            num_used: Rows in use, the overflow's included.
        """
        self._own_cells_C.fill_(_MISSING)
        self.sums.clear(slice(0, num_used))
        self.num_used.fill_(len(PHASES))

    def _rows_of(self, cell_T: Tensor, phase_T: Tensor) -> Tensor:
        row_T = self._row_of_cell_C[cell_T]
        missing_T = row_T == _MISSING
        # A host may look: after the first steps of an interval hardly any cell is new.
        if self._on_host and not missing_T.any():
            return row_T
        index_T = torch.arange(len(cell_T), device=cell_T.device)
        # Of several tokens of a new cell one wins, whichever wrote last.
        self._claim_C[cell_T] = index_T
        wins_T = missing_T & (self._claim_C[cell_T] == index_T)
        fresh_T = self.num_used + wins_T.cumsum(0) - 1
        fresh_T = torch.where(fresh_T < self._num_rows, fresh_T, phase_T)
        self._row_of_cell_C[torch.where(wins_T, cell_T, self._dump_cell)] = fresh_T
        claimed_T = torch.where(wins_T & (fresh_T >= len(PHASES)), fresh_T, self._num_rows)
        self.cell_of_row_G[claimed_T] = cell_T
        self.num_used.add_(wins_T.sum()).clamp_(max=self._num_rows)
        return self._row_of_cell_C[cell_T]
