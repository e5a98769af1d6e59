"""The ticket: what one HTTP request asked, on its way from the middleware to the engine's input processor."""

from contextvars import ContextVar
from dataclasses import dataclass

from polyglyph.contract.steering import SteeringPayload


@dataclass
class Ticket:
    """One HTTP request's payload and how many engine requests took it up.

    The middleware sets it for the task that serves the request; the hook in the input processor attaches the payload
    to every engine request made there and counts them. A finished response whose ticket nobody took up was not
    steered as asked and must not be served.
    """

    payload: SteeringPayload
    num_engine_requests: int = 0
    num_sequences: int = 0

    def take_up(self, num_choices: int) -> int:
        """Count an engine request; gives the number of its first sequence.

        Args:
            num_choices: Sequences that the engine makes of it.
        """
        first = self.num_sequences
        self.num_engine_requests += 1
        self.num_sequences += num_choices
        return first


CURRENT_TICKET: ContextVar[Ticket | None] = ContextVar("polyglyph_ticket", default=None)
