"""Asks development items as an evaluation does, many at once, thinking and greedily; nothing else can be asked here."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.benchmark import Header
from polyglyph.analysis.evaluation.guessing import selected_in_prompt
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.job import Job
from polyglyph.analysis.evaluation.reply import Reply
from polyglyph.analysis.evaluation.sender import Sender
from polyglyph.analysis.rules.rule import FirstPass, Seen
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.sample import check_development
from polyglyph.clients.profile.stop import Stop

if TYPE_CHECKING:
    from polyglyph.clients.async_client import AsyncPolyglyph

PATIENCE_S = 120.0
_ARM = Arm(name="search", kind=ArmKind.PLAN)


@dataclass(frozen=True)
class Asked:
    """One question as it is sent.

    Attributes:
        item: A development item.
        steering: Its `steering` field, JSON values; None for none.
    """

    item: Item
    steering: Any = None


class Asker:
    """Asks items of one benchmark.

    Args:
        client: The server.
        header: The benchmark's: words, length and mode.
        model: The served model's name.
        concurrency: Requests in flight at once.
    """

    def __init__(self, client: "AsyncPolyglyph", header: Header, *, model: str, concurrency: int) -> None:
        self._asking = Asking(model=model, header=header, seed=0)
        self._sender = Sender(client, Stop(), patience_s=PATIENCE_S)
        self._slots = asyncio.Semaphore(concurrency)

    async def texts(self, asked: Sequence[Asked]) -> list[str]:
        """Give the answers, without their reasoning, in the order of the questions.

        Raises:
            TestItemError: One of the items is not of the development half; nothing is sent.
            ServerUnreachableError: Nothing answers.
            PolyglyphError: The server refuses a request, or did not steer it.
        """
        check_development(each.item for each in asked)
        bodies = [self._asking.body(Job(each.item, _ARM, 0), each.steering) for each in asked]
        replies = await asyncio.gather(*(self._send(body) for body in bodies))
        for each, reply in zip(asked, replies, strict=True):
            _check_steered(each, reply)
        return [reply.text for reply in replies]

    async def first_passes(self, items: Sequence[Item], first_pass: FirstPass) -> list[Seen]:
        """Ask unsteered what a rule has to see, in the order of the items; raises what `texts` raises."""
        check_development(items)
        bodies = [self._asking.first_pass(item, first_pass, is_thinking=True) for item in items]
        replies = await asyncio.gather(*(self._send(body) for body in bodies))
        return [_seen(reply, first_pass) for reply in replies]

    async def _send(self, body: dict[str, Any]) -> Reply:
        async with self._slots:
            reply, _ = await self._sender.send(body)
            return reply


def _seen(reply: Reply, first_pass: FirstPass) -> Seen:
    selected_LE = selected_in_prompt(reply) if first_pass.wants_routing else None
    return Seen(selected_LE=selected_LE, reasoning=reply.reasoning, text=reply.text)


def _check_steered(asked: Asked, reply: Reply) -> None:
    is_expected = asked.steering is not None
    if reply.steering is None or bool(reply.steering.get("applied")) is not is_expected:
        raise SearchError(
            f"item {asked.item.id!r}: expected an answer with applied: {is_expected}, got {reply.steering}: the "
            "server does not steer as it is asked"
        )
