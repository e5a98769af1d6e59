"""Answers of a server: every question under every plan is asked once, however many reproductions look at it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.asking import GREEDY
from polyglyph.analysis.evaluation.fields import Steerable
from polyglyph.analysis.evaluation.sender import Sender
from polyglyph.analysis.reproduction.questions import Question
from polyglyph.analysis.scoring.matching import MATCHERS
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyglyph.clients.async_client import AsyncPolyglyph

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: Without its reasoning.
        reasoning: The trace.
        is_right: Whether it is accepted.
        dose: Share of the selections that steering changed.
    """

    text: str
    reasoning: str
    is_right: bool
    dose: float = 0.0


class Answering:
    """Asks greedily, many at once, and remembers.

    Args:
        client: The server.
        steerable: What it can be steered by.
        model: The served model's name.
        concurrency: Requests in flight at once.
        watch: Called with the number of answers so far.

    Attributes:
        model: The served model's name.
        num_asked: Requests so far.
    """

    def __init__(
        self,
        client: "AsyncPolyglyph",
        steerable: Steerable,
        *,
        model: str,
        concurrency: int,
        watch: "Callable[[int], None] | None" = None,
    ) -> None:
        self.num_asked = 0
        self.model, self._steerable, self._watch = model, steerable, watch
        self._sender = Sender(client, Stop(), patience_s=PATIENCE_S)
        self._slots = asyncio.Semaphore(concurrency)
        self._known: dict[tuple[str, str], Answer] = {}

    async def ask(self, questions: Sequence[Question], plan: Plan | None = None) -> list[Answer]:
        """Give the answers in the order of the questions.

        Args:
            questions: Any.
            plan: That they are steered by; None for none.

        Raises:
            UnsteeredAnswerError: The server did not steer as asked.
            PolyglyphError: It cannot be asked, or refuses.
        """
        return list(await asyncio.gather(*(self._answer(question, plan) for question in questions)))

    def remember(self, question: Question, answer: Answer) -> None:
        """Keep an unsteered answer that came with a trace."""
        self._known[question.id, ""] = answer

    def count(self, num_asked: int) -> None:
        """Say how many requests were answered."""
        self.num_asked = num_asked
        if self._watch is not None:
            self._watch(num_asked)

    async def _answer(self, question: Question, plan: Plan | None) -> Answer:
        key = (question.id, "" if plan is None else plan.fingerprint)
        if key not in self._known:
            self._known[key] = await self._send(question, plan)
        return self._known[key]

    async def _send(self, question: Question, plan: Plan | None) -> Answer:
        steering: Any = False if plan is None else self._steerable.field_of(plan)
        body = {
            **GREEDY,
            **question.options,
            "model": self.model,
            "messages": question.messages,
            "max_tokens": question.max_tokens,
            "steering": steering,
        }
        async with self._slots:
            reply, _ = await self._sender.send(body)
        reply.check_steering("" if plan is None else plan.fingerprint, 1.0)
        self.count(self.num_asked + 1)
        is_right = MATCHERS["exact"](reply.text, question.item.answers)
        return Answer(reply.text, reply.reasoning, is_right, float((reply.steering or {}).get("dose") or 0.0))
