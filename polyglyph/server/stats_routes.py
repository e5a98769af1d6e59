"""`/v1/routing/stats`: the sums over all tokens as a download, sums taken in, and a new beginning."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from polyglyph.contract.errors import BusyError, ConflictError
from polyglyph.contract.exports.checks import parse_time
from polyglyph.contract.sums import GroupSums
from polyglyph.routing.reports import EngineReport
from polyglyph.server.exports import RETRY_AFTER_S, Exports, SumsReader
from polyglyph.server.imports import read_import, received
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.refusals import refusal
from polyglyph.server.settings import Settings
from polyglyph.server.stats_query import read_export_request
from polyglyph.server.steering_routes import admin_service_of

router = APIRouter(tags=["Polyglyph routing"])


class StatsService(Protocol):
    """What these routes need of the service."""

    @property
    def settings(self) -> Settings:
        """What the administrator chose."""

    @property
    def report(self) -> EngineReport:
        """The model as loaded."""

    @property
    def plans(self) -> PlanRegistry:
        """The registry."""

    @property
    def ledger(self) -> SumsReader:
        """Where sums are read from."""

    @property
    def exports(self) -> Exports:
        """Writes downloads, a few at once."""

    async def flush(self) -> None:
        """Bring what the engine counted up to now into the store."""

    async def reset_stats(self) -> None:
        """Set all sums to zero."""

    async def import_stats(self, groups: Sequence[GroupSums], *, sha256: str, since: datetime) -> None:
        """Add sums, all or nothing; refuses a digest that was imported since the last reset."""


StatsServer = Annotated[StatsService, Depends(admin_service_of)]


@router.get("/v1/routing/stats")
async def get_stats(request: Request, service: StatsServer) -> Response:
    """Give the sums since the last reset as a file, with its manifest in a header (admin key)."""
    _check_has_stats(service)

    def fingerprint_of(name: str) -> str:
        return service.plans.find(name, param="plan").fingerprint

    wanted = read_export_request(
        request.query_params.multi_items(), fingerprint_of=fingerprint_of, now=datetime.now(UTC)
    )
    await service.flush()
    model_layers = tuple(described.model_layer for described in service.report.model.routers)
    try:
        return await service.exports.response(wanted, reader=service.ledger, model_layers=model_layers)
    except BusyError as error:
        return _come_again(error)


@router.post("/v1/routing/stats/import")
async def import_stats(request: Request, service: StatsServer) -> Response:
    """Add an exported file's sums to the server's (admin key); the same sums are taken once until the next reset."""
    _check_has_stats(service)
    try:
        async with service.exports.place(), received(request.stream()) as path:
            stats = await asyncio.to_thread(read_import, path, model=service.report.model.binding)
    except BusyError as error:
        return _come_again(error)
    except ClientDisconnect:
        # Nobody hears the answer; nothing was added.
        return Response(status_code=400)
    since = parse_time(stats.header.since, field="header.since")
    await service.import_stats(stats.groups, sha256=stats.digest.removeprefix("sha256:"), since=since)
    tally = stats.tally
    answer = {"imported": True, "groups": tally.groups, "tokens": tally.tokens, "cached_tokens": tally.cached_tokens}
    return JSONResponse({**answer, "digest": stats.digest})


@router.post("/v1/routing/stats/reset")
async def reset_stats(service: StatsServer) -> JSONResponse:
    """Set all sums to zero (admin key)."""
    _check_has_stats(service)
    await service.reset_stats()
    return JSONResponse({"reset": True})


def _check_has_stats(service: StatsService) -> None:
    if not service.settings.stats:
        raise ConflictError("this server keeps no stats: it was started with --no-stats (POLYGLYPH_STATS=0)")


def _come_again(error: BusyError) -> Response:
    response = refusal(error)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
