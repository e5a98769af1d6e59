"""`/v1/routing/*`: what is loaded and hooked, and the sums over all tokens."""

import re
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from polyglyph.contract.errors import ConflictError, RequestError
from polyglyph.contract.plan import PHASES
from polyglyph.contract.stats import Stats, StatsGroup
from polyglyph.server.service import Service
from polyglyph.server.steering_routes import AdminServer, Server

router = APIRouter(tags=["Polyglyph routing"])
JsonObject = dict[str, Any]
FORMATS = ("json",)
FILTERS = ("script", "phase", "plan", "tag")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


@router.get("/v1/routing/model")
async def get_model(service: Server) -> JSONResponse:
    """Describe the loaded model's routers, the hooks on every worker as they are now, and the settings in force."""
    report = await service.workers.look()
    return JSONResponse(
        {
            **report.model.model_dump(mode="json"),
            "fingerprint": report.model.binding.fingerprint,
            "workers": [asdict(worker) for worker in report.workers],
            "versions": report.versions,
            "settings": _settings(service),
            "engine": service.engine,
        }
    )


@router.get("/v1/routing/stats")
async def get_stats(request: Request, service: AdminServer) -> JSONResponse:
    """Give the sums since the last reset, by request script and phase (admin key)."""
    filters = _read_filters(request, service)
    _check_has_stats(service)
    stats = await service.workers.read_stats()
    return JSONResponse(_select(stats, filters).model_dump(mode="json", by_alias=True))


@router.post("/v1/routing/stats/reset")
async def reset_stats(service: AdminServer) -> JSONResponse:
    """Set all sums to zero (admin key)."""
    _check_has_stats(service)
    await service.workers.reset_stats()
    return JSONResponse({"reset": True})


def _settings(service: Service) -> JsonObject:
    settings = service.settings
    return {
        "stats": settings.stats,
        "steering_default": settings.steering_default,
        "inline_edits": settings.inline_edits,
        "max_body_bytes": settings.max_body_bytes,
        "admin_key": settings.admin_key is not None,
    }


def _check_has_stats(service: Service) -> None:
    if not service.settings.stats:
        raise ConflictError("this server keeps no stats: it was started with --no-stats (POLYGLYPH_STATS=0)")


def _read_filters(request: Request, service: Service) -> dict[str, str]:
    given = dict(request.query_params)
    for name in given:
        if name not in {"format", *FILTERS}:
            raise RequestError(
                f"{name}: there is no such parameter; there are format, {', '.join(FILTERS)}", param=name
            )
    if (kind := given.pop("format", "json")) not in FORMATS:
        raise RequestError(f"format: expected {' or '.join(FORMATS)}, got {kind!r:.60}", param="format")
    if given.get("phase", PHASES[0]) not in PHASES:
        raise RequestError(f"phase: expected {', '.join(PHASES)}, got {given['phase']!r:.60}", param="phase")
    if given.get("plan") and not _FINGERPRINT.fullmatch(given["plan"]):
        given["plan"] = service.plans.find(given["plan"], param="plan").fingerprint
    return given


def _select(stats: Stats, filters: dict[str, str]) -> Stats:
    fields = {"script": "request_script"}

    def is_wanted(group: StatsGroup) -> bool:
        return all(getattr(group, fields.get(name, name)) == value for name, value in filters.items())

    return stats.model_copy(update={"groups": tuple(group for group in stats.groups if is_wanted(group))})
