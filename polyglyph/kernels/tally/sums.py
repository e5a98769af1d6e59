"""Sums on the device: selections and weights by row, layer and expert.

Letters: G rows (group and phase), L MoE layers, E experts, T tokens, K selected experts, n selections of a step.
"""

import torch


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
