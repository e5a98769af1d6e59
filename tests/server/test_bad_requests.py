"""A request that cannot be steered as asked gets a 4xx in OpenAI's shape, naming the field, and never reaches vLLM."""

import json
from typing import Any

import httpx
import pytest

from tests.server.conftest import Start
from tests.server.fakes import (
    ADMIN,
    BAN,
    EXPERTS,
    FORCE,
    GENERATING,
    LAYERS,
    OTHER_BINDING,
    TOP_K,
    FakeVllm,
    plan_document,
    question,
)

EVERY = list(range(EXPERTS))
SCALE = {"layer": 0, "experts": [1], "op": "scale", "value": 2.0}


def edits(*some: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"edits": list(some), **fields}


BAD_STEERING = [
    # Wrong types and words.
    (True, "steering", "invalid_steering"),
    (None, "steering", "invalid_steering"),
    (1, "steering", "invalid_steering"),
    ("", "steering", "invalid_steering"),
    ([BAN], "steering", "invalid_steering"),
    ({"strenght": 1.0}, "steering.strenght", "invalid_steering"),
    ({"plan": 3}, "steering.plan", "invalid_steering"),
    ({"strength": "1"}, "steering.strength", "invalid_steering"),
    ({"strength": True}, "steering.strength", "invalid_steering"),
    ({"strength": 16.5}, "steering.strength", "invalid_steering"),
    ({"strength": -16.5}, "steering.strength", "invalid_steering"),
    ({"strength": 10**400}, "steering.strength", "invalid_steering"),
    ({"phases": []}, "steering.phases", "invalid_steering"),
    ({"phases": ["thinking"]}, "steering.phases[0]", "invalid_steering"),
    ({"phases": ["answer", "answer"]}, "steering.phases", "invalid_steering"),
    (edits({**BAN, "op": "forbid"}), "steering.edits[0].op", "invalid_steering"),
    (edits({**BAN, "layer": -1}), "steering.edits[0].layer", "invalid_steering"),
    (edits({**BAN, "layer": 0.5}), "steering.edits[0].layer", "invalid_steering"),
    (edits({**BAN, "experts": []}), "steering.edits[0].experts", "invalid_steering"),
    (edits({**BAN, "experts": ["3"]}), "steering.edits[0].experts[0]", "invalid_steering"),
    (edits({**BAN, "experts": [3, 3]}), "steering.edits[0]", "invalid_steering"),
    (edits({**BAN, "value": 1.0}), "steering.edits[0]", "invalid_steering"),
    (edits({**BAN, "op": "add"}), "steering.edits[0]", "invalid_steering"),
    (edits({**SCALE, "value": -1.0}), "steering.edits[0]", "invalid_steering"),
    (edits({**SCALE, "value": 1e5}), "steering.edits[0].value", "invalid_steering"),
    ({"\ud800": 1}, "steering", "invalid_steering"),
    # What the loaded model cannot honour.
    (edits({**BAN, "layer": LAYERS}), "steering.edits[0].layer", "impossible_edit"),
    (edits({**BAN, "experts": [EXPERTS]}), "steering.edits[0].experts", "impossible_edit"),
    (edits({**BAN, "experts": EVERY[: EXPERTS - TOP_K + 1]}), "steering.edits[0].experts", "impossible_edit"),
    (edits({**FORCE, "experts": EVERY[: TOP_K + 1]}), "steering.edits[0].experts", "impossible_edit"),
    (edits(BAN, {**BAN, "op": "force"}), "steering.edits[1].experts", "impossible_edit"),
    (edits(BAN, strength=-1.0), "steering.edits[0].op", "impossible_edit"),
    (edits(SCALE, {**SCALE, "renormalize": True}), "steering.edits[1].renormalize", "impossible_edit"),
    # Together with the plan's edits.
    ({"plan": "to-latin", **edits({**BAN, "op": "force"})}, "steering.edits[0].experts", "impossible_edit"),
    ({"plan": "to-latin", "strength": -1.0}, "steering.plan", "impossible_edit"),
]


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await client.put("/v1/steering/plans/to-latin", json=plan_document(), headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return client


@pytest.mark.parametrize(("value", "param", "code"), BAD_STEERING, ids=lambda value: repr(value)[:60])
async def test_a_wrong_steering_field_is_refused_with_its_path(
    stocked: httpx.AsyncClient, vllm: FakeVllm, value: Any, param: str, code: str
):
    answer = await stocked.post(
        "/v1/chat/completions",
        content=json.dumps(question("/v1/chat/completions", steering=value)),
        headers={"Content-Type": "application/json"},
    )
    check_refusal(answer, 400, param=param, code=code)
    assert not vllm.bodies
    await check_goes_on(stocked, vllm)


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_every_generating_route_refuses(client: httpx.AsyncClient, vllm: FakeVllm, path: str, *, is_stream: bool):
    answer = await client.post(path, json=question(path, steering={"strength": 17}, stream=is_stream))
    check_refusal(answer, 400, param="steering.strength", code="invalid_steering")
    assert not vllm.bodies


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("where", ["strength", "value"])
async def test_numbers_that_are_not_finite_are_refused(
    client: httpx.AsyncClient, vllm: FakeVllm, literal: str, where: str
):
    edit = '{"layer": 0, "experts": [1], "op": "add", "value": %s}' % (literal if where == "value" else "1.0")
    strength = literal if where == "strength" else "1.0"
    content = f'{{"prompt": "?", "steering": {{"strength": {strength}, "edits": [{edit}]}}}}'
    answer = await client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    param = "steering.strength" if where == "strength" else "steering.edits[0].value"
    check_refusal(answer, 400, param=param, code="invalid_steering")
    assert not vllm.bodies


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("no-such-plan", "steering"),
        ({"plan": "no-such-plan"}, "steering.plan"),
        ({"plan": "../../etc/passwd"}, "steering.plan"),
        ({"plan": "\ud800"}, "steering.plan"),
        ({"plan": "sha256:" + "0" * 64}, "steering.plan"),
        ({"plan": "sha256:../to-latin"}, "steering.plan"),
    ],
)
async def test_an_unknown_plan_is_not_found(stocked: httpx.AsyncClient, vllm: FakeVllm, value: Any, param: str):
    content = json.dumps(question("/v1/completions", steering=value))
    answer = await stocked.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    check_refusal(answer, 404, param=param, code="plan_not_found")
    assert not vllm.bodies


