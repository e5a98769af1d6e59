"""The worker's record of one request: its payload, its device row, and what it holds."""

from dataclasses import dataclass

from polyglyph.contract.steering import SteeringPayload


@dataclass
class RequestRecord:
    """One engine request on this worker.

    Attributes:
        payload: What it asked; None when it came without one.
        row: Its row of the device tensors.
        prompt_len: Prompt tokens.
        start_state: The marker automaton's state after the whole prompt.
        slot_key: Key of the edit table slot it holds; None while unsteered or preempted.
        summary_rows: Its rows of the summary sums by phase, or None.
    """

    payload: SteeringPayload | None
    row: int
    prompt_len: int
    start_state: int
    slot_key: str | None = None
    summary_rows: range | None = None

    @property
    def wants_receipt(self) -> bool:
        """Whether the front end will ask what was done for it."""
        return self.payload is not None and (self.payload.is_steered or self.payload.wants_summary)
