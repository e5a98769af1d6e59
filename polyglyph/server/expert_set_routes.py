"""`/v1/routing/expert-sets`: the registry of expert sets."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from polyglyph.contract.errors import RequestError
from polyglyph.contract.expert_set import check_expert_set, parse_expert_set
from polyglyph.server.bodies import read_json
from polyglyph.server.expert_sets import StoredExpertSet
from polyglyph.server.steering_routes import AdminServer, Server

router = APIRouter(tags=["Polyglyph routing"])
JsonObject = dict[str, Any]


@router.get("/v1/routing/expert-sets")
async def list_expert_sets(service: Server) -> JSONResponse:
    """List the expert sets by name."""
    return JSONResponse({"object": "list", "data": [_entry(stored) for stored in service.expert_sets.all()]})


@router.get("/v1/routing/expert-sets/{name}")
async def get_expert_set(name: str, service: Server) -> JSONResponse:
    """Give an expert set's document."""
    stored = service.expert_sets.find(name, param="name")
    return JSONResponse(stored.experts.to_json(), headers={"ETag": f'"{stored.fingerprint}"'})


@router.put("/v1/routing/expert-sets/{name}")
async def put_expert_set(name: str, request: Request, service: AdminServer) -> JSONResponse:
    """Store an expert set of the loaded model under its name (admin key)."""
    experts = parse_expert_set(read_json(await request.body(), root="experts"))
    if experts.name != name:
        raise RequestError(
            f"experts.name: the route says {name!r:.80}, the expert set '{experts.name}'", param="experts.name"
        )
    check_expert_set(experts, service.report.model)
    async with service.changes:
        service.resolver.check_guard(experts)
        stored = await asyncio.to_thread(service.expert_sets.put, experts)
    return JSONResponse(_entry(stored))


@router.delete("/v1/routing/expert-sets/{name}")
async def delete_expert_set(name: str, service: AdminServer) -> JSONResponse:
    """Take an expert set out of the registry (admin key)."""
    async with service.changes:
        await asyncio.to_thread(service.expert_sets.delete, name)
    return JSONResponse({"name": name, "deleted": True})


def _entry(stored: StoredExpertSet) -> JsonObject:
    experts = stored.experts
    return {
        "name": experts.name,
        "fingerprint": stored.fingerprint,
        "description": experts.description,
        "num_experts": experts.num_experts,
        "layers": sorted(entry.layer for entry in experts.experts),
        "phase": experts.phase,
        "gives_probability": experts.gives_probability,
        "threshold": experts.threshold_in_force,
        "guard": experts.guard,
        "fits_model": stored.fits_model,
    }
