"""An `auto` request whose plan hangs on a guessed source script: by its words, or by a probe of its routing."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.responses import JSONResponse, Response

from polyglyph.contract.policy import parse_policy
from polyglyph.server.guessing import Guessed
from polyglyph.server.probing import KeptAnswer, WatchedReceive
from tests.server.conftest import Start
from tests.server.fakes import (
    ADD,
    ADMIN,
    BAN,
    BINDING,
    EXPERTS,
    GENERATING,
    LAYERS,
    OTHER_BINDING,
    FakeVllm,
    FakeWorkers,
    data_of,
    make_plan,
    plan_document,
    question,
    whole_answer,
)
from tests.server.test_bad_requests import check_refusal

POLICY = "/v1/steering/policy"
SOURCES = {"Latn": {"plan": "to-latin", "strength": 0.5}, "Deva": {"plan": "to-deva", "phases": ["answer"]}}
BY_WORDS = {"kind": "entities", "words": {"parizh": "Deva"}, "suffixes": {"ton": "Latn", "pur": "Deva"}}
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def probe(*bias: float, **fields: Any) -> dict[str, Any]:
    """Give a probe that guesses by its bias alone: Latn, Deva, Cyrl."""
    weights = np.zeros((3, 2, EXPERTS)).tolist()
    guess = {"kind": "probe", "model": BINDING.model_dump(), "scripts": ["Latn", "Deva", "Cyrl"], "layers": [3, 1]}
    return guess | {"threshold": 0.9, "classifier": {"weights": weights, "bias": list(bias)}} | fields


LATN, CYRL, UNSURE = probe(9.0, 0.0, 0.0), probe(0.0, 0.0, 9.0), probe(1.0, 1.0, 1.0)


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for name, edits in (("to-latin", [BAN, ADD]), ("to-deva", [ADD]), ("home", [BAN])):
        document = plan_document(name, edits=edits)
        assert (await client.put(f"/v1/steering/plans/{name}", json=document, headers=ADMIN)).status_code == 200
    return client


async def follow(client: httpx.AsyncClient, guess: dict[str, Any], **rule: Any) -> None:
    policy = {"scripts": {"Cyrl": {"sources": SOURCES, **rule}}, "guess": guess}
    answer = await client.put(POLICY, json=policy, headers=ADMIN)
    assert answer.status_code == 200, answer.text


async def ask(client: httpx.AsyncClient, path: str, text: str = "где кумитон", **fields: Any) -> dict[str, Any]:
    answer = await client.post(path, json=question(path, text, **{"steering": "auto", **fields}))
    assert answer.status_code == 200, answer.text
    return answer.json()["steering"]


def words_of(echo: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(echo[name] for name in ("applied", "plan", "guess", "guessed_source", "reason", "source"))


@pytest.mark.parametrize("path", GENERATING)
async def test_the_words_of_the_question_choose_the_plan(stocked: httpx.AsyncClient, vllm: FakeVllm, path: str):
    await follow(stocked, BY_WORDS)
    echo = await ask(stocked, path)
    assert words_of(echo) == (True, "to-latin", "entities", "Latn", None, "policy")
    assert (echo["strength"], vllm.payload.edits) == (0.5, make_plan().edits)
    assert len(vllm.bodies) == 1


@pytest.mark.parametrize(
    ("text", "plan", "source", "reason"),
    [
        ("где Канпур", "to-deva", "Deva", None),
        ("где кумитон и Канпур", None, None, "no_guess"),
        ("где «Канпур» кумитон", "to-deva", "Deva", None),
        ("где же такое kumiton и Канпур", "to-latin", "Latn", None),
        ("где это", None, None, "no_guess"),
        ("пурга где", None, None, "no_guess"),
    ],
)
async def test_entities_win_and_contradictions_are_no_guess(
    stocked: httpx.AsyncClient, text: str, plan: str | None, source: str | None, reason: str | None
):
    await follow(stocked, BY_WORDS)
    echo = await ask(stocked, "/v1/completions", text)
    assert words_of(echo) == (plan is not None, plan, "entities", source, reason, "policy")


@pytest.mark.parametrize("guess", [BY_WORDS, UNSURE], ids=["words", "probe"])
async def test_without_a_guess_the_rules_own_plan_is_the_fall_back(stocked: httpx.AsyncClient, guess: dict[str, Any]):
    await follow(stocked, guess, plan="home", strength=2.0)
    echo = await ask(stocked, "/v1/completions", "где")
    assert words_of(echo) == (True, "home", guess["kind"], None, None, "policy")
    assert echo["strength"] == 2.0


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_probe_chooses_the_plan_and_only_the_echo_shows_it(
    stocked: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, path: str, is_streamed: bool
):
    await follow(stocked, LATN)
    body = question(path, steering="auto", routing={"tag": "exp-a"}, stream=is_streamed, n=2, max_tokens=50)
    answer = await stocked.post(path, json=body)
    events = data_of(answer.content) if is_streamed else [answer.json()]
    assert all("steering" in events[index] for index in (0, -1))
    assert words_of(events[0]["steering"]) == (True, "to-latin", "probe", "Latn", None, "policy")
    first, second = vllm.payloads
    assert first is not None
    assert second is not None
    assert (first.is_steered, first.wants_summary, first.recomputes_prefix) == (False, True, True)
    assert (first.tag, first.script, second.tag) == ("exp-a", "Cyrl", "exp-a")
    assert second.edits == make_plan().edits
    assert "routing" in events[-1]
    assert "summary" not in events[-1]["routing"]
    assert not workers.receipts


@pytest.mark.parametrize("path", GENERATING)
async def test_the_probe_asks_the_same_prompt_for_one_token(stocked: httpx.AsyncClient, vllm: FakeVllm, path: str):
    await follow(stocked, LATN)
    shown = {"stream": True, "n": 3, "min_tokens": 9, "max_tokens": 50, "logprobs": 1, "request_id": "mine"}
    prompt = {"tools": [], "cache_salt": "mine", "chat_template_kwargs": {"enable_thinking": True}, "stop": ["x"]}
    await stocked.post(path, json=question(path, steering="auto", **shown, **prompt), headers={"X-Request-Id": "mine"})
    probed, served = (json.loads(body) for body in vllm.bodies)
    assert served == question(path, **shown, **prompt)
    assert [probed.pop(name) for name in LIMITS if name in probed] == [1]
    assert probed.pop("store", False) is False
    assert probed == question(path, **prompt)
    assert int(vllm.headers[0]["content-length"]) == len(vllm.bodies[0])
    assert "x-request-id" not in vllm.headers[0]
    assert vllm.headers[1]["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("guess", "plan", "source", "reason"),
    [(CYRL, None, "Cyrl", "same_script"), (UNSURE, None, None, "no_guess"), (LATN, "to-latin", "Latn", None)],
    ids=["same script", "unsure", "guessed"],
)
async def test_what_a_probe_says_is_echoed(
    stocked: httpx.AsyncClient, vllm: FakeVllm, guess: dict[str, Any], plan: str, source: str, reason: str
):
    await follow(stocked, guess)
    echo = await ask(stocked, "/v1/completions")
    assert words_of(echo) == (plan is not None, plan, "probe", source, reason, "policy")
    assert vllm.payload.is_steered == (plan is not None)
    assert not vllm.payload.wants_summary


async def test_a_probe_reads_the_prompts_routing_in_its_layers(stocked: httpx.AsyncClient, workers: FakeWorkers):
    weights = np.zeros((3, 2, EXPERTS))
    weights[0, 0, 5] = weights[1, 1, 5] = 99.0
    await follow(stocked, probe(classifier={"weights": weights.tolist(), "bias": [0.0, 0.0, 0.0]}))
    for layer, source in ((3, "Latn"), (1, "Deva"), (0, None)):
        selected = np.zeros((3, LAYERS, EXPERTS), np.int32)
        selected[0, :, 0] = 10
        selected[0, layer] = [0, 0, 0, 0, 0, 10, 0, 0]
        selected[1:, :, 5] = 1000
        workers.selected = selected
        assert (await ask(stocked, "/v1/completions"))["guessed_source"] == source


@pytest.mark.parametrize("field", [False, "off", "to-latin", {"edits": [BAN]}, None])
async def test_only_auto_is_probed(stocked: httpx.AsyncClient, vllm: FakeVllm, field: Any):
    await follow(stocked, LATN)
    fields = {} if field is None else {"steering": field}
    await stocked.post("/v1/completions", json=question("/v1/completions", **fields))
    assert len(vllm.bodies) == 1


async def test_a_script_without_sources_is_not_probed(stocked: httpx.AsyncClient, vllm: FakeVllm):
    await follow(stocked, LATN)
    echo = await ask(stocked, "/v1/completions", "Hello")
    assert words_of(echo) == (False, None, None, None, "no_rule", "policy")
    assert len(vllm.bodies) == 1


async def test_a_default_of_auto_is_probed_and_answers_as_ever(
    settings: pytest.MonkeyPatch, start: Start, stocked: httpx.AsyncClient, vllm: FakeVllm
):
    await follow(stocked, CYRL)
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "auto")
    client = await start()
    body = question("/v1/completions")
    answer = await client.post("/v1/completions", json=body)
    assert answer.json() == whole_answer("/v1/completions", {})
    assert len(vllm.bodies) == 2
    assert json.loads(vllm.bodies[1]) == body


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("fault", ["not taken up", "no receipt", "nothing counted", "vLLM fails"])
async def test_a_probe_that_fails_withholds_the_request(
    stocked: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, path: str, is_streamed: bool, fault: str
):
    await follow(stocked, LATN, plan="home")
    vllm.takes_up = fault not in {"not taken up", "vLLM fails"}
    workers.loses_receipts = fault == "no receipt"
    workers.selected = np.zeros((3, LAYERS, EXPERTS), np.int32) if fault == "nothing counted" else None
    if fault == "vLLM fails":
        vllm.answer = lambda body: Response("broken", status_code=500)
    answer = await stocked.post(path, json=question(path, steering="auto", stream=is_streamed))
    check_refusal(answer, 503, param="steering", code="guess_failed")
    assert len(vllm.bodies) == 1


async def test_what_vllm_refuses_is_refused_in_its_words(stocked: httpx.AsyncClient, vllm: FakeVllm):
    await follow(stocked, LATN)
    vllm.takes_up = False
    vllm.answer = lambda body: JSONResponse({"error": {"message": "too long"}}, status_code=400)
    answer = await stocked.post("/v1/completions", json=question("/v1/completions", steering="auto"))
    assert (answer.status_code, answer.json()) == (400, {"error": {"message": "too long"}})
    assert len(vllm.bodies) == 1


async def test_a_tool_call_cut_short_by_the_probe_is_no_failure(stocked: httpx.AsyncClient, vllm: FakeVllm):
    await follow(stocked, LATN)
    usual = vllm._usual_answer
    vllm.answer = lambda body: Response(status_code=400) if len(vllm.bodies) == 1 else usual("/v1/completions", body)
    assert (await ask(stocked, "/v1/completions"))["plan"] == "to-latin"


@pytest.mark.parametrize("field", ["use_beam_search", "background"])
async def test_modes_that_drop_what_is_asked_are_refused_before_the_probe(
    stocked: httpx.AsyncClient, vllm: FakeVllm, field: str
):
    await follow(stocked, CYRL)
    answer = await stocked.post("/v1/responses", json=question("/v1/responses", steering="auto", **{field: True}))
    check_refusal(answer, 400, param=field, code="invalid_steering")
    assert not vllm.bodies


async def test_a_request_is_served_by_the_policy_that_it_came_under(
    stocked: httpx.AsyncClient, app: Any, vllm: FakeVllm, start: Start
):
    await follow(stocked, LATN)
    resolver = stocked._transport.app.state.polyglyph.resolver  # type: ignore[attr-defined]
    pending = resolver.resolve("auto", script="Cyrl").pending
    await stocked.put(POLICY, json={"otherwise": {"plan": "home"}}, headers=ADMIN)
    assert resolver.settle(pending, Guessed(guess="probe", source="Latn")).plan == "to-latin"


@pytest.mark.parametrize(
    ("policy", "status", "param", "code"),
    [
        ({"sources": {"Latn": {"plan": "nope"}}}, 404, "policy.scripts.Cyrl.sources.Latn.plan", "plan_not_found"),
        (
            {"sources": {"Latn": {"plan": "to-latin", "strength": -1.0}}},
            400,
            "policy.scripts.Cyrl.sources.Latn.plan",
            "impossible_edit",
        ),
        ({"sources": {"Hebr": {"plan": "home"}}}, 400, "policy.scripts.Cyrl.sources.Hebr", "invalid_steering"),
    ],
)
async def test_plans_by_source_are_checked_as_others_are(
    stocked: httpx.AsyncClient, policy: dict[str, Any], status: int, param: str, code: str
):
    answer = await stocked.put(POLICY, json={"scripts": {"Cyrl": policy}, "guess": BY_WORDS}, headers=ADMIN)
    check_refusal(answer, status, param=param, code=code)


async def test_a_probe_of_another_model_is_refused(stocked: httpx.AsyncClient):
    other = LATN | {"model": OTHER_BINDING.model_dump()}
    answer = await stocked.put(POLICY, json={"otherwise": {"sources": SOURCES}, "guess": other}, headers=ADMIN)
    check_refusal(answer, 400, param="policy.guess.model", code="plan_mismatch")


async def test_a_probe_of_another_model_that_another_server_put_is_not_followed(
    stocked: httpx.AsyncClient, vllm: FakeVllm
):
    policy = {"otherwise": {"sources": SOURCES}, "guess": LATN | {"model": OTHER_BINDING.model_dump()}}
    stocked._transport.app.state.polyglyph.policies.put(parse_policy(policy))  # type: ignore[attr-defined]
    answer = await stocked.post("/v1/completions", json=question("/v1/completions", steering="auto"))
    check_refusal(answer, 400, param="policy.guess.model", code="plan_mismatch")
    assert not vllm.bodies


@pytest.mark.parametrize("guess", [BY_WORDS, LATN], ids=["words", "probe"])
async def test_a_policy_that_guesses_is_kept_across_restarts(
    stocked: httpx.AsyncClient, start: Start, guess: dict[str, Any]
):
    await follow(stocked, guess)
    policy = (await stocked.get(POLICY)).json()
    assert (await (await start()).get(POLICY)).json() == policy
    assert (await stocked.put(POLICY, json=policy, headers=ADMIN)).json() == policy


async def test_a_plan_of_a_source_is_in_use(stocked: httpx.AsyncClient):
    await follow(stocked, BY_WORDS)
    answer = await stocked.delete("/v1/steering/plans/to-deva", headers=ADMIN)
    check_refusal(answer, 409, param="name", code="conflict")
    assert "policy.scripts.Cyrl.sources.Deva" in answer.text


async def test_a_dry_run_supposes_a_source(stocked: httpx.AsyncClient, vllm: FakeVllm):
    await follow(stocked, LATN, plan="home")
    body = {"steering": "auto", "request_script": "Cyrl"}
    unsure = (await stocked.post("/v1/steering/validate", json=body)).json()
    assert words_of(unsure) == (True, "home", "probe", None, None, "policy")
    supposed = (await stocked.post("/v1/steering/validate", json=body | {"source_script": "Deva"})).json()
    assert words_of(supposed) == (True, "to-deva", "probe", "Deva", None, "policy")
    assert not vllm.bodies


@pytest.mark.parametrize(
    "body", [{"steering": "auto", "source_script": "Latin"}, {"steering": "home", "source_script": "Latn"}]
)
async def test_a_source_that_could_not_be_supposed_is_refused(stocked: httpx.AsyncClient, body: dict[str, Any]):
    answer = await stocked.post("/v1/steering/validate", json=body)
    check_refusal(answer, 400, param="source_script", code="invalid_steering")


async def test_guesses_are_counted_by_kind_and_outcome(stocked: httpx.AsyncClient, vllm: FakeVllm):
    metrics = stocked._transport.app.state.polyglyph.recorders.metrics  # type: ignore[attr-defined]
    await follow(stocked, BY_WORDS)
    await ask(stocked, "/v1/completions")
    await ask(stocked, "/v1/completions", "где")
    await follow(stocked, LATN)
    await ask(stocked, "/v1/completions")
    vllm.takes_up = False
    await stocked.post("/v1/completions", json=question("/v1/completions", steering="auto"))
    counted = {labels: number for labels, number in metrics.read().guesses.items() if number}
    assert counted == {
        ("entities", "guessed"): 1,
        ("entities", "unsure"): 1,
        ("probe", "guessed"): 1,
        ("probe", "failed"): 1,
    }
    assert sum(metrics.read().requests.values()) == 3


async def test_a_client_that_goes_away_during_the_probe_is_noticed():
    messages = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    watched = WatchedReceive(receive)
    await watched()
    assert not watched.is_gone
    await watched()
    assert watched.is_gone
    assert KeptAnswer().status == 0