async def test_a_plan_for_another_model_is_refused_with_both_fingerprints(start: Start, vllm: FakeVllm, tmp_path: Any):
    folder = tmp_path / "data" / "plans"
    folder.mkdir(parents=True)
    foreign = plan_document("foreign", model=OTHER_BINDING.model_dump())
    (folder / "foreign.plan.json").write_text(json.dumps(foreign))
    client = await start()
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering="foreign"))
    check_refusal(answer, 400, param="steering", code="plan_mismatch")
    assert "sha256:aaaa" in answer.text
    assert "sha256:bbbb" in answer.text
    assert not vllm.bodies


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("summary", "routing"),
        (None, "routing"),
        ({"return": "summary"}, "routing.return"),
        ({"return": ["everything"]}, "routing.return[0]"),
        ({"return": ["summary"], "layers": [LAYERS]}, "routing.layers[0]"),
        ({"return": ["summary"], "layers": []}, "routing.layers"),
        ({"return": ["summary"], "weights": "yes"}, "routing.weights"),
        ({"weights": True}, "routing.return"),
        ({"tag": "two words"}, "routing.tag"),
        ({"wieghts": True}, "routing.wieghts"),
    ],
)
async def test_a_wrong_routing_field_is_refused_with_its_path(
    client: httpx.AsyncClient, vllm: FakeVllm, value: Any, param: str
):
    answer = await client.post("/v1/completions", json=question("/v1/completions", routing=value))
    check_refusal(answer, 400, param=param, code="invalid_steering")
    assert not vllm.bodies


@pytest.mark.parametrize("fields", [{}, {"steering": False}, {"steering": edits(BAN)}])
@pytest.mark.parametrize("path", GENERATING)
async def test_the_workers_payload_cannot_be_brought_along(
    client: httpx.AsyncClient, vllm: FakeVllm, path: str, fields: dict[str, Any]
):
    answer = await client.post(path, json=question(path, vllm_xargs={"polyglyph": "{}"}, **fields))
    check_refusal(answer, 400, param="vllm_xargs.polyglyph", code="invalid_steering")
    assert "'steering'" in answer.text
    assert not vllm.bodies


