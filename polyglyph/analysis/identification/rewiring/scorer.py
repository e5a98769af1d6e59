"""Scores candidates: the same context under other edits, many requests at once.

Letters of shapes: L MoE layers, E experts, T tokens of the context but the first.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.sender import Sender
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.rewiring.context import Context
from polyglyph.analysis.search.direction import added
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.plan import Edit, Phase

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

PATIENCE_S = 120.0

Vector = NDArray[np.float64]
"""Standard deviations of the logits to add, [L, E]."""


class Scorer:
    """Asks a server for a context's losses.

    Args:
        client: The server.
        context: The conversation.
        model: The served model's name.
        phases: Of the plan that is tried.
        concurrency: Requests in flight at once.
        watch: Called with the number of answers so far.

    Attributes:
        num_asked: Requests so far.
    """

    def __init__(
        self,
        client: "AsyncPolyglyph",
        context: Context,
        *,
        model: str,
        phases: Sequence[Phase],
        concurrency: int,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        self.num_asked = 0
        self._context, self._model, self._phases, self._watch = context, model, list(phases), watch
        self._sender = Sender(client, Stop(), patience_s=PATIENCE_S)
        self._slots = asyncio.Semaphore(concurrency)

    async def score(self, vectors: Sequence[Vector]) -> list[NDArray[np.float64]]:
        """Give the context's losses [T] under each vector, in their order.

        Raises:
            IdentificationError: The server did not steer as asked.
            ServerUnreachableError: Nothing answers.
            PolyglyphError: The server refuses a request, such as a context over its length.
        """
        return list(await asyncio.gather(*(self._score(vector) for vector in vectors)))

    async def _score(self, vector: Vector) -> NDArray[np.float64]:
        edits = edits_of(vector)
        written = [edit.model_dump(mode="json", exclude_none=True) for edit in edits]
        steering = {"edits": written, "phases": self._phases} if written else False
        async with self._slots:
            scored, _ = await self._sender.ask(self._context.question(self._model, steering))
        if scored.is_steered is not bool(written):
            raise IdentificationError(
                f"expected an answer with applied: {bool(written)}, got {scored.is_steered}: the server does not steer "
                "as it is asked"
            )
        self.num_asked += 1
        if self._watch is not None:
            self._watch(self.num_asked)
        return scored.losses_T


def edits_of(vector: Vector) -> tuple[Edit, ...]:
    """Write a vector as edits, one per expert that it moves; to a thousandth, as a plan has them."""
    return added(vector, dict.fromkeys(range(len(vector)), 1.0))
