"""What one request asks, and what came back."""

import json
import math
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from polyglyph.analysis.evaluation.errors import UnsteeredAnswerError
from polyglyph.clients.calls import Call
from polyglyph.clients.errors import AnswerError
from polyglyph.clients.profile.asking import StatusError
from polyglyph.clients.thinking import split_thinking

T = TypeVar("T")

CUT_OFF = frozenset({"abort", "error"})
"""Finish reasons of a server that ended while it answered: no answer, and worth another try."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One chat completion.

    Attributes:
        text: The answer, without the reasoning.
        reasoning: The reasoning, empty where there is none.
        finish_reason: As the server says.
        prompt_tokens: Of the request.
        completion_tokens: Reasoning and answer.
        steering: The response's `steering` field; None where the server says nothing of it.
        routing: The response's `routing` field, if it was asked for.
    """

    text: str
    reasoning: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    steering: dict[str, Any] | None = None
    routing: dict[str, Any] | None = None

    @property
    def is_cut_off(self) -> bool:
        """Whether the server ended before the answer did."""
        return self.finish_reason in CUT_OFF

    def check_steering(self, fingerprint: str, strength: float) -> None:
        """Refuse an answer that was not steered as asked; see `check_echo`."""
        check_echo(self.steering, fingerprint, strength)


def check_echo(echo: dict[str, Any] | None, fingerprint: str, strength: float) -> None:
    """Refuse an answer that was not steered as asked.

    Args:
        echo: The response's `steering` field.
        fingerprint: Of the plan or edits that were sent; empty for none.
        strength: Of them.

    Raises:
        UnsteeredAnswerError: Says what was expected and what came.
    """
    if echo is None:
        raise UnsteeredAnswerError("the server says nothing of the steering that was asked for: is it Polyglyph's?")
    is_expected = bool(fingerprint) and strength != 0
    found = echo.get("fingerprint") or ""
    applied, came = echo.get("applied"), float(echo.get("strength") or 0.0)
    if applied is not is_expected:
        raise UnsteeredAnswerError(f"expected an answer with applied: {is_expected}, got applied: {applied}")
    if is_expected and (found != fingerprint or not math.isclose(came, strength, rel_tol=1e-6)):
        raise UnsteeredAnswerError(
            f"expected an answer steered by {fingerprint} at strength {strength:g}, got {found or 'no plan'} at "
            f"{came:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Question(Call[T]):
    """One request that may be sent again."""

    def check(self, response: httpx.Response) -> None:
        """Refuse an error's answer.

        Raises:
            StatusError: The answer is an error.
        """
        if response.is_error:
            raise StatusError(response)


def question(body: dict[str, Any]) -> Question[Reply]:
    """Give the chat request of a body."""
    return Question(method="POST", path="/v1/chat/completions", read=read_reply, body=body)


def read_reply(answer: str) -> Reply:
    """Read a chat completion.

    Raises:
        AnswerError: It is none.
    """
    try:
        document = json.loads(answer)
        choice, usage = document["choices"][0], document["usage"]
        message = choice["message"]
        text = message.get("content") or ""
        # The field's name differs between vLLM's releases; without a reasoning parser there is neither.
        reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
        if not reasoning:
            reasoning, text = split_thinking(text)
        return Reply(
            text=_writable(text),
            reasoning=_writable(reasoning),
            finish_reason=str(choice["finish_reason"]),
            prompt_tokens=int(usage["prompt_tokens"]),
            completion_tokens=int(usage["completion_tokens"]),
            steering=document.get("steering"),
            routing=document.get("routing"),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AnswerError(f"expected a chat completion with its usage, got {answer[:200]!r}") from error


def _writable(text: str) -> str:
    """Put a question mark for half a character, which JSON can carry and UTF-8 cannot."""
    return text.encode(errors="replace").decode()
