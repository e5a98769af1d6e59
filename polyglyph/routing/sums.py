"""Sums on the device: selections and weights by row, layer and expert.

Letters: G rows (group and phase), L MoE layers, E experts, T tokens, K selected experts, n selections of a step.
"""

import torch
from torch import Tensor


class Sums:
    """Counts and weight sums of every row; one extra row takes what must not be counted.

    Args:
        num_rows: G.
        num_layers: L.
        num_experts: E.
        device: Where the model runs.
    """

    def __init__(self, num_rows: int, num_layers: int, num_experts: int, device: torch.device) -> None:
        shape = (num_rows + 1, num_layers, num_experts)
        self.trash = num_rows
        self.selected_GLE = torch.zeros(shape, dtype=torch.int64, device=device)
        self.weight_sum_GLE = torch.zeros(shape, dtype=torch.float64, device=device)
        self.tokens_G = torch.zeros(num_rows + 1, dtype=torch.int64, device=device)
        self._layer_offset_L = torch.arange(num_layers, device=device).view(-1, 1, 1) * num_experts

    def add(self, row_T: Tensor, ids_LTK: Tensor, weights_LTK: Tensor) -> None:
        """Add one step's tokens.

        Args:
            row_T: int64 row of each token; `trash` for tokens that do not count.
            ids_LTK: Selected experts, any integer dtype; -1 for none.
            weights_LTK: Routing weights, any float dtype.
        """
        num_cells = self.selected_GLE[0].numel()
        first_LT1 = (row_T * num_cells).view(1, -1, 1) + self._layer_offset_L
        cell_n = torch.where(ids_LTK >= 0, first_LT1 + ids_LTK, self.trash * num_cells).view(-1)
        self.selected_GLE.view(-1).scatter_add_(0, cell_n, torch.ones_like(cell_n))
        self.weight_sum_GLE.view(-1).scatter_add_(0, cell_n, weights_LTK.double().reshape(-1))
        self.tokens_G.scatter_add_(0, row_T, torch.ones_like(row_T))

    def clear(self, rows: slice | None = None) -> None:
        """Set rows to zero, all when none are named."""
        which = rows or slice(None)
        self.selected_GLE[which] = 0
        self.weight_sum_GLE[which] = 0
        self.tokens_G[which] = 0

    def copy_rows(self, other: "Sums", num_rows: int) -> None:
        """Take over another one's first rows."""
        self.selected_GLE[:num_rows] = other.selected_GLE[:num_rows]
        self.weight_sum_GLE[:num_rows] = other.weight_sum_GLE[:num_rows]
        self.tokens_G[:num_rows] = other.tokens_G[:num_rows]
