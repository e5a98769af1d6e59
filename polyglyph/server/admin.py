"""The administrator's key, and vLLM's own authentication around it."""

import hmac
from argparse import Namespace
from hashlib import sha256

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyglyph.contract.errors import AdminKeyError, RequestError
from polyglyph.server.middleware import OWN_PREFIXES, route_path
from polyglyph.server.refusals import refusal

ADMIN_HEADER = "X-Polyglyph-Admin-Key"
"""Carries the admin key beside a caller's key in `Authorization`."""


class MissingApiKeyError(RequestError):
    """A caller without the key that vLLM was started with."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


def check_admin(request: Request, *, key: SecretStr | None) -> None:
    """Refuse a request without the administrator's key.

    Raises:
        AdminKeyError: There is no such key, or the request has another one.
    """
    if key is None:
        raise AdminKeyError(
            "this route is closed: the server was started without an admin key; start it with --admin-key "
            "(or POLYGLYPH_ADMIN_KEY)",
            param="Authorization",
        )
    wanted = sha256(key.get_secret_value().encode()).digest()
    shown = (_bearer(request.headers), request.headers.get(ADMIN_HEADER, ""))
    # Every key is compared, in constant time, so that the time taken tells nothing.
    matches = [hmac.compare_digest(wanted, sha256(text.encode()).digest()) for text in shown]
    if not any(matches):
        raise AdminKeyError(
            f"this route needs the server's admin key, as 'Authorization: Bearer KEY' or in {ADMIN_HEADER}; "
            + ("a caller's key does not open it" if any(shown) else "no key came"),
            param="Authorization",
        )


def admit_admin_key(args: Namespace, *, key: SecretStr | None, environment_key: str | None) -> None:
    """Let vLLM's authentication pass the admin key too, where it is on; our routes still tell the keys apart.

    Args:
        args: vLLM's arguments, read by its authentication after the plugins are attached; `api_key` is changed.
        key: The admin key.
        environment_key: `VLLM_API_KEY`, which counts when no `--api-key` is given.
    """
    callers = [text for text in (args.api_key or [environment_key]) if text]
    if key is not None and callers:
        args.api_key = [*callers, key.get_secret_value()]


class UnauthorizedInOpenAIShape:
    """Puts vLLM's bare 401 on our own routes into OpenAI's error shape; it stands outside vLLM's authentication."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not route_path(scope).startswith(OWN_PREFIXES):
            await self._app(scope, receive, send)
            return
        is_refused = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start" and message["status"] == MissingApiKeyError.status:
                is_refused = True
            if not is_refused:
                await send(message)

        await self._app(scope, receive, send_unless_refused)
        if is_refused:
            error = MissingApiKeyError(
                "this server wants an API key (--api-key) as 'Authorization: Bearer KEY'", param="Authorization"
            )
            await refusal(error)(scope, receive, send)


def _bearer(headers: Headers) -> str:
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
