"""What is counted for each request row, on the device.

Letters: P request rows, R requests of a step, T tokens of a step, L MoE layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES
from polyglyph.kernels.arrays import put

NO_SUMMARY = -1
"""Row of a request without a summary, wherever the trash row lies."""


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
        put(self.group_P, row, group)
        for phase in range(len(PHASES)):
            put(self.summaries_P3, (row, phase), NO_SUMMARY if summaries is None else summaries[phase])
        for zeroed_P in (self.high_water_P, self.steered_P, self.changed_P):
            put(zeroed_P, row, 0)

    def grown(self, num_rows: int) -> "Account":
        """Give a larger one with the same first rows."""
        fresh = Account.allocate(num_rows, device=self.group_P.device)
        for name, tensor in vars(self).items():
            getattr(fresh, name)[: tensor.shape[0]] = tensor
        return fresh
