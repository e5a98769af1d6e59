"""`/v1/steering/*`: the registry of plans, the policy, dry runs and the schemas."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from polyglyph.contract.errors import ConflictError, RequestError
from polyglyph.contract.plan import Plan, parse_plan
from polyglyph.contract.policy import parse_policy
from polyglyph.routing.scripts import is_script_of_text
from polyglyph.server.admin import check_admin
from polyglyph.server.bodies import read_json
from polyglyph.server.plans import StoredPlan
from polyglyph.server.resolution import Resolution
from polyglyph.server.schemas import all_schemas
from polyglyph.server.service import Service

router = APIRouter(tags=["Polyglyph steering"])
JsonObject = dict[str, Any]
CODE_LENGTH = 4


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
    """Try a plan or a `steering` field against the loaded model; nothing is scheduled or stored."""
    body = read_json(await request.body(), root="body")
    _check_validate_body(body)
    try:
        return JSONResponse({"valid": True, "errors": [], **_dry_run(body, service)})
    except RequestError as error:
        answer = {"valid": False, "errors": [error.to_openai()["error"]]}
        return JSONResponse(answer)


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
    """Give the JSON Schemas of plan, policy, request and response fields."""
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


def _check_validate_body(body: Any) -> None:
    if not isinstance(body, dict) or ("plan" in body) == ("steering" in body):
        raise RequestError(
            'body: expected {"plan": PLAN} or {"steering": FIELD, "request_script": "Zyyy", "source_script": null}',
            param="body",
        )
    allowed = {"plan"} if "plan" in body else {"steering", "request_script", "source_script"}
    for field in body:
        if field not in allowed:
            raise RequestError(f"{field}: there is no such field here; there are {', '.join(allowed)}", param=field)
    _check_script(body.get("request_script", "Zyyy"), field="request_script")
    if "source_script" in body:
        _check_script(body["source_script"], field="source_script")
        if body["steering"] != "auto":
            raise RequestError(
                'source_script: only a policy guesses it; it goes with "steering": "auto"', param="source_script"
            )


def _check_script(script: Any, *, field: str) -> None:
    # ICU knows scripts by their long names too.
    if not isinstance(script, str) or len(script) != CODE_LENGTH or not is_script_of_text(script):
        raise RequestError(f"{field}: expected a script's code like 'Cyrl', got {script!r:.60}", param=field)


def _dry_run(body: JsonObject, service: Service) -> JsonObject:
    if "plan" in body:
        plan = parse_plan(body["plan"])
        service.resolver.check_plan(plan)
        return _resolved(_resolution_of(plan))
    script = body.get("request_script", "Zyyy")
    if "source_script" in body:
        return _resolved(service.resolver.suppose(script=script, source=body["source_script"]))
    resolution = service.resolver.resolve(body["steering"], script=script)
    # Nothing is probed here: this is what a request gets whose probe is not sure.
    return _resolved(service.resolver.settle(resolution.pending, None) if resolution.pending else resolution)


def _resolution_of(plan: Plan) -> Resolution:
    return Resolution(
        source="request",
        plan=plan.name,
        fingerprint=plan.fingerprint,
        strength=1.0,
        phases=plan.phases,
        edits=plan.edits,
    )


def _resolved(resolution: Resolution) -> JsonObject:
    return {
        "applied": resolution.is_steered,
        "plan": resolution.plan,
        "fingerprint": resolution.fingerprint,
        "strength": resolution.strength,
        "phases": list(resolution.phases),
        "source": resolution.source,
        "guess": resolution.guess,
        "guessed_source": resolution.guessed_source,
        "reason": resolution.reason,
        "edits": [edit.model_dump(mode="json", exclude_none=True) for edit in resolution.edits],
    }
