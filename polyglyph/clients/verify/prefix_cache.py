"""Promise 5: keys and values computed under one steering never serve another; equal ones share.

A request with a fresh `cache_salt` meets a cold cache whatever was asked before. So what a steered request gives
after an unsteered one with the same prompt must equal what it gives with a fresh salt, and the other way round.
"""

from dataclasses import dataclass, replace
from typing import Any

from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import Finding, NotCheckedError
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import long_text
from polyglyph.clients.verify.sample import Sample

MIN_BLOCKS = 2.5
DEFAULT_BLOCK_SIZE = 128
"""vLLM's largest default, on processors; smaller blocks make the prompts span more of them."""


@dataclass(frozen=True)
class Sizes:
    """How long the requests must be.

    Attributes:
        num_words: Words of a prompt that fills `MIN_BLOCKS` blocks.
        num_generated: Tokens of a first turn whose answer reaches the next block.
    """

    num_words: int
    num_generated: int


def check_prefix_cache(examination: Examination) -> Finding:
    """Ask the same long prompt unsteered and steered in both orders, and go on from a steered answer."""
    sizes = _measure(examination)
    strong = {"edits": examination.strong_edits}
    weak = {"edits": examination.strong_edits, "phases": ["prompt"]}
    orders: dict[str, tuple[object, object, object]] = {
        "steered after unsteered": (False, strong, weak),
        "unsteered after steered": (strong, False, weak),
    }
    figures: dict[str, Any] = {"prompt_tokens": 0, "cached_tokens_of_others": 0, "cached_tokens_of_equals": 0}
    faults = [
        fault
        for name, steerings in orders.items()
        for fault in _order_faults(examination, name, steerings, sizes, figures)
    ]
    faults += _second_turn_faults(examination, sizes, figures)
    text = "steered and unsteered requests with one long prompt, in both orders, and a second turn"
    return Finding(text, faults[0] if faults else None, figures)


def _order_faults(
    examination: Examination, name: str, steerings: tuple[object, ...], sizes: Sizes, figures: dict[str, Any]
) -> list[str]:
    """Ask with each steering twice in turn; compare each first with a cold cache, each second with a third."""
    probe = examination.probe
    prompt = long_text(new_nonce(), sizes.num_words)
    faults = []
    seconds: list[tuple[Question, Sample]] = []
    for steering in steerings:
        question = _question(examination, prompt, steering)
        first = probe.ask(question)
        cold = probe.ask(replace(question, cache_salt=new_nonce()))
        seconds.append((question, probe.ask(question)))
        figures["prompt_tokens"] = len(first.prompt_ids)
        figures["cached_tokens_of_others"] += first.num_cached_tokens or 0
        figures["cached_tokens_of_equals"] += seconds[-1][1].num_cached_tokens or 0
        if not first.equals(cold):
            faults.append(f"{name}: differs from the same request with a cold cache: {first.difference(cold)}")
        if first.num_cached_tokens:
            faults.append(f"{name}: took {first.num_cached_tokens} tokens from a cache of another steering")
    for question, second in seconds:
        third = probe.ask(question)
        if not third.equals(second):
            faults.append(f"{name}: the same request later differs: {third.difference(second)}")
    if seconds[0][1].num_cached_tokens == 0:
        faults.append(f"{name}: equal requests share no cached tokens")
    return faults


def _second_turn_faults(examination: Examination, sizes: Sizes, figures: dict[str, Any]) -> list[str]:
    """Go on from an answer that was written under edits which the second turn's prompt does not have.

    The first turn's prompt is shorter than a block, so no block may be shared and the cold cache is matched exactly.
    """
    probe = examination.probe
    steering = {"edits": examination.strong_edits, "phases": ["reasoning", "answer"]}
    first = probe.ask(
        replace(_question(examination, new_nonce(), steering), max_tokens=sizes.num_generated, has_fixed_length=True)
    )
    ids = (*first.prompt_ids, *first.ids)
    if not first.prompt_ids or not first.ids:
        raise NotCheckedError("the server returns no token ids, so no second turn can be asked")
    figures["second_turn_tokens"] = len(ids)
    second = _question(examination, ids, steering)
    warm, cold = probe.ask(second), probe.ask(replace(second, cache_salt=new_nonce()))
    if warm.equals(cold):
        return []
    return [f"second turn: keys and values of a steered answer served a prompt: {warm.difference(cold)}"]


def _question(examination: Examination, prompt: str | tuple[int, ...], steering: object) -> Question:
    # Raw, because a template's own beginning may fill a block, which requests may rightly share.
    return Question(prompt=prompt, is_raw=True, steering=steering, max_tokens=examination.max_tokens)


def _measure(examination: Examination) -> Sizes:
    """Find how many words fill enough blocks, with the server's own tokens.

    Raises:
        NotCheckedError: The server gives no token ids, or its context is too short.
    """
    num_trial = 64
    trial = _question(examination, long_text(new_nonce(), num_trial), steering=False)
    num_tokens = len(examination.probe.ask(replace(trial, max_tokens=1)).prompt_ids)
    if not num_tokens:
        raise NotCheckedError("the server returns no token ids, so the prompt cannot be measured in blocks")
    block_size = examination.model.engine.block_size or DEFAULT_BLOCK_SIZE
    wanted, room = MIN_BLOCKS * block_size, examination.probe.max_model_len - 3 * examination.max_tokens
    if room < wanted:
        raise NotCheckedError(
            f"a prompt of {wanted:.0f} tokens, {MIN_BLOCKS} blocks, does not fit the context of "
            f"{examination.probe.max_model_len}; start the server with a longer --max-model-len or smaller --block-size"
        )
    return Sizes(num_words=int(wanted * num_trial / num_tokens) + 1, num_generated=int(1.5 * block_size))
