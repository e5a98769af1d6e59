"""The registry of expert sets over HTTP: what is put is kept and shared, what does not fit is refused."""

import asyncio
import json
from typing import Any

import httpx
import jsonschema
import pytest

from polyglyph.contract.expert_set import parse_expert_set
from tests.server.conftest import Start
from tests.server.fakes import ADMIN, BINDING, EXPERTS, LAYERS, OTHER_BINDING, FakeVllm, question
from tests.server.test_bad_requests import check_refusal

SETS = "/v1/routing/expert-sets"
GUARD = {"name": "super", "guard": True, "experts": [{"layer": 0, "experts": [3]}]}


def set_document(**fields: Any) -> dict[str, Any]:
    return {
        "schema": "polyglyph.experts/1",
        "name": "core",
        "model": BINDING.model_dump(),
        "experts": [{"layer": 1, "experts": [0, 4], "weights": [2.0, -0.5]}, {"layer": 0, "experts": [1]}],
    } | fields


async def put_set(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    document = set_document(**fields)
    return await client.put(f"{SETS}/{document['name']}", json=document, headers=ADMIN)


async def test_a_set_is_put_listed_fetched_and_deleted(client: httpx.AsyncClient):
    answer = await put_set(client, bias=0.5, description="knows")
    fingerprint = parse_expert_set(set_document(bias=0.5)).fingerprint
    entry = {
        "name": "core",
        "fingerprint": fingerprint,
        "description": "knows",
        "num_experts": 3,
        "layers": [0, 1],
        "phase": "prompt",
        "gives_probability": True,
        "threshold": 0.5,
        "guard": False,
        "fits_model": True,
    }
    assert (answer.status_code, answer.json()) == (200, entry)
    assert (await client.get(SETS)).json() == {"object": "list", "data": [entry]}
    fetched = await client.get(f"{SETS}/core")
    assert parse_expert_set(fetched.json()) == parse_expert_set(set_document(bias=0.5, description="knows"))
    assert fetched.headers["etag"] == f'"{fingerprint}"'
    assert (await client.delete(f"{SETS}/core", headers=ADMIN)).json() == {"name": "core", "deleted": True}
    check_refusal(await client.get(f"{SETS}/core"), 404, param="name", code="expert_set_not_found")
    gone = await client.delete(f"{SETS}/core", headers=ADMIN)
    check_refusal(gone, 404, param="name", code="expert_set_not_found")


async def test_a_name_that_is_put_again_has_the_new_content(client: httpx.AsyncClient, start: Start):
    await put_set(client)
    await put_set(client, **GUARD | {"name": "core"})
    for server in (client, await start()):
        (entry,) = (await server.get(SETS)).json()["data"]
        assert (entry["name"], entry["guard"], entry["num_experts"]) == ("core", True, 1)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"surprise": 1}, "experts.surprise", "invalid_steering"),
        ({"schema": "polyglyph.plan/1"}, "experts.schema", "invalid_steering"),
        ({"model": OTHER_BINDING.model_dump()}, "experts.model", "plan_mismatch"),
        ({"experts": [{"layer": LAYERS, "experts": [0]}]}, "experts", "invalid_steering"),
        ({"experts": [{"layer": 0, "experts": [EXPERTS]}]}, "experts", "invalid_steering"),
        ({"experts": []}, "experts.experts", "invalid_steering"),
    ],
)
async def test_a_set_that_could_not_be_used_is_not_stored(
    client: httpx.AsyncClient, change: dict[str, Any], param: str, code: str
):
    answer = await client.put(f"{SETS}/core", json=set_document(**change), headers=ADMIN)
    check_refusal(answer, 400, param=param, code=code)
    tried = (await client.post("/v1/steering/validate", json={"experts": set_document(**change)})).json()
    assert tried == {"valid": False, "errors": [answer.json()["error"]]}
    assert (await client.get(SETS)).json()["data"] == []


