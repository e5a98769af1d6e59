"""What is counted for each request row, on the device.

Letters: P request rows, R requests of a step, T tokens of a step, L MoE layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.routing.summaries import NO_SUMMARY


@dataclass(frozen=True, eq=False)
class Account:
    """Persistent tensors beside `kernels.annotate.RequestRows`.

    Attributes:
        group_P: int64, slot of the stats' group.
        summaries_P3: int64, row of the summary sums by phase, or `NO_SUMMARY`.
        high_water_P: int32, positions below it were counted already (preemption computes them again).
        steered_P: int64, tokens computed with edits in force.
        changed_P: int64, (token, layer) selections that steering changed.
    """

    group_P: Tensor
    summaries_P3: Tensor
    high_water_P: Tensor
    steered_P: Tensor
    changed_P: Tensor

    @classmethod
    def allocate(cls, num_rows: int, *, device: torch.device) -> "Account":
        """Make empty rows."""
        return cls(
            group_P=torch.zeros(num_rows, dtype=torch.int64, device=device),
            summaries_P3=torch.zeros(num_rows, len(PHASES), dtype=torch.int64, device=device),
            high_water_P=torch.zeros(num_rows, dtype=torch.int32, device=device),
            steered_P=torch.zeros(num_rows, dtype=torch.int64, device=device),
            changed_P=torch.zeros(num_rows, dtype=torch.int64, device=device),
        )

    def open(self, row: int, *, group: int, summaries: range | None) -> None:
        """Start a row for a new request.

        Args:
            row: The request's row.
            group: Slot of its group in the stats.
            summaries: Its rows of the summary sums by phase, or None.
        """
        self.group_P[row] = group
        self.summaries_P3[row] = torch.tensor(summaries) if summaries is not None else NO_SUMMARY
        self.high_water_P[row] = 0
        self.steered_P[row] = 0
        self.changed_P[row] = 0

    def grown(self, num_rows: int) -> "Account":
        """Give a larger one with the same first rows."""
        fresh = Account.allocate(num_rows, device=self.group_P.device)
        for name, tensor in vars(self).items():
            getattr(fresh, name)[: tensor.shape[0]] = tensor
        return fresh

    def take_new(
        self, row_R: Tensor, start_R: Tensor, num_valid_R: Tensor, row_T: Tensor, position_T: Tensor
    ) -> Tensor:
        """Find the tokens that count for the first time, and raise the high-water marks.

        Returns:
            bool [T]: False for rejected drafts and for tokens that were computed before.
        """
        limit_P = torch.zeros_like(self.high_water_P)
        limit_P[row_R] = start_R + num_valid_R.to(torch.int32)
        counts_T = (position_T < limit_P[row_T]) & (position_T >= self.high_water_P[row_T])
        torch.maximum(self.high_water_P, limit_P, out=self.high_water_P)
        return counts_T

    def add_steered(self, row_T: Tensor, steered_T: Tensor, changed_LT: Tensor) -> None:
        """Add the step's steered tokens and changed selections to their rows."""
        self.steered_P.scatter_add_(0, row_T, steered_T.long())
        self.changed_P.scatter_add_(0, row_T, (changed_LT & steered_T).sum(dim=0))
