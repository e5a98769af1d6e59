"""What can go wrong between a client and a server, beside the errors of the contract.

PolyglyphError
├── RequestError                 see polyglyph.contract.errors: the server refused the request
│   └── ApiKeyError              401, the server wants another API key
├── ServerUnreachableError       nothing answers at the URL
├── AnswerError                  the server failed (5xx), or what answers is no Polyglyph server
├── UnwritableFileError          a file of this machine that cannot be written
└── MissingDependencyError       a command needs a part that is not installed
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polyglyph.contract.errors import PolyglyphError, RequestError

if TYPE_CHECKING:
    import openai


class ApiKeyError(RequestError):
    """A caller without the API key that the server was started with."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class ServerUnreachableError(PolyglyphError):
    """Nothing answers at the URL."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no server answers at {url} ({reason}); start one with 'polyglyph serve', or name another with --url"
        )


class AnswerError(PolyglyphError):
    """An answer that is no Polyglyph server's, or a failure inside the server."""


class UnwritableFileError(PolyglyphError):
    """A file of this machine that cannot be written."""


class MissingDependencyError(PolyglyphError):
    """A command that needs a part that is not installed."""


def error_of(status: int, body: Any, *, url: str) -> PolyglyphError:
    """Turn an error answer into the contract's error.

    Args:
        status: HTTP status, 400 or more.
        body: The answer's JSON, or its text.
        url: What was asked, for the text.
    """
    error = body.get("error") if isinstance(body, dict) else None
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    message = str(fields.get("message") or _text_of(body) or "no reason given")
    kind = _kind_of(status, fields.get("code"))
    if status == 404 and message == "Not Found":
        return AnswerError(f"{url} does not exist: what answers there is no Polyglyph server, or an older one")
    if kind is None:
        return AnswerError(f"{url} answered {status}: {message}")
    return kind(message, param=fields.get("param"))


def error_of_openai(error: "openai.OpenAIError", *, url: str) -> PolyglyphError:
    """Turn an error of the OpenAI client into the contract's error."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error_of(error.status_code, body_of(error.response.text), url=url)
    if isinstance(error, openai.APIConnectionError):
        return unreachable(url, error.__cause__ or error)
    return AnswerError(f"{url}: {error}")


@contextmanager
def openai_errors(url: str) -> Iterator[None]:
    """Turn what the OpenAI client raises into the contract's errors.

    Args:
        url: The server's, for the text.
    """
    import openai

    try:
        yield
    except openai.OpenAIError as error:
        raise error_of_openai(error, url=url) from error


def unreachable(url: str, error: BaseException) -> ServerUnreachableError:
    """Say why nothing was reached."""
    return ServerUnreachableError(url, str(error) or type(error).__name__)


def body_of(text: str) -> Any:
    """Give an answer's JSON, or its text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _kind_of(status: int, code: Any) -> type[RequestError] | None:
    if status == ApiKeyError.status:
        return ApiKeyError
    for kind in _tree(RequestError):
        if kind.code == code and kind.status == status:
            return kind
    return RequestError if status < 500 else None


def _tree(root: type[RequestError]) -> Iterator[type[RequestError]]:
    """Give the contract's kinds of refusal; another package's own ones mean nothing on the wire."""
    for child in root.__subclasses__():
        if child.__module__ == RequestError.__module__:
            yield child
            yield from _tree(child)


def _text_of(body: Any) -> str:
    if isinstance(body, dict):
        return str(body.get("error") or body.get("detail") or "")
    return str(body)[:200]
