"""`/v1/steering/*`: the registry of plans, the policy, dry runs and the schemas."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from polyglyph.contract.errors import ConflictError, RequestError
from polyglyph.contract.plan import parse_plan
from polyglyph.contract.policy import parse_policy
from polyglyph.server.admin import check_admin
from polyglyph.server.bodies import read_json
from polyglyph.server.dry_runs import dry_run
from polyglyph.server.plans import StoredPlan
from polyglyph.server.schemas import all_schemas
from polyglyph.server.service import Service

router = APIRouter(tags=["Polyglyph steering"])
JsonObject = dict[str, Any]


def service_of(request: Request) -> Service:
    """Give the server's service."""
    service: Service = request.app.state.polyglyph
    return service


def admin_service_of(request: Request) -> Service:
    """Give the server's service to who shows the admin key."""
    service = service_of(request)
    check_admin(request, key=service.settings.admin_key)
    return service


Server = Annotated[Service, Depends(service_of)]
AdminServer = Annotated[Service, Depends(admin_service_of)]


@router.get("/v1/steering/plans")
async def list_plans(service: Server) -> JSONResponse:
    """List the plans by name, and the files of the registry that hold none."""
    unreadable = [{"file": file, "reason": reason} for file, reason in sorted(service.plans.unreadable.items())]
    entries = [_entry(stored, service) for stored in service.plans.all()]
    return JSONResponse({"object": "list", "data": entries, "unreadable": unreadable})


@router.get("/v1/steering/plans/{name}")
async def get_plan(name: str, service: Server) -> JSONResponse:
    """Give a plan's document, by name or by fingerprint."""
    stored = await asyncio.to_thread(service.plans.find, name, param="name")
    return JSONResponse(stored.plan.to_json(), headers={"ETag": f'"{stored.fingerprint}"'})


@router.put("/v1/steering/plans/{name}")
async def put_plan(name: str, request: Request, service: AdminServer) -> JSONResponse:
    """Store a plan under its name, or point the name to other content (admin key)."""
    plan = parse_plan(read_json(await request.body(), root="plan"))
    if plan.name != name:
        raise RequestError(f"plan.name: the route says {name!r:.80}, the plan '{plan.name}'", param="plan.name")
    service.resolver.check_plan(plan)
    async with service.changes:
        service.resolver.check_uses(plan)
        stored = await asyncio.to_thread(service.plans.put, plan)
    return JSONResponse(_entry(stored, service))


@router.delete("/v1/steering/plans/{name}")
async def delete_plan(name: str, service: AdminServer) -> JSONResponse:
    """Take a plan's name out of the registry (admin key)."""
    async with service.changes:
        if uses := service.resolver.uses_of(name):
            text = f"name: the plan '{name}' is in use by {', '.join(uses)}; change that first"
            raise ConflictError(text, param="name")
        await asyncio.to_thread(service.plans.delete, name)
    return JSONResponse({"name": name, "deleted": True})


@router.post("/v1/steering/validate")
async def validate(request: Request, service: Server) -> JSONResponse:
    """Try a plan, a `steering` or `routing` field, an expert set or a policy against the loaded model."""
    return JSONResponse(dry_run(read_json(await request.body(), root="body"), service))


@router.get("/v1/steering/policy")
async def get_policy(service: Server) -> JSONResponse:
    """Give the policy in force; one without rules when none was set."""
    return JSONResponse(service.policies.policy.to_json())


@router.put("/v1/steering/policy")
async def put_policy(request: Request, service: AdminServer) -> JSONResponse:
    """Put a policy in force and keep it (admin key)."""
    policy = parse_policy(read_json(await request.body(), root="policy"))
    async with service.changes:
        service.resolver.check_policy(policy)
        await asyncio.to_thread(service.policies.put, policy)
    return JSONResponse(policy.to_json())


@router.get("/v1/steering/schema")
async def get_schema() -> Response:
    """Give the JSON Schemas of plan, policy, expert set, request and response fields."""
    return JSONResponse(all_schemas())


def _entry(stored: StoredPlan, service: Service) -> JsonObject:
    plan = stored.plan
    return {
        "name": plan.name,
        "fingerprint": stored.fingerprint,
        "description": plan.description,
        "phases": list(plan.phases),
        "num_edits": len(plan.edits),
        "fits_model": plan.model == service.report.model.binding,
        "builtin": stored.is_builtin,
    }
