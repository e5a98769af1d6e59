"""The worker's record of one request: its payload, its device row, and what it holds."""

from dataclasses import dataclass

from polyglyph.contract.steering import SteeringPayload
from polyglyph.routing.traces import TokenTrace


@dataclass
class RequestRecord:
    """One engine request on this worker.

    Attributes:
        req_id: The engine's id.
        payload: What it asked; None when it came without one.
        row: Its row of the device tensors.
        prompt_len: Prompt tokens.
        start_state: The marker automaton's state after the whole prompt.
        slot_key: Key of the edit table slot it holds; None while unsteered or preempted.
        summary_rows: Its rows of the summary sums by phase, or None.
        group: Its slot of the stats' groups.
        trace: What is kept of its tokens, or None.
        is_known: It has been scheduled before.
        is_answered: Its receipt was taken before this worker heard of its end.
    """

    req_id: str
    payload: SteeringPayload | None
    row: int
    prompt_len: int
    start_state: int
    slot_key: str | None = None
    summary_rows: range | None = None
    group: int = 0
    trace: TokenTrace | None = None
    is_known: bool = False
    is_answered: bool = False

    @property
    def wants_receipt(self) -> bool:
        """Whether the front end will ask what was done for it."""
        return self.payload is not None and self.payload.wants_receipt and not self.is_answered
