"""Dry runs, schemas, the loaded model, stats, and who may see what."""

from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from tests.server.conftest import Start
from tests.server.fakes import (
    ADD,
    ADMIN,
    BAN,
    BINDING,
    GROUPS,
    LAYERS,
    OTHER_BINDING,
    FakeVllm,
    FakeWorkers,
    make_app,
    make_plan,
    plan_document,
    question,
)
from tests.server.test_bad_requests import check_refusal

VALIDATE = "/v1/steering/validate"
STATS = "/v1/routing/stats"
ADMIN_ROUTES = [
    ("PUT", "/v1/steering/plans/to-latin", plan_document()),
    ("DELETE", "/v1/steering/plans/to-latin", None),
    ("PUT", "/v1/steering/policy", {}),
    ("GET", STATS, None),
    ("POST", f"{STATS}/reset", None),
]


async def test_a_dry_run_gives_the_resolved_edits(client: httpx.AsyncClient, vllm: FakeVllm):
    await client.put("/v1/steering/plans/to-latin", json=plan_document(), headers=ADMIN)
    value = {"plan": "to-latin", "strength": 2.0, "edits": [{**BAN, "layer": 3}]}
    answer = (await client.post(VALIDATE, json={"steering": value})).json()
    assert answer["valid"] is True
    assert answer["errors"] == []
    assert answer["edits"] == [BAN, ADD, {**BAN, "layer": 3}]
    assert (answer["applied"], answer["plan"], answer["strength"]) == (True, "to-latin", 2.0)
    assert answer["phases"] == ["prompt", "reasoning", "answer"]
    assert answer["fingerprint"] == make_plan(edits=answer["edits"]).fingerprint
    assert not vllm.bodies


async def test_a_dry_run_of_a_plan_stores_nothing(client: httpx.AsyncClient):
    answer = (await client.post(VALIDATE, json={"plan": plan_document()})).json()
    assert (answer["valid"], answer["fingerprint"]) == (True, make_plan().fingerprint)
    assert (await client.get("/v1/steering/plans")).json()["data"] == []


async def test_a_dry_run_of_auto_takes_the_script_that_is_named(client: httpx.AsyncClient):
    await client.put("/v1/steering/plans/to-latin", json=plan_document(), headers=ADMIN)
    await client.put("/v1/steering/policy", json={"scripts": {"Cyrl": {"plan": "to-latin"}}}, headers=ADMIN)
    for script, applied in (("Cyrl", True), ("Latn", False)):
        answer = (await client.post(VALIDATE, json={"steering": "auto", "request_script": script})).json()
        assert (answer["applied"], answer["source"]) == (applied, "policy")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"steering": {"edits": [{**BAN, "layer": LAYERS}]}}, "steering.edits[0].layer", "impossible_edit"),
        ({"steering": {"strength": "1"}}, "steering.strength", "invalid_steering"),
        ({"steering": "nope"}, "steering", "plan_not_found"),
        ({"plan": plan_document(model=OTHER_BINDING.model_dump())}, "plan.model", "plan_mismatch"),
        ({"plan": plan_document() | {"x": 1}}, "plan.x", "invalid_steering"),
    ],
)
async def test_a_dry_run_says_what_serving_would_refuse(
    client: httpx.AsyncClient, body: dict[str, Any], param: str, code: str
):
    answer = await client.post(VALIDATE, json=body)
    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == (param, code)
    if "steering" in body:
        served = await client.post("/v1/completions", json=question("/v1/completions", **body))
        assert served.json()["error"] == error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "body"),
        ([], "body"),
        ({"plan": {}, "steering": {}}, "body"),
        ({"steering": "off", "text": "x"}, "text"),
        ({"steering": "auto", "request_script": "Klingon"}, "request_script"),
        ({"steering": "auto", "request_script": "Jpan"}, "request_script"),
    ],
)
async def test_a_dry_run_of_nothing_known_is_refused(client: httpx.AsyncClient, body: Any, param: str):
    check_refusal(await client.post(VALIDATE, json=body), 400, param=param, code="invalid_steering")


