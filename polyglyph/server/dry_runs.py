"""Dry runs: what serving would make of a plan, a field, an expert set or a policy; nothing is scheduled or stored."""

from collections.abc import Callable
from typing import Any

from polyglyph.contract.errors import RequestError
from polyglyph.contract.expert_set import check_expert_set, parse_expert_set
from polyglyph.contract.plan import Plan, parse_plan
from polyglyph.contract.policy import parse_policy
from polyglyph.routing.scripts import is_script_of_text
from polyglyph.server.questions import read_routing, read_sets
from polyglyph.server.resolution import Resolution
from polyglyph.server.service import Service

JsonObject = dict[str, Any]
CODE_LENGTH = 4
FIELDS: dict[str, frozenset[str]] = {
    "plan": frozenset({"plan"}),
    "steering": frozenset({"steering", "request_script", "source_script", "pattern"}),
    "routing": frozenset({"routing"}),
    "experts": frozenset({"experts"}),
    "policy": frozenset({"policy"}),
}
"""What may be tried, and the fields that go with it."""
SUPPOSED = ("source_script", "pattern")
"""What only a policy finds out, and a dry run supposes."""


def dry_run(body: Any, service: Service) -> JsonObject:
    """Try what a body holds.

    Raises:
        RequestError: The body holds nothing that can be tried. What serving would refuse is an answer.
    """
    subject = _subject_of(body)
    try:
        return {"valid": True, "errors": [], **_TRIES[subject](body, service)}
    except RequestError as error:
        return {"valid": False, "errors": [error.to_openai()["error"]]}


def _subject_of(body: Any) -> str:
    subjects = [subject for subject in FIELDS if isinstance(body, dict) and subject in body]
    if len(subjects) != 1:
        raise RequestError(
            'body: expected one of {"plan": PLAN}, {"steering": FIELD, "request_script": "Zyyy"}, {"routing": FIELD}, '
            '{"experts": SET} and {"policy": POLICY}',
            param="body",
        )
    (subject,) = subjects
    for field in body:
        if field not in FIELDS[subject]:
            there_are = ", ".join(sorted(FIELDS[subject]))
            raise RequestError(f"{field}: there is no such field here; there are {there_are}", param=field)
    if subject == "steering":
        _check_suppositions(body)
    return subject


def _check_suppositions(body: JsonObject) -> None:
    for field in ("request_script", "source_script"):
        if field in body:
            _check_script(body[field], field=field)
    supposed = [field for field in SUPPOSED if field in body]
    if supposed and body["steering"] != "auto":
        raise RequestError(f'{supposed[0]}: only a policy finds it; it goes with "steering": "auto"', param=supposed[0])
    if len(supposed) > 1:
        raise RequestError(
            "pattern: a request that has a pattern is not asked for its source script; suppose one of them",
            param="pattern",
        )
    if not isinstance(body.get("pattern", ""), str):
        raise RequestError(f"pattern: expected a pattern's name, got {body['pattern']!r:.60}", param="pattern")


def _check_script(script: Any, *, field: str) -> None:
    # ICU knows scripts by their long names too.
    if not isinstance(script, str) or len(script) != CODE_LENGTH or not is_script_of_text(script):
        raise RequestError(f"{field}: expected a script's code like 'Cyrl', got {script!r:.60}", param=field)


def _try_plan(body: JsonObject, service: Service) -> JsonObject:
    plan = parse_plan(body["plan"])
    service.resolver.check_plan(plan)
    return _resolved(_resolution_of(plan))


def _try_steering(body: JsonObject, service: Service) -> JsonObject:
    resolver, script = service.resolver, body.get("request_script", "Zyyy")
    if any(field in body for field in SUPPOSED):
        return _resolved(resolver.suppose(script=script, source=body.get("source_script"), pattern=body.get("pattern")))
    resolution = resolver.resolve(body["steering"], script=script)
    if resolution.pending is not None:
        # Nothing is probed here: this is what a request gets whose probe is not sure.
        resolution = resolver.settle(resolution.pending, resolution.pending.unsure())
    return _resolved(resolution)


def _try_routing(body: JsonObject, service: Service) -> JsonObject:
    routing = read_routing(
        body["routing"],
        resolver=service.resolver,
        has_stats=service.settings.stats,
        can_log_scores=service.report.can_log_scores,
    )
    return {"readouts": [experts.name for experts in read_sets(routing, resolver=service.resolver)]}


def _try_experts(body: JsonObject, service: Service) -> JsonObject:
    experts = parse_expert_set(body["experts"])
    check_expert_set(experts, service.report.model)
    service.resolver.check_guard(experts)
    return {"fingerprint": experts.fingerprint}


def _try_policy(body: JsonObject, service: Service) -> JsonObject:
    service.resolver.check_policy(parse_policy(body["policy"]))
    return {}


_TRIES: dict[str, Callable[[JsonObject, Service], JsonObject]] = {
    "plan": _try_plan,
    "steering": _try_steering,
    "routing": _try_routing,
    "experts": _try_experts,
    "policy": _try_policy,
}


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
        "dials": resolution.dials,
        "fingerprint": resolution.fingerprint,
        "strength": resolution.strength,
        "phases": list(resolution.phases),
        "source": resolution.source,
        "guess": resolution.guessed.guess,
        "guessed_source": resolution.guessed.source,
        "pattern": resolution.pattern,
        "reason": resolution.reason,
        "edits": [edit.model_dump(mode="json", exclude_none=True) for edit in resolution.edits],
    }
