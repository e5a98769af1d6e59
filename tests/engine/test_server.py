"""A real server over HTTP, asked with the real clients: echo, summary, streams, refusals, and clients that go away."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import numpy as np
import openai
import pytest

from polyglyph.contract.routing import ArrayDocument
from polyglyph.contract.steering import PAYLOAD_KEY
from tests.support.server import ADMIN, ADMIN_KEY, START_TIMEOUT_S, Server, serving

pytestmark = pytest.mark.timeout(START_TIMEOUT_S + 200)
API_KEY = "a-callers-key"
CALLER = {"Authorization": f"Bearer {API_KEY}"}
LAYERS, EXPERTS, TOP_K = 6, 16, 2
BAN = {"layer": 0, "experts": [0, 1, 2], "op": "ban"}
FORCE = {"layer": 2, "experts": [5], "op": "force"}
QUESTION = [{"role": "user", "content": "кумитон ливего"}]
ASKED: dict[str, Any] = {
    "steering": {"edits": [BAN, FORCE], "strength": 1.0},
    "routing": {"return": ["summary"], "weights": True},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ["--enforce-eager", "--api-key", API_KEY, "--admin-key", ADMIN_KEY, "--max-body-bytes", "100000"]
    flags += ["--enable-prompt-tokens-details"]
    with serving(tmp_path_factory.mktemp("server"), flags) as server:
        yield server


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=API_KEY, max_retries=0)


def chat(client: openai.OpenAI, extra_body: dict[str, Any] | None = None, **settings: Any) -> Any:
    values = {"model": "organism", "messages": QUESTION, "temperature": 0, "max_tokens": 20, **settings}
    return client.chat.completions.create(**values, extra_body=extra_body)


def check_echo(echo: dict[str, Any]) -> None:
    assert echo["applied"] is True
    assert (echo["plan"], echo["source"], echo["request_script"]) == (None, "request", "Cyrl")
    assert echo["fingerprint"].startswith("sha256:")
    assert echo["tokens_steered"] > 0
    assert 0 < echo["dose"] <= 1


def check_summary(summary: dict[str, Any]) -> None:
    selected = ArrayDocument.model_validate(summary["selected"]).to_numpy()
    weights = ArrayDocument.model_validate(summary["weight_sum"]).to_numpy()
    tokens = np.array(summary["num_tokens"])
    assert selected.shape == weights.shape == (3, LAYERS, EXPERTS)
    assert np.array_equal(selected.sum(axis=2), np.repeat(tokens[:, None] * TOP_K, LAYERS, axis=1))
    assert selected[:, 0, [0, 1, 2]].sum() == 0
    assert np.array_equal(selected[:, 2, 5], tokens)
    assert np.allclose(weights.sum(axis=2), np.repeat(tokens[:, None], LAYERS, axis=1), rtol=1e-2)


def stats(server: Server) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/v1/routing/stats", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def counted_tokens(server: Server) -> int:
    return sum(group["group_tokens"] for group in stats(server)["groups"])


def test_chat_says_what_was_done(client: openai.OpenAI) -> None:
    answer = chat(client, ASKED)
    check_echo(answer.model_extra["steering"])
    check_summary(answer.model_extra["routing"]["summary"])


def test_an_ordinary_answer_carries_nothing_of_ours(client: openai.OpenAI) -> None:
    answer = chat(client)
    assert "steering" not in answer.model_extra
    assert "routing" not in answer.model_extra


def test_no_steering_is_said_too(client: openai.OpenAI) -> None:
    echo = chat(client, {"steering": False}).model_extra["steering"]
    assert (echo["applied"], echo["tokens_steered"], echo["dose"]) == (False, 0, 0.0)


def test_a_chat_stream_says_it_first_and_last(client: openai.OpenAI) -> None:
    chunks = list(chat(client, ASKED, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].model_extra["steering"]["applied"] is True
    assert "dose" not in chunks[0].model_extra["steering"]
    check_echo(chunks[-1].model_extra["steering"])
    check_summary(chunks[-1].model_extra["routing"]["summary"])
    assert not any("steering" in (chunk.model_extra or {}) for chunk in chunks[1:-1])


def test_streamed_and_whole_answers_are_the_same(client: openai.OpenAI) -> None:
    whole = chat(client, ASKED).choices[0].message
    chunks = [chunk.choices[0].delta for chunk in chat(client, ASKED, stream=True) if chunk.choices]
    assert "".join(delta.content or "" for delta in chunks) == (whole.content or "")


def test_choices_of_one_request_are_accounted_together(client: openai.OpenAI) -> None:
    answer = chat(client, ASKED, n=4, temperature=1.0, seed=3, extra_query=None)
    check_echo(answer.model_extra["steering"])
    summary = answer.model_extra["routing"]["summary"]
    check_summary(summary)
    assert len(answer.choices) == 4
    assert sum(summary["num_tokens"][1:]) == answer.usage.completion_tokens - 4


def test_streamed_choices_are_accounted_together(client: openai.OpenAI) -> None:
    chunks = list(chat(client, ASKED, n=3, temperature=1.0, seed=3, stream=True))
    ended = {choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason}
    assert ended == {0, 1, 2}
    check_summary(chunks[-1].model_extra["routing"]["summary"])


def test_completions_take_several_prompts(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="organism", prompt=["кумитон ливего", "кумитон"], max_tokens=6, temperature=0, extra_body=ASKED
    )
    check_echo(answer.model_extra["steering"])
    check_summary(answer.model_extra["routing"]["summary"])
    assert len(answer.choices) == 2


def test_log_probabilities_come_with_steering(client: openai.OpenAI) -> None:
    answer = chat(client, ASKED, logprobs=True, top_logprobs=3)
    assert answer.choices[0].logprobs.content
    check_echo(answer.model_extra["steering"])


def test_responses_carry_the_fields(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="organism", input="кумитон ливего", max_output_tokens=20, temperature=0, extra_body=ASKED
    )
    check_echo(answer.model_extra["steering"])
    check_summary(answer.model_extra["routing"]["summary"])


def test_a_response_stream_carries_the_fields(client: openai.OpenAI) -> None:
    events = list(
        client.responses.create(
            model="organism", input="кумитон ливего", max_output_tokens=20, temperature=0, stream=True, extra_body=ASKED
        )
    )
    assert events[0].model_extra["steering"]["applied"] is True
    assert events[-1].type in {"response.completed", "response.incomplete"}
    check_echo(events[-1].response.model_extra["steering"])
    check_summary(events[-1].response.model_extra["routing"]["summary"])


def test_messages_carry_the_fields(server: Server) -> None:
    client = anthropic.Anthropic(base_url=server.url, auth_token=API_KEY, api_key=None, max_retries=0)
    answer = client.messages.create(model="organism", messages=QUESTION, max_tokens=20, extra_body=ASKED)
    assert answer.model_extra is not None
    check_echo(answer.model_extra["steering"])
    check_summary(answer.model_extra["routing"]["summary"])


def test_a_message_stream_carries_the_fields(server: Server) -> None:
    body = {"model": "organism", "messages": QUESTION, "max_tokens": 20, "stream": True, **ASKED}
    with httpx.stream("POST", f"{server.url}/v1/messages", json=body, headers=CALLER, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]
    assert events[0]["steering"]["applied"] is True
    check_echo(events[-1]["steering"])
    check_summary(events[-1]["routing"]["summary"])


def test_a_plan_can_be_stored_used_and_removed(server: Server, client: openai.OpenAI) -> None:
    bundled = httpx.get(f"{server.url}/v1/steering/plans/to-latn", headers=CALLER).json()
    document = bundled.get("plan", bundled)
    mine = {**document, "name": "mine", "edits": [BAN], "phases": ["prompt"]}
    url = f"{server.url}/v1/steering/plans/mine"
    assert httpx.put(url, json=mine, headers=ADMIN).status_code == 200
    echo = chat(client, {"steering": "mine"}).model_extra["steering"]
    assert (echo["plan"], echo["phases"]) == ("mine", ["prompt"])
    assert httpx.delete(url, headers=ADMIN).is_success
    with pytest.raises(openai.NotFoundError) as refused:
        chat(client, {"steering": "mine"})
    assert (refused.value.param, refused.value.code) == ("steering", "plan_not_found")


def test_auto_follows_the_policy(server: Server, client: openai.OpenAI) -> None:
    policy = {"scripts": {"Cyrl": {"plan": "to-latn", "strength": 0.5}}}
    answer = httpx.put(f"{server.url}/v1/steering/policy", json=policy, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    echo = chat(client, {"steering": "auto"}).model_extra["steering"]
    assert (echo["applied"], echo["plan"], echo["strength"], echo["source"]) == (True, "to-latn", 0.5, "policy")
    latin = chat(client, {"steering": "auto"}, messages=[{"role": "user", "content": "kumiton livego"}])
    assert latin.model_extra["steering"]["applied"] is False
    assert latin.model_extra["steering"]["request_script"] == "Latn"


BAD = [
    ({"steering": {"strenght": 1}}, "steering.strenght"),
    ({"steering": 3}, "steering"),
    ({"steering": {"strength": 17}}, "steering.strength"),
    ({"steering": {"phases": ["thinking"]}}, "steering.phases[0]"),
    ({"steering": {"edits": [{**BAN, "layer": LAYERS}]}}, "steering.edits[0].layer"),
    ({"steering": {"edits": [{**BAN, "experts": [EXPERTS]}]}}, "steering.edits[0].experts"),
    ({"steering": {"edits": [{**FORCE, "experts": [1, 2, 3]}]}}, "steering.edits[0].experts"),
    ({"steering": {"edits": [{**BAN, "experts": list(range(15))}]}}, "steering.edits[0].experts"),
    ({"steering": {"edits": [BAN, {**BAN, "op": "force", "experts": [0]}]}}, "steering.edits[1].experts"),
    ({"routing": {"return": ["everything"]}}, "routing.return[0]"),
    ({"routing": {"return": ["summary"], "layers": [6]}}, "routing.layers[0]"),
    ({"vllm_xargs": {PAYLOAD_KEY: "{}"}, "steering": False}, f"vllm_xargs.{PAYLOAD_KEY}"),
    ({"vllm_xargs": {PAYLOAD_KEY: "{}"}}, f"vllm_xargs.{PAYLOAD_KEY}"),
    ({"use_beam_search": True, "steering": {"edits": [BAN]}}, "use_beam_search"),
]


@pytest.mark.parametrize(("extra_body", "param"), BAD, ids=lambda value: str(value)[:50])
def test_what_cannot_be_steered_is_refused_before_it_is_scheduled(
    server: Server, client: openai.OpenAI, extra_body: dict[str, Any], param: str
) -> None:
    before = counted_tokens(server)
    with pytest.raises(openai.BadRequestError) as refused:
        chat(client, extra_body)
    assert refused.value.param == param
    assert counted_tokens(server) == before
    assert chat(client).choices


def test_a_plan_for_another_model_is_refused_with_both_fingerprints(server: Server) -> None:
    document = httpx.get(f"{server.url}/v1/steering/plans/to-latn", headers=CALLER).json()
    document = document.get("plan", document)
    other = {**document, "name": "other", "model": {**document["model"], "fingerprint": "sha256:" + "0" * 64}}
    answer = httpx.put(f"{server.url}/v1/steering/plans/other", json=other, headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "plan_mismatch")
    assert "0" * 64 in answer.text
    assert document["model"]["fingerprint"] in answer.text


def test_a_body_over_the_limit_is_refused(server: Server) -> None:
    body = {"model": "organism", "messages": [{"role": "user", "content": "а" * 100_000}]}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=CALLER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(("headers", "status"), [({}, 401), (CALLER, 403)], ids=["no key", "a caller's key"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/steering/plans/mine"),
        ("DELETE", "/v1/steering/plans/mine"),
        ("PUT", "/v1/steering/policy"),
        ("POST", "/v1/routing/stats/reset"),
        ("GET", "/v1/routing/stats"),
    ],
)
def test_admin_routes_want_the_admin_key(
    server: Server, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.request(method, server.url + path, json={}, headers=headers)
    assert answer.status_code == status
    assert "error" in answer.json()


def test_a_client_that_goes_away_leaves_slots_and_sums_right(server: Server, client: openai.OpenAI) -> None:
    quiet = chat(client, logprobs=True, top_logprobs=5).choices[0]
    for _ in range(40):  # more than there would be slots, were they kept
        stream = chat(client, ASKED, stream=True, max_tokens=200, extra_query=None)
        next(iter(stream))
        stream.close()
    assert chat(client, logprobs=True, top_logprobs=5).choices[0] == quiet
    check_summary(chat(client, ASKED).model_extra["routing"]["summary"])
    document = stats(server)
    for group in document["groups"]:
        selected = ArrayDocument.model_validate(group["selected"]).to_numpy()
        assert np.array_equal(selected.sum(axis=1), np.full(LAYERS, group["group_tokens"] * TOP_K))


def test_stats_tell_scripts_phases_plans_and_tags_apart(server: Server, client: openai.OpenAI) -> None:
    assert httpx.post(f"{server.url}/v1/routing/stats/reset", headers=ADMIN).is_success
    assert stats(server)["groups"] == []
    # A prompt of its own: nothing of it is in the prefix cache.
    answer = chat(client, {"routing": {"tag": "exp-a"}}, messages=[{"role": "user", "content": "გუმიტონ ლივეგო"}])
    groups = stats(server)["groups"]
    assert {(group["request_script"], group["plan"], group["tag"]) for group in groups} == {("Geor", "", "exp-a")}
    assert {"Geor", "Zyyy"} <= {group["script"] for group in groups}
    by_phase: Counter[str] = Counter()
    for group in groups:
        by_phase[group["phase"]] += group["group_tokens"]
    assert by_phase["prompt"] == answer.usage.prompt_tokens
    assert sum(by_phase.values()) == answer.usage.prompt_tokens + answer.usage.completion_tokens - 1


def test_the_model_route_shows_every_hook(server: Server) -> None:
    document = httpx.get(f"{server.url}/v1/routing/model", headers=CALLER).json()
    hooks = [hook for worker in document["workers"] for hook in worker["hooks"]]
    assert len(hooks) == LAYERS
    assert all(hook["in_place"] and hook["has_run"] for hook in hooks)


def test_verify_passes_every_line(server: Server) -> None:
    command = [sys.executable, "-m", "polyglyph.clients", "--url", server.url, "--api-key", API_KEY]
    done = subprocess.run(
        [*command, "--admin-key", ADMIN_KEY, "verify", "--json"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