async def test_other_extra_arguments_pass(client: httpx.AsyncClient, vllm: FakeVllm):
    answer = await client.post(
        "/v1/completions", json=question("/v1/completions", vllm_xargs={"other": 1}, steering=edits(BAN))
    )
    assert answer.status_code == 200
    assert vllm.body["vllm_xargs"] == {"other": 1}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions/batch", {"steering": False}, "steering"),
        ("/invocations", {"steering": "auto"}, "steering"),
        ("/invocations", {"routing": {}}, "routing"),
        ("/invocations", {"vllm_xargs": {"polyglyph": "{}"}}, "vllm_xargs.polyglyph"),
        (
            "/inference/v1/generate",
            {"sampling_params": {"extra_args": {"polyglyph": "{}"}}},
            "sampling_params.extra_args.polyglyph",
        ),
    ],
)
async def test_routes_that_cannot_steer_refuse_our_fields(
    client: httpx.AsyncClient, vllm: FakeVllm, path: str, fields: dict[str, Any], param: str
):
    check_refusal(await client.post(path, json=question(path, **fields)), 400, param=param, code="invalid_steering")
    assert not vllm.bodies
    assert (await client.post(path, json=question(path))).status_code == 200


@pytest.mark.parametrize("fields", [{"steering": edits(BAN)}, {"steering": False, "routing": {"return": ["summary"]}}])
async def test_beam_search_is_refused_where_it_would_drop_what_was_asked(
    client: httpx.AsyncClient, vllm: FakeVllm, fields: dict[str, Any]
):
    body = question("/v1/completions", use_beam_search=True, **fields)
    answer = await client.post("/v1/completions", json=body)
    check_refusal(answer, 400, param="use_beam_search", code="invalid_steering")
    assert not vllm.bodies


async def test_beam_search_without_steering_passes(client: httpx.AsyncClient):
    body = question("/v1/completions", use_beam_search=True, steering={"strength": 0, "edits": [BAN]})
    assert (await client.post("/v1/completions", json=body)).status_code == 200


async def test_a_steered_background_response_is_refused(client: httpx.AsyncClient, vllm: FakeVllm):
    body = question("/v1/responses", background=True, steering=edits(BAN))
    check_refusal(await client.post("/v1/responses", json=body), 400, param="background", code="invalid_steering")
    assert not vllm.bodies


async def test_inline_edits_can_be_turned_off(settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm):
    settings.setenv("POLYGLYPH_INLINE_EDITS", "0")
    client = await start()
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering=edits(BAN)))
    check_refusal(answer, 400, param="steering.edits", code="invalid_steering")
    assert not vllm.bodies


async def test_a_tag_is_refused_where_no_stats_are_kept(settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm):
    settings.setenv("POLYGLYPH_STATS", "0")
    client = await start()
    answer = await client.post("/v1/completions", json=question("/v1/completions", routing={"tag": "a"}))
    check_refusal(answer, 400, param="routing.tag", code="invalid_steering")
    assert not vllm.bodies


@pytest.mark.parametrize("path", [*GENERATING, "/invocations", "/v1/steering/validate"])
@pytest.mark.parametrize("states_length", [True, False])
@pytest.mark.parametrize("size", [1025, 2047, 5000])
async def test_a_body_over_the_limit_is_refused(
    settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm, path: str, size: int, *, states_length: bool
):
    settings.setenv("POLYGLYPH_MAX_BODY_BYTES", "1024")
    client = await start()

    async def chunks() -> Any:
        for _ in range(size):
            yield b" "

    content = b" " * size if states_length else chunks()
    answer = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    check_refusal(answer, 413, param=None, code="body_too_large")
    assert "1024" in answer.text
    assert not vllm.bodies


async def test_a_body_at_the_limit_is_read(settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm):
    settings.setenv("POLYGLYPH_MAX_BODY_BYTES", "1024")
    client = await start()
    body = json.dumps(question("/v1/completions")).encode()
    await client.post("/v1/completions", content=body.ljust(1024), headers={"Content-Type": "application/json"})
    assert vllm.bodies == [body.ljust(1024)]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{", b'"steering"', b"9" * 5000])
async def test_what_is_no_json_object_is_left_to_vllm_as_it_came(
    client: httpx.AsyncClient, vllm: FakeVllm, content: bytes
):
    await client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert vllm.bodies == [content]
    assert vllm.payloads in ([], [None])


async def test_a_body_nested_too_deeply_is_refused(client: httpx.AsyncClient, vllm: FakeVllm):
    content = b'{"a":' * 200_000
    answer = await client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert not vllm.bodies


async def test_anthropics_clients_find_their_own_mark_beside_openais(client: httpx.AsyncClient):
    answer = await client.post("/v1/messages", json=question("/v1/messages", steering=1))
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["param"] == "steering"


def check_refusal(answer: httpx.Response, status: int, *, param: str | None, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"]


async def check_goes_on(client: httpx.AsyncClient, vllm: FakeVllm) -> None:
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering=edits(BAN)))
    assert answer.json()["steering"]["applied"] is True
    assert len(vllm.bodies) == 1
