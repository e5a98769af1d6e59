"""What one answer says of its tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyglyph.clients.errors import AnswerError


@dataclass(frozen=True)
class Usage:
    """Tokens of one or more requests; they add up.

    Attributes:
        prompt_tokens: Tokens of the prompts.
        generated_tokens: Tokens that were sampled.
        requests: How many requests these are.
        cached_tokens: Prompt tokens from the prefix cache, as far as the server says.
        says_cached: Whether it says so for every request.
    """

    prompt_tokens: int = 0
    generated_tokens: int = 0
    requests: int = 0
    cached_tokens: int = 0
    says_cached: bool = True

    @property
    def passed_tokens(self) -> int:
        """Tokens that went through the model or came from its cache: each request's last sampled one never does."""
        return self.prompt_tokens + self.generated_tokens - self.requests

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.generated_tokens + other.generated_tokens,
            self.requests + other.requests,
            self.cached_tokens + other.cached_tokens,
            self.says_cached and other.says_cached,
        )


def usage_of(answer: Any) -> Usage:
    """Read the usage of an answer.

    Raises:
        AnswerError: There is none, so that nothing could be reconciled.
    """
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    try:
        prompt, total = int(usage["prompt_tokens"]), int(usage["total_tokens"])  # type: ignore[index]
        details = usage.get("prompt_tokens_details")  # type: ignore[union-attr]
        cached = None if details is None else details.get("cached_tokens")
        return Usage(prompt, total - prompt, 1, int(cached or 0), says_cached=cached is not None)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnswerError(f"expected an answer with its usage of tokens, got {answer!r:.200}") from error
