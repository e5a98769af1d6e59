"""Guesses of source scripts during a run: each item's first pass is asked once per rule, whatever arms want it.

Letters of shapes: L MoE layers, E experts.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reply import Reply
from polyglyph.clients.errors import AnswerError
from polyglyph.contract.routing import RoutingSummary

if TYPE_CHECKING:
    import numpy as np

    from polyglyph.analysis.rules.rule import FirstPass, Rule

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, tuple[Reply, float]]]
Pass = tuple[str, "FirstPass", bool]


class Guessing:
    """Asks the rules of a run.

    Args:
        rules: Fitted.
        asking: Makes the first passes' requests.
        send: Sends one.
    """

    def __init__(self, rules: Iterable["Rule"], asking: Asking, send: Send) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._asking, self._send = asking, send
        self._passes: dict[Pass, asyncio.Task[Reply]] = {}

    async def guess(self, rule: str, item: Item, *, is_thinking: bool) -> str | None:
        """Give the source script that a rule guesses for an item; raises what sending the first pass raises."""
        from polyglyph.analysis.rules.rule import Seen

        found = self._rules[rule]
        seen = None
        if found.first_pass is not None:
            reply = await self._first_pass(item, found.first_pass, is_thinking=is_thinking)
            selected_LE = selected_in_prompt(reply) if found.first_pass.wants_routing else None
            seen = Seen(selected_LE=selected_LE, reasoning=reply.reasoning, text=reply.text)
        return found.guess(item.question, query_script=item.target_script, seen=seen)

    async def _first_pass(self, item: Item, first: "FirstPass", *, is_thinking: bool) -> Reply:
        key = item.id, first, is_thinking
        if key not in self._passes:
            self._passes[key] = asyncio.create_task(self._ask(item, first, is_thinking=is_thinking))
        # Several wait for one pass: that one of them is given up must not end it for the others.
        return await asyncio.shield(self._passes[key])

    async def _ask(self, item: Item, first: "FirstPass", *, is_thinking: bool) -> Reply:
        reply, _ = await self._send(self._asking.first_pass(item, first, is_thinking=is_thinking))
        reply.check_steering("", 0.0)
        return reply


def selected_in_prompt(reply: Reply) -> "np.ndarray[Any, Any]":
    """Give how often each expert was selected in a reply's prompt, int64 [layers, experts].

    Raises:
        AnswerError: The reply holds no summary.
    """
    import numpy as np

    fields = dict((reply.routing or {}).get("summary") or {})
    if not fields:
        raise AnswerError("the server gave no summary of the routing that was asked for")
    summary = RoutingSummary.model_validate(fields)
    selected_PLE = summary.selected.to_numpy()
    return np.asarray(selected_PLE[summary.phases.index("prompt")], dtype=np.int64)
