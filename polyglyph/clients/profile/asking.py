"""What is asked of the server for a document, as data."""

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any

import httpx

from polyglyph.clients.calls import Call
from polyglyph.clients.errors import AnswerError, body_of, error_of
from polyglyph.clients.profile.document import Document
from polyglyph.clients.profile.usage import Usage, usage_of
from polyglyph.contract.errors import PolyglyphError


class StatusError(PolyglyphError):
    """An answer that is an error, with what another try depends on.

    Attributes:
        status: HTTP status.
        error: What the server says.
        retry_after_s: How long the server asks to wait, in seconds.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.error = error_of(self.status, body_of(response.text), url=str(response.url))
        self.retry_after_s = _retry_after_s(response)
        super().__init__(str(self.error))


@dataclass(frozen=True, kw_only=True)
class Question(Call[Usage]):
    """One request; its answer's usage is read, its text is not."""

    def check(self, response: httpx.Response) -> None:
        """Refuse an error's answer.

        Raises:
            StatusError: The answer is an error.
        """
        if response.is_error:
            raise StatusError(response)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What all requests of a run have in common.

    Attributes:
        model: The served model's name.
        steering: The `steering` field; None leaves it out.
        max_tokens: Tokens to generate for chat messages; a text gets 1.
        shares_prefixes: Let the server's prefix cache serve what documents have in common. Otherwise every request
            has a salt of its own, and every token is computed and counted.
        max_body_bytes: Largest request that the server reads; None when it does not say.
    """

    model: str
    steering: Any = None
    max_tokens: int = 1
    shares_prefixes: bool = False
    max_body_bytes: int | None = None

    def is_too_large(self, question: Question) -> bool:
        """Whether a request is over the server's limit, which may answer it by closing the connection."""
        limit = self.max_body_bytes
        return limit is not None and len(json.dumps(question.body, ensure_ascii=False).encode()) > limit

    def question(self, document: Document, text: str | None) -> Question:
        """Give the request for a document, or for a part of its text."""
        path = "/v1/completions" if document.messages is None else "/v1/chat/completions"
        return Question(method="POST", path=path, read=self._read, body=self._body(document, text))

    def _body(self, document: Document, text: str | None) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "temperature": 0}
        if document.messages is None:
            # The one sampled token never goes through the model: what is counted is the prompt.
            body |= {"prompt": text, "max_tokens": 1}
        else:
            body |= {"messages": document.messages, "max_tokens": self.max_tokens}
        body |= {"routing": {"tag": document.tag}} if document.tag else {}
        body |= {} if self.steering is None else {"steering": self.steering}
        return body | ({} if self.shares_prefixes else {"cache_salt": secrets.token_hex(16)})

    def _read(self, answer: str) -> Usage:
        usage = usage_of(body_of(answer))
        # A salt that no other request has finds nothing in the cache, whether the server says so or not.
        return usage if self.shares_prefixes else replace(usage, says_cached=True)


def first_model() -> Call[str]:
    """Ask for the name of the first model that is served."""
    return Call(method="GET", path="/v1/models", read=_read_first_model)


def _read_first_model(answer: str) -> str:
    try:
        return str(json.loads(answer)["data"][0]["id"])
    except (ValueError, LookupError, TypeError) as error:
        raise AnswerError(f"expected a list of served models, got {answer[:80]!r}") from error


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after") or 0.0))
    except ValueError:
        return 0.0
