"""What reaches vLLM and the workers, and what whole (not streamed) responses say of it."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.responses import JSONResponse

from polyglyph.contract.plan import PHASES
from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.steering import SteeringEcho
from polyglyph.server.sse import encode_json
from tests.server.conftest import Start
from tests.server.fakes import (
    ADD,
    ADMIN,
    BAN,
    BINDING,
    EXPERTS,
    GENERATING,
    FakeVllm,
    FakeWorkers,
    make_plan,
    plan_document,
    question,
    whole_answer,
)

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for name, phases in (("to-latin", list(PHASES)), ("gentle", ["answer"])):
        document = plan_document(name, phases=phases)
        assert (await client.put(f"/v1/steering/plans/{name}", json=document, headers=ADMIN)).status_code == 200
    return client


async def ask(client: httpx.AsyncClient, path: str = "/v1/completions", **fields: Any) -> dict[str, Any]:
    answer = await client.post(path, json=question(path, **fields))
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.json()


@pytest.mark.parametrize("path", GENERATING)
async def test_vllm_gets_the_body_without_our_fields(client: httpx.AsyncClient, vllm: FakeVllm, path: str):
    await ask(client, path, steering={"edits": [BAN]}, routing={"tag": "a"}, temperature=0.5)
    assert vllm.body == question(path, temperature=0.5)
    assert int(vllm.headers[-1]["content-length"]) == len(vllm.bodies[-1])


@pytest.mark.parametrize("path", GENERATING)
async def test_a_request_that_asks_nothing_passes_byte_for_byte(client: httpx.AsyncClient, vllm: FakeVllm, path: str):
    content = b' {"prompt": "\\u041f", "n":1,\n"x": 1e2, "messages": [], "input": ""}'
    answer = await client.post(path, content=content, headers=JSON)
    assert vllm.bodies == [content]
    assert answer.content == JSONResponse(whole_answer(path, {})).body


async def test_a_request_that_asks_nothing_still_carries_its_script(client: httpx.AsyncClient, vllm: FakeVllm):
    await ask(client)
    assert vllm.payload.script == "Cyrl"
    assert not vllm.payload.is_steered
    assert vllm.payload.cache_salt is None


async def test_without_stats_a_request_that_asks_nothing_carries_no_ticket(
    settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm
):
    settings.setenv("POLYGLYPH_STATS", "0")
    await ask(await start())
    assert vllm.payloads == [None]


@pytest.mark.parametrize("path", GENERATING)
async def test_a_plan_reaches_the_workers_and_the_response_says_so(
    stocked: httpx.AsyncClient, vllm: FakeVllm, path: str
):
    answer = await ask(stocked, path, steering={"plan": "to-latin", "strength": 0.5, "phases": ["answer"]})
    assert answer["steering"] == {
        "applied": True,
        "plan": "to-latin",
        "fingerprint": make_plan().fingerprint,
        "strength": 0.5,
        "phases": ["answer"],
        "source": "request",
        "request_script": "Cyrl",
        "entity_script": None,
        "guessed_source": None,
        "guess": None,
        "reason": None,
        "tokens_steered": 8,
        "dose": 0.25,
    }
    assert "routing" not in answer
    assert vllm.payload.edits == make_plan().edits
    assert (vllm.payload.strength, vllm.payload.phases) == (0.5, ("answer",))
    assert vllm.payload.fingerprint == make_plan().fingerprint


async def test_the_rest_of_the_response_stays(stocked: httpx.AsyncClient):
    answer = await ask(stocked, steering="to-latin", n=3)
    del answer["steering"]
    assert answer == whole_answer("/v1/completions", {"n": 3})


async def test_a_plans_own_phases_count_unless_the_request_names_some(stocked: httpx.AsyncClient):
    assert (await ask(stocked, steering="gentle"))["steering"]["phases"] == ["answer"]
    named = await ask(stocked, steering={"plan": "gentle", "phases": ["prompt"]})
    assert named["steering"]["phases"] == ["prompt"]


async def test_a_plan_can_be_named_by_fingerprint(stocked: httpx.AsyncClient):
    answer = await ask(stocked, steering=make_plan().fingerprint)
    assert answer["steering"]["plan"] == "to-latin"


async def test_inline_edits_are_added_to_the_plans(stocked: httpx.AsyncClient, vllm: FakeVllm):
    extra = {"layer": 3, "experts": [7], "op": "ban"}
    answer = await ask(stocked, steering={"plan": "to-latin", "edits": [extra]})
    combined = make_plan("any", edits=[BAN, ADD, extra])
    assert vllm.payload.edits == combined.edits
    assert answer["steering"]["fingerprint"] == combined.fingerprint != make_plan().fingerprint
    assert answer["steering"]["plan"] == "to-latin"


async def test_inline_edits_alone_have_the_fingerprint_of_a_plan_of_them(client: httpx.AsyncClient):
    answer = await ask(client, steering={"edits": [BAN], "phases": ["answer"]})
    assert answer["steering"]["plan"] is None
    assert answer["steering"]["fingerprint"] == make_plan(edits=[BAN], phases=["answer"]).fingerprint


@pytest.mark.parametrize(
    "value", [False, "off", {}, {"edits": []}, {"strength": 0, "edits": [BAN]}, {"plan": "to-latin", "strength": 0.0}]
)
async def test_what_steers_nothing_travels_as_no_steering_and_says_so(
    stocked: httpx.AsyncClient, vllm: FakeVllm, value: Any
):
    echo = SteeringEcho.model_validate((await ask(stocked, steering=value))["steering"])
    assert not echo.applied
    assert (echo.tokens_steered, echo.dose) == (0, 0.0)
    assert not vllm.payload.edits
    assert not vllm.payload.fingerprint


async def test_every_request_has_a_key_of_its_own(client: httpx.AsyncClient, vllm: FakeVllm):
    await ask(client)
    await ask(client)
    first, second = (payload.key for payload in vllm.payloads if payload)
    assert first != second


@pytest.mark.parametrize("path", GENERATING)
async def test_a_summary_comes_back_with_the_layers_and_weights_asked_for(client: httpx.AsyncClient, path: str):
    asked = {"return": ["summary"], "weights": True, "layers": [3, 0], "tag": "exp-a"}
    answer = await ask(client, path, routing=asked)
    assert answer["steering"]["applied"] is False
    assert answer["steering"]["source"] == "default"
    assert answer["routing"]["tag"] == "exp-a"
    summary = answer["routing"]["summary"]
    assert summary["phases"] == ["prompt", "reasoning", "answer"]
    assert summary["num_tokens"] == [5, 0, 3]
    assert summary["layers"] == [3, 0]
    selected = ArrayDocument.model_validate(summary["selected"]).to_numpy()
    whole = np.arange(3 * 4 * EXPERTS, dtype=np.int32).reshape(3, 4, EXPERTS)
    assert selected.dtype == np.int32
    np.testing.assert_array_equal(selected, whole[:, [3, 0]])
    weight_sum = ArrayDocument.model_validate(summary["weight_sum"]).to_numpy()
    assert weight_sum.dtype == np.float32
    np.testing.assert_array_equal(weight_sum, whole[:, [3, 0]] / 2)


async def test_a_summary_has_all_layers_and_no_weights_unless_asked(client: httpx.AsyncClient):
    summary = (await ask(client, routing={"return": ["summary"]}))["routing"]["summary"]
    assert summary["layers"] == [0, 1, 2, 3]
    assert "weight_sum" not in summary


async def test_a_tag_reaches_the_workers(client: httpx.AsyncClient, vllm: FakeVllm):
    answer = await ask(client, routing={"tag": "exp-a"})
    assert answer["routing"] == {"tag": "exp-a"}
    assert vllm.payload.tag == "exp-a"
    assert not vllm.payload.wants_summary


async def test_a_receipt_is_fetched_once_and_not_left_behind(client: httpx.AsyncClient, workers: FakeWorkers):
    await ask(client, steering={"edits": [BAN]})
    assert not workers.receipts


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("fields", [{"steering": {"edits": [BAN]}}, {"routing": {"return": ["summary"]}}])
@pytest.mark.parametrize("fault", ["not taken up", "no receipt"])
async def test_an_answer_that_was_not_served_as_asked_is_withheld(
    client: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, path: str, fields: dict[str, Any], fault: str
):
    vllm.takes_up = fault != "not taken up"
    workers.loses_receipts = fault == "no receipt"
    answer = await client.post(path, json=question(path, **fields))
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "steering_lost"
    assert "да" not in answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_errors_of_vllm_pass_unchanged(client: httpx.AsyncClient, vllm: FakeVllm):
    vllm.answer = lambda body: JSONResponse({"error": {"message": "too long"}}, status_code=400)
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering={"edits": [BAN]}))
    assert (answer.status_code, answer.json()) == (400, {"error": {"message": "too long"}})


async def test_a_response_keeps_its_headers(client: httpx.AsyncClient, vllm: FakeVllm):
    vllm.answer = lambda body: JSONResponse({"id": "c"}, headers={"X-Request-Id": "7"})
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering=False))
    assert answer.headers["x-request-id"] == "7"
    assert answer.headers.get_list("content-length") == [str(len(answer.content))]


async def test_the_default_steers_and_says_so(
    settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm, tmp_path: Any
):
    store(tmp_path, plan_document())
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "to-latin")
    client = await start()
    answer = await ask(client)
    assert answer["steering"]["source"] == "default"
    assert answer["steering"]["applied"] is True
    assert vllm.payload.is_steered
    assert (await ask(client, steering=False))["steering"]["applied"] is False


async def test_auto_follows_the_policy_by_request_script(client: httpx.AsyncClient):
    await client.put("/v1/steering/plans/to-latin", json=plan_document(), headers=ADMIN)
    policy = {"scripts": {"Cyrl": {"plan": "to-latin", "strength": 2.0, "phases": ["answer"]}}}
    assert (await client.put("/v1/steering/policy", json=policy, headers=ADMIN)).status_code == 200
    russian = (await ask(client, steering="auto"))["steering"]
    assert (russian["plan"], russian["strength"], russian["phases"]) == ("to-latin", 2.0, ["answer"])
    assert (russian["source"], russian["request_script"]) == ("policy", "Cyrl")
    english = await ask(client, steering="auto", prompt="Hello")
    assert (english["steering"]["applied"], english["steering"]["source"]) == (False, "policy")
    assert english["steering"]["request_script"] == "Latn"
    assert (english["steering"]["reason"], russian["reason"]) == ("no_rule", None)


async def test_a_default_of_auto_leaves_unmatched_responses_untouched(
    settings: pytest.MonkeyPatch, start: Start, vllm: FakeVllm, tmp_path: Any
):
    store(tmp_path, plan_document())
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"scripts": {"Deva": {"plan": "to-latin"}}}))
    settings.setenv("POLYGLYPH_POLICY", str(policy))
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "auto")
    client = await start()
    assert await ask(client) == whole_answer("/v1/completions", {})
    assert (await ask(client, prompt="नमस्ते"))["steering"]["source"] == "policy"


async def test_get_requests_and_other_routes_pass(client: httpx.AsyncClient, vllm: FakeVllm):
    content = b'{"steering": 1, "input": "x"}'
    assert (await client.post("/v1/embeddings", content=content, headers=JSON)).status_code == 200
    assert vllm.bodies == [content]
    assert vllm.payloads == [None]
    assert (await client.get("/v1/completions")).status_code == 405


def store(folder: Any, document: dict[str, Any]) -> None:
    plans = folder / "data" / "plans"
    plans.mkdir(parents=True, exist_ok=True)
    (plans / f"{document['name']}.plan.json").write_bytes(encode_json(document))


def test_the_fakes_speak_of_one_model():
    assert make_plan().model == BINDING
