"""Refusals as HTTP answers, in OpenAI's error shape on every route."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from polyglyph.contract.errors import RequestError


def refusal(error: RequestError, *, path: str = "") -> Response:
    """Give the answer to a request that is refused.

    Args:
        error: The reason.
        path: Route it came by; Anthropic's clients expect `type: error` beside OpenAI's `error`.
    """
    # ASCII, because what came may hold lone surrogates, which have no UTF-8.
    content = json.dumps(error_document(error, path=path), ensure_ascii=True)
    return Response(content, status_code=error.status, media_type="application/json")


def error_document(error: RequestError, *, path: str = "") -> dict[str, Any]:
    """Give the error's JSON for a route."""
    document = error.to_openai()
    return {"type": "error", **document} if path == "/v1/messages" else document


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Answer a `RequestError` that a route raised (an exception handler of FastAPI)."""
    assert isinstance(error, RequestError)
    return refusal(error, path=request.url.path)
