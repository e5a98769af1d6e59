"""`/v1/routing/*`: what is loaded and hooked; the sums over all tokens have routes of their own."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from polyglyph.server import expert_set_routes, stats_routes
from polyglyph.server.service import Service
from polyglyph.server.steering_routes import Server

router = APIRouter()
JsonObject = dict[str, Any]
router.include_router(stats_routes.router)
router.include_router(expert_set_routes.router)


@router.get("/v1/routing/model", tags=["Polyglyph routing"])
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


def _settings(service: Service) -> JsonObject:
    settings = service.settings
    return {
        "stats": settings.stats,
        "flush_seconds": settings.flush_seconds,
        "stats_bucket_seconds": settings.stats_bucket_seconds,
        "trace_dir": settings.trace_dir is not None,
        "scores": service.report.can_log_scores,
        "steering_default": settings.steering_default,
        "inline_edits": settings.inline_edits,
        "max_body_bytes": settings.max_body_bytes,
        "admin_key": settings.admin_key is not None,
    }