async def test_the_schemas_describe_what_is_sent_and_received(client: httpx.AsyncClient):
    schemas = (await client.get("/v1/steering/schema")).json()
    policy = {"schema": "polyglyph.policy/1", "scripts": {}}
    jsonschema.validate(plan_document(), schemas["plan"])
    jsonschema.validate(policy, schemas["policy"])
    answer = (
        await client.post(
            "/v1/completions",
            json=question(
                "/v1/completions", steering={"edits": [BAN]}, routing={"return": ["summary"], "weights": True}
            ),
        )
    ).json()
    jsonschema.validate(answer["steering"], schemas["response"]["steering"])
    jsonschema.validate(answer["routing"], schemas["response"]["routing"])
    for value in (False, "off", "auto", "to-latin", {"plan": None, "edits": [BAN]}):
        jsonschema.validate(value, schemas["request"]["steering"])
    for value in (True, 1, "", {"strength": 17}, {"strenght": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schemas["request"]["steering"])
    jsonschema.validate({"return": ["summary"], "tag": "a"}, schemas["request"]["routing"])


async def test_openapi_shows_our_fields_on_the_requests_that_take_them(app: FastAPI):
    class ChatCompletionRequest(BaseModel):
        model: str

    class EmbeddingRequest(BaseModel):
        model: str

    async def chat(body: ChatCompletionRequest) -> None: ...
    async def embed(body: EmbeddingRequest) -> None: ...

    app.add_api_route("/chat", chat, methods=["POST"])
    app.add_api_route("/embed", embed, methods=["POST"])
    document = app.openapi()
    schemas = document["components"]["schemas"]
    assert set(schemas["ChatCompletionRequest"]["properties"]) == {"model", "steering", "routing"}
    assert set(schemas["EmbeddingRequest"]["properties"]) == {"model"}
    assert "$defs" not in str(document)
    assert schemas["Edit"]["properties"]["op"]
    assert app.openapi() == document


async def test_the_model_route_shows_every_hook_and_what_is_in_force(vllm: FakeVllm, workers: FakeWorkers):
    app = await make_app(vllm, workers, engine={"model": "organism", "dtype": "float32"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        answer = (await client.get("/v1/routing/model")).json()
    assert answer["binding"] == BINDING.model_dump()
    assert answer["fingerprint"] == BINDING.fingerprint
    assert [router["kind"] for router in answer["routers"]] == ["softmax"] * LAYERS
    assert [worker["rank"] for worker in answer["workers"]] == [0, 1]
    assert all(hook["in_place"] and hook["has_run"] for worker in answer["workers"] for hook in worker["hooks"])
    assert answer["versions"]["vllm"] == "0.32.0"
    assert answer["settings"] == {
        "stats": True,
        "flush_seconds": 1.0,
        "stats_bucket_seconds": 3600,
        "trace_dir": False,
        "scores": True,
        "steering_default": "off",
        "inline_edits": True,
        "max_body_bytes": 8 << 20,
        "admin_key": True,
    }
    assert answer["engine"] == {"model": "organism", "dtype": "float32"}


async def test_the_model_route_shows_the_hooks_as_they_are_now(client: httpx.AsyncClient, workers: FakeWorkers):
    workers.loses_hooks = True
    answer = (await client.get("/v1/routing/model")).json()
    assert [hook["in_place"] for hook in answer["workers"][0]["hooks"]] == [False, True, True, True]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 3),
        ({"format": "json"}, 3),
        ({"request_script": "Cyrl"}, 2),
        ({"script": "Cyrl"}, 1),
        ({"request_script": "Cyrl", "phase": "answer"}, 1),
        ({"tag": "b"}, 1),
        ({"tag": ""}, 1),
        ({"plan": ""}, 2),
        ({"plan": GROUPS[1].plan}, 1),
        ({"plan": "to-latin"}, 0),
        ({"script": "Deva"}, 0),
    ],
)
async def test_stats_are_given_by_group(client: httpx.AsyncClient, filters: dict[str, str], count: int):
    await client.put("/v1/steering/plans/to-latin", json=plan_document(), headers=ADMIN)
    answer = (await client.get(STATS, params=filters, headers=ADMIN)).json()
    assert answer["schema"] == "polyglyph.stats/1"
    assert len(answer["groups"]) == count


@pytest.mark.parametrize(
    ("filters", "status", "param"),
    [
        ({"format": "xlsx"}, 400, "format"),
        ({"phase": "thinking"}, 400, "phase"),
        ({"layer": "1"}, 400, "layer"),
        ({"plan": "nope"}, 404, "plan"),
    ],
)
async def test_wrong_stats_parameters_are_refused(
    client: httpx.AsyncClient, filters: dict[str, str], status: int, param: str
):
    answer = await client.get(STATS, params=filters, headers=ADMIN)
    code = "plan_not_found" if status == 404 else "invalid_steering"
    check_refusal(answer, status, param=param, code=code)


async def test_stats_are_reset_with_what_the_engine_still_holds(client: httpx.AsyncClient, workers: FakeWorkers):
    assert (await client.get(STATS, headers=ADMIN)).json()["groups"]
    workers.undrained = GROUPS
    assert (await client.post(f"{STATS}/reset", headers=ADMIN)).json() == {"reset": True}
    assert (await client.get(STATS, headers=ADMIN)).json()["groups"] == []


async def test_without_stats_there_is_nothing_to_read_or_reset(settings: pytest.MonkeyPatch, start: Start):
    settings.setenv("POLYGLYPH_STATS", "0")
    client = await start()
    check_refusal(await client.get(STATS, headers=ADMIN), 409, param=None, code="conflict")
    check_refusal(await client.post(f"{STATS}/reset", headers=ADMIN), 409, param=None, code="conflict")


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer caller-secret"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic admin-secret"},
        {"X-Polyglyph-Admin-Key": "caller-secret"},
    ],
)
async def test_admin_routes_open_to_the_admin_key_only(
    client: httpx.AsyncClient, workers: FakeWorkers, method: str, path: str, body: Any, headers: dict[str, str]
):
    answer = await client.request(method, path, json=body, headers=headers)
    check_refusal(answer, 403, param="Authorization", code="admin_key_required")
    assert (await client.get("/v1/steering/plans")).json()["data"] == []
    assert (await client.get(STATS, headers=ADMIN)).json()["groups"]


async def test_the_admin_key_may_come_beside_a_callers(client: httpx.AsyncClient):
    headers = {"Authorization": "Bearer caller-secret", "X-Polyglyph-Admin-Key": "admin-secret"}
    assert (await client.get(STATS, headers=headers)).status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
async def test_without_an_admin_key_admin_routes_are_closed(
    settings: pytest.MonkeyPatch, start: Start, method: str, path: str, body: Any
):
    settings.delenv("POLYGLYPH_ADMIN_KEY")
    client = await start()
    answer = await client.request(method, path, json=body, headers={"Authorization": "Bearer "})
    check_refusal(answer, 403, param="Authorization", code="admin_key_required")
    assert "--admin-key" in answer.text


async def test_an_unknown_route_of_ours_does_not_exist(client: httpx.AsyncClient):
    assert (await client.get("/v1/steering/nothing")).status_code == 404
