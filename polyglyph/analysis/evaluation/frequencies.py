"""How often each expert is selected on a benchmark's own prompts: what random controls are matched on.

Letters of shapes: L MoE layers, E experts.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from polyglyph.analysis.evaluation.asking import Asking
from polyglyph.analysis.evaluation.guessing import selected_in_prompt
from polyglyph.analysis.evaluation.item import Item
from polyglyph.analysis.evaluation.reply import Reply
from polyglyph.analysis.evaluation.run_record import Frequencies
from polyglyph.analysis.evaluation.sender import Sender

NUM_ITEMS = 256
"""Prompts to look at: of the few tokens each they tell an expert's tenth well enough."""


async def measure_frequencies(
    sender: Sender, asking: Asking, items: Sequence[Item], *, concurrency: int = 32
) -> Frequencies:
    """Measure how often each expert is selected on the prompts of development items, unsteered.

    Args:
        sender: Sends the requests.
        asking: Makes them.
        items: Of both halves; where there are none of the development half, all are taken.
        concurrency: Requests in flight at once.

    Returns:
        Selections per token, [layers][experts].
    """
    from polyglyph.analysis.rules.rule import FirstPass

    pool = [item for item in items if item.half == "development"] or list(items)
    step = max(1, len(pool) // NUM_ITEMS)
    first = FirstPass(max_tokens=1, wants_routing=True)
    bodies = [asking.first_pass(item, first, is_thinking=True) for item in pool[::step][:NUM_ITEMS]]
    slots = asyncio.Semaphore(concurrency)

    async def ask(body: dict[str, Any]) -> Reply:
        async with slots:
            return (await sender.send(body))[0]

    replies = await asyncio.gather(*(ask(body) for body in bodies))
    selected_LE = sum(selected_in_prompt(reply) for reply in replies)
    num_tokens = sum(reply.prompt_tokens for reply in replies)
    return tuple(tuple(float(count) / num_tokens for count in row) for row in selected_LE)  # type: ignore[union-attr]