async def test_a_set_goes_under_its_own_name(client: httpx.AsyncClient):
    answer = await client.put(f"{SETS}/other", json=set_document(), headers=ADMIN)
    check_refusal(answer, 400, param="experts.name", code="invalid_steering")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b'{"x": NaN}', b"[" * 99_999])
async def test_what_is_no_set_is_refused(client: httpx.AsyncClient, content: bytes):
    answer = await client.put(f"{SETS}/x", content=content, headers=ADMIN)
    check_refusal(answer, 400, param="experts", code="invalid_steering")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_changing_the_registry_needs_the_admin_key(client: httpx.AsyncClient, method: str):
    answer = await client.request(method, f"{SETS}/core", content=json.dumps(set_document()))
    check_refusal(answer, 403, param="Authorization", code="admin_key_required")


@pytest.mark.parametrize("name", ["..%2F..%2Fx", "%2e%2e", "a%00b", "x" * 300, "%ED%A0%80"])
async def test_no_name_does_harm(client: httpx.AsyncClient, name: str):
    for method in ("GET", "PUT", "DELETE"):
        answer = await client.request(method, f"{SETS}/{name}", content=json.dumps(set_document()), headers=ADMIN)
        assert answer.status_code in {400, 404, 405}


async def test_what_one_server_changes_another_sees_after_its_next_look(client: httpx.AsyncClient, start: Start):
    other = await start()
    await put_set(client)
    await put_set(client, **GUARD)
    await client.delete(f"{SETS}/core", headers=ADMIN)
    service = other._transport.app.state.polyglyph  # type: ignore[attr-defined]
    await service.flusher._refresh()
    assert [entry["name"] for entry in (await other.get(SETS)).json()["data"]] == ["super"]
    banned = question("/v1/completions", steering={"edits": [{"layer": 0, "experts": [3], "op": "ban"}]})
    check_refusal(
        await other.post("/v1/completions", json=banned), 400, param="steering.edits[0].experts", code="guarded_expert"
    )


async def test_a_set_of_another_model_in_a_shared_store_is_listed_as_not_fitting_and_not_used(
    client: httpx.AsyncClient, vllm: FakeVllm
):
    registry = client._transport.app.state.polyglyph.expert_sets  # type: ignore[attr-defined]
    foreign = parse_expert_set(set_document(**GUARD | {"name": "foreign", "model": OTHER_BINDING.model_dump()}))
    await asyncio.to_thread(registry.put, foreign)
    assert [entry["fits_model"] for entry in (await client.get(SETS)).json()["data"]] == [False]
    body = question("/v1/completions", steering={"dials": {"foreign": 1.0}})
    answer = await client.post("/v1/completions", json=body)
    check_refusal(answer, 400, param="steering.dials.foreign", code="plan_mismatch")
    banned = question("/v1/completions", steering={"edits": [{"layer": 0, "experts": [3], "op": "ban"}]})
    assert (await client.post("/v1/completions", json=banned)).status_code == 200


async def test_a_store_that_is_gone_is_a_clear_error_and_its_sets_still_serve(client: httpx.AsyncClient, tmp_path: Any):
    await put_set(client)
    (tmp_path / "data").rename(tmp_path / "moved")
    check_refusal(await put_set(client, name="other"), 503, param=None, code="storage_unavailable")
    body = question("/v1/completions", steering={"dials": {"core": 1.0}})
    assert (await client.post("/v1/completions", json=body)).json()["steering"]["applied"] is True


async def test_the_schema_describes_a_set(client: httpx.AsyncClient):
    schemas = (await client.get("/v1/steering/schema")).json()
    jsonschema.validate(set_document(bias=0.0), schemas["experts"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(set_document(experts=[]), schemas["experts"])
    for value in ({"plan": ["a", "b"]}, {"plan": "a", "dials": {"core": 0.5}}, {"allow_super_experts": True}):
        jsonschema.validate(value, schemas["request"]["steering"])
    for value in ({"plan": ["a"]}, {"dials": {"core": 17}}, {"dials": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schemas["request"]["steering"])
    jsonschema.validate({"return": ["readouts"], "readouts": ["core"]}, schemas["request"]["routing"])
