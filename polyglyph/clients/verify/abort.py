"""A client that goes away from a stream: what was computed until then is counted, evenly, and nothing else."""

from typing import Any

from polyglyph.clients.verify.conservation import tokens_fault
from polyglyph.clients.verify.drafts import max_drafts
from polyglyph.clients.verify.examination import Examination
from polyglyph.clients.verify.line import NotCheckedError
from polyglyph.clients.verify.probe import Question, new_nonce
from polyglyph.clients.verify.prompts import TEXTS, marked
from polyglyph.clients.verify.tag_sums import TagSums, sums_of

NUM_CHUNKS = 3
MAX_TOKENS = 512


def abort_fault(examination: Examination, figures: dict[str, Any]) -> str | None:
    """Go away from a long stream, look at its sums, and at those of a request after it.

    Raises:
        NotCheckedError: The sums are not open, or the answer had ended before the client went away.
    """
    tag = f"verify-{new_nonce()}"
    question = Question(
        prompt=marked(new_nonce(), TEXTS[0]),
        is_raw=True,
        steering=examination.unsteered,
        max_tokens=min(MAX_TOKENS, examination.probe.max_model_len // 2),
        has_fixed_length=True,
        tag=tag,
    )
    received = examination.probe.abort(question, after=NUM_CHUNKS)
    fewest = len(received.prompt_ids) + len(received.tokens) - 1
    sums = sums_of(examination, tag, is_settled=_Rest())
    figures["aborted_after"] = sums.passed_tokens
    if sums.uneven or sums.passed_tokens < fewest:
        return f"aborted stream: {sums.uneven or tokens_fault(sums, fewest, surplus=question.max_tokens)}"
    if received.prompt_ids and sums.passed_tokens >= len(received.prompt_ids) + question.max_tokens - 1:
        raise NotCheckedError("the answer had ended before the client went away: the engine is too fast for this check")
    return _after_fault(examination)


def _after_fault(examination: Examination) -> str | None:
    tag = f"verify-{new_nonce()}"
    question = Question(
        prompt=marked(new_nonce(), TEXTS[1]),
        is_raw=True,
        steering=examination.unsteered,
        max_tokens=examination.max_tokens,
        has_fixed_length=True,
        tag=tag,
    )
    passed = examination.probe.ask_raw(question).passed_tokens
    sums = sums_of(examination, tag, is_settled=lambda sums: sums.passed_tokens >= passed)
    fault = sums.uneven or tokens_fault(sums, passed, surplus=max_drafts(examination.model.engine))
    return f"request after an aborted stream: {fault}" if fault else None


class _Rest:
    """Whether sums have come to rest: they are there, and as they were at the last look."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, sums: TagSums) -> bool:
        is_resting = 0 < sums.passed_tokens == self._last
        self._last = sums.passed_tokens
        return is_resting
