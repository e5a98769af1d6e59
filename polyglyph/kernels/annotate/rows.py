"""What the device remembers of every running request, and the notes it takes of every token of a step.

Shapes: P request rows, W ring width, T tokens of the largest step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from polyglyph.kernels.arrays import put

NEUTRAL_ROW = 0
"""Never given to a request: padding and dummy runs point at it."""

PROMPT, REASONING, ANSWER = 0, 1, 2
_NEVER = torch.iinfo(torch.int32).max


@dataclass(frozen=True, eq=False)
class RequestRows:
    """Persistent tensors, one row for each request the engine can hold and row 0 for nobody.

    Attributes:
        prompt_len_P: int32, number of prompt tokens; the neutral row's prompt never ends.
        start_state_P: int32, the automaton's state after the whole prompt.
        ring_PW: int32, the state after the generated token at position p, at p % W. The neutral row's ring is scratch.
        slots_P3: int32, edit table slot by phase, 0 for unsteered.
    """

    prompt_len_P: Tensor
    start_state_P: Tensor
    ring_PW: Tensor
    slots_P3: Tensor

    @classmethod
    def allocate(cls, num_rows: int, *, ring_width: int, device: torch.device | str = "cpu") -> "RequestRows":
        """Make unsteered rows without a prompt.

        Args:
            num_rows: P, the neutral row included: one more than the engine's largest number of requests.
            ring_width: W, at least the number of speculative tokens + 2.
            device: Where the engine's input ids are.
        """
        rows = cls(
            prompt_len_P=torch.zeros(num_rows, dtype=torch.int32, device=device),
            start_state_P=torch.zeros(num_rows, dtype=torch.int32, device=device),
            ring_PW=torch.zeros(num_rows, ring_width, dtype=torch.int32, device=device),
            slots_P3=torch.zeros(num_rows, 3, dtype=torch.int32, device=device),
        )
        rows.prompt_len_P[NEUTRAL_ROW] = _NEVER
        return rows


@dataclass(frozen=True, eq=False)
class TokenNotes:
    """Persistent tensors, one element for each token of a step; elements past the step's tokens are neutral (all 0).

    Attributes:
        row_T: int32, row of the token's request.
        position_T: int32, position in the request.
        phase_T: int32, 0 prompt, 1 reasoning, 2 answer.
        slot_T: int32, edit table slot.
    """

    row_T: Tensor
    position_T: Tensor
    phase_T: Tensor
    slot_T: Tensor

    @classmethod
    def allocate(cls, max_num_tokens: int, *, device: torch.device | str = "cpu") -> "TokenNotes":
        """Make neutral notes for steps of up to `max_num_tokens` tokens, padding included."""
        return cls(*torch.zeros(4, max_num_tokens, dtype=torch.int32, device=device).unbind(0))


def seed_ring(rows: RequestRows, row: int, position: int, state: int) -> None:
    """Set the state after the generated token at `position`, which this row did not compute itself.

    A request that starts or resumes at p0 > prompt_len (preemption, prefix cache) needs it for p0 - 1.
    """
    put(rows.ring_PW, (row, position % rows.ring_PW.shape[1]), state)
