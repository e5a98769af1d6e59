"""Sums of one interval on the device: a row for each (group, token script, phase) that occurs, claimed as it occurs.

Letters: C cells (group, script, phase), G rows, L MoE layers, E experts, T tokens, K selected experts.
"""

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.tally.sums import Sums

MISSING = -1
"""Row of a cell that has none yet."""


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
        self.num_rows = num_rows
        self.num_scripts = num_scripts
        num_cells = (num_groups + 1) * num_scripts * len(PHASES)
        self.trash_cell, self.dump_cell = num_cells, num_cells + 1
        self.row_of_cell_C = torch.full((num_cells + 2,), MISSING, dtype=torch.int64, device=device)
        self.claim_C = torch.zeros(num_cells + 2, dtype=torch.int64, device=device)
        self.row_of_cell_C[self.trash_cell] = self.sums.trash
        num_own = num_groups * num_scripts * len(PHASES)
        self._own_cells_C = self.row_of_cell_C[:num_own]
        overflow_C = self.row_of_cell_C[num_own:num_cells]
        overflow_C.copy_(torch.arange(len(overflow_C), device=device) % len(PHASES))

    def cells(self, group_T: Tensor, script_T: Tensor, phase_T: Tensor) -> Tensor:
        """Number the cells of tokens, int64 each."""
        return (group_T * self.num_scripts + script_T) * len(PHASES) + phase_T

    def clear(self, num_used: int) -> None:
        """Make the first rows and their cells as new.

        Args:
            num_used: Rows in use, the overflow's included.
        """
        self._own_cells_C.fill_(MISSING)
        self.sums.clear(slice(0, num_used))
        self.num_used.fill_(len(PHASES))
