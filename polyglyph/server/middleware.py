"""The ASGI middleware: takes our fields out of requests, hands them to the engine, and answers in the responses."""

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from polyglyph.contract.errors import RequestError
from polyglyph.routing.ticket import CURRENT_TICKET, Ticket
from polyglyph.server.accounts import Account
from polyglyph.server.bodies import ClientGoneError, read_body, replay, with_content_length
from polyglyph.server.dialects import DIALECTS, UNSTEERED_PATHS, Dialect
from polyglyph.server.metrics.counts import Metrics
from polyglyph.server.probing import Probe, RefusedByVllmError
from polyglyph.server.questions import Question, read_question, refuse_fields, without_fields
from polyglyph.server.refusals import refusal
from polyglyph.server.responses import AnnotatingSend
from polyglyph.server.service import Service

OWN_PREFIXES = ("/v1/steering/", "/v1/routing/")
IMPORT_PATH = "/v1/routing/stats/import"


class SteeringMiddleware:
    """Steers the requests of the four generating routes; everything else passes.

    A request that cannot be steered as asked is refused here, before vLLM sees it. One that asks nothing passes with
    its own bytes, and so does its response.

    Args:
        app: The app inside, vLLM's.
        find_service: Gives the server's service for a request's scope.
    """

    def __init__(self, app: ASGIApp, *, find_service: Callable[[Scope], Service]) -> None:
        self._app = app
        self._find_service = find_service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] not in {"POST", "PUT"}:
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        try:
            serve = await self._prepare(path, scope, receive)
        except RequestError as error:
            self._find_service(scope).recorders.metrics.count_refusal(code=error.code)
            serve = refusal(error, path=path)
        except RefusedByVllmError as refused:
            serve = refused.answer
        except ClientGoneError:
            return
        await serve(scope, receive, send)

    async def _prepare(self, path: str, scope: Scope, receive: Receive) -> ASGIApp:
        is_ours = path.startswith(OWN_PREFIXES)
        # An import has a limit of its own, and is written to a file as it comes.
        if path == IMPORT_PATH or (path not in DIALECTS and path not in UNSTEERED_PATHS and not is_ours):
            return self._app
        service = self._find_service(scope)
        body = await read_body(scope, receive, limit=service.settings.max_body_bytes)
        document = None if is_ours else parse_object(body)
        if document is not None and path in DIALECTS:
            question = await _ask(document, DIALECTS[path], self._app, service=service, scope=scope, receive=receive)
            return self._steer(question, DIALECTS[path], document, body, service=service)
        if document is not None:
            refuse_fields(document, path=path)
        return self._forward(body)

    def _steer(
        self, question: Question, dialect: Dialect, document: dict[str, Any], body: bytes, *, service: Service
    ) -> ASGIApp:
        recorders = service.recorders
        _count(question, recorders.metrics)
        ticket = Ticket(question.payload())
        serve = self._forward(without_fields(document) if question.named_fields else body)
        if question.is_answered:
            account = Account(ticket, question=question, recorders=recorders)
            serve = annotated(serve, dialect=dialect, account=account)
        if question.is_answered or service.settings.stats or service.settings.trace_dir is not None:
            serve = carrying(ticket, serve)
        return serve

    def _forward(self, body: bytes) -> ASGIApp:
        async def forward(scope: Scope, receive: Receive, send: Send) -> None:
            await self._app(with_content_length(scope, len(body)), replay(body, receive), send)

        return forward


async def _ask(
    document: dict[str, Any], dialect: Dialect, app: ASGIApp, *, service: Service, scope: Scope, receive: Receive
) -> Question:
    """Read what a request asks; where that hangs on its routing, ask the engine first."""
    recorders, resolver = service.recorders, service.resolver
    question = read_question(
        document,
        dialect=dialect,
        resolver=resolver,
        has_stats=service.settings.stats,
        can_log_scores=recorders.report.can_log_scores,
    )
    if question.resolution.pending is None:
        return question
    probe = Probe(app=app, dialect=dialect, recorders=recorders, resolver=resolver)
    return await probe.settle(question, document, scope=scope, receive=receive)


def _count(question: Question, metrics: Metrics) -> None:
    resolution = question.resolution
    metrics.count_request(
        request_script=question.script,
        plan=resolution.label,
        source=resolution.source,
        has_inline_edits=resolution.is_steered,
    )
    guessed = resolution.guessed
    if guessed.match is not None:
        metrics.count_guess(guess="pattern", outcome="guessed" if guessed.match.pattern else "unsure")
    if guessed.guess is not None:
        metrics.count_guess(guess=guessed.guess, outcome="guessed" if guessed.source else "unsure")


def annotated(app: ASGIApp, *, dialect: Dialect, account: Account) -> ASGIApp:
    """Give an app whose responses carry our fields."""

    async def annotate(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, AnnotatingSend(send, dialect=dialect, account=account))

    return annotate


def carrying(ticket: Ticket, app: ASGIApp) -> ASGIApp:
    """Give an app that serves with a ticket in its context, where the engine's input processor finds it."""

    async def carried(scope: Scope, receive: Receive, send: Send) -> None:
        token = CURRENT_TICKET.set(ticket)
        try:
            await app(scope, receive, send)
        finally:
            CURRENT_TICKET.reset(token)

    return carried


def route_path(scope: Scope) -> str:
    """Give the path that routes are matched by, as vLLM's own authentication does."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def parse_object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None for anything else, which vLLM refuses itself.

    Raises:
        RequestError: The body is nested so deeply that it cannot be searched for our fields.
    """
    try:
        document = json.loads(body)
    except ValueError:
        return None
    except RecursionError as error:
        raise RequestError("the body is nested too deeply to be read") from error
    return document if isinstance(document, dict) else None


def service_of_app(scope: Scope) -> Service:
    """Find the service of the app that serves a scope."""
    service: Service = Request(scope).app.state.polyglyph
    return service
