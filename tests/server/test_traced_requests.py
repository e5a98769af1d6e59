"""`routing.return: ["tokens"]`: what a response says of every token, in our form and in vLLM's."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest

from polyglyph.contract.routing import ArrayDocument, RoutingTokens
from polyglyph.server.service import Service
from tests.server.fakes import ADMIN, EXPERTS, GENERATING, LAYERS, TOKENS, FakeWorkers, data_of, question


def traced(path: str, **routing: Any) -> dict[str, Any]:
    return question(path, routing={"return": ["tokens"], **routing})


async def tokens_of(client: httpx.AsyncClient, path: str = GENERATING[0], **routing: Any) -> RoutingTokens:
    answer = (await client.post(path, json=traced(path, **routing))).json()
    return RoutingTokens.model_validate_json(httpx.Response(200, json=answer["routing"]["tokens"]).text)


@pytest.mark.parametrize("path", GENERATING)
async def test_a_response_tells_every_token(client: httpx.AsyncClient, path: str):
    tokens = await tokens_of(client, path)
    assert tokens.num_tokens == len(TOKENS)
    assert tokens.token_ids == (0, 1, 2, 3)
    assert tokens.scripts == ("Cyrl", "Cyrl", "Zyyy", "Latn")
    assert tokens.phases == ("prompt", "prompt", "reasoning", "answer")
    assert tokens.computed == (False, True, True, True)
    ids = tokens.ids.to_numpy()
    assert ids.shape == (len(TOKENS), LAYERS, 2)
    assert (ids[0] == 255).all(), "a row of the prefix cache names no expert"
    assert tokens.weights is tokens.runner_up is tokens.probabilities is None


@pytest.mark.parametrize("path", GENERATING)
async def test_the_last_event_of_a_stream_carries_the_tokens(client: httpx.AsyncClient, path: str):
    answer = await client.post(path, json={**traced(path), "stream": True})
    events = data_of(answer.content)
    assert [bool(event.get("routing", {}).get("tokens")) for event in events] == [False] * (len(events) - 1) + [True]


async def test_weights_runners_up_and_probabilities_come_when_asked(client: httpx.AsyncClient):
    tokens = await tokens_of(client, weights=True, runner_up=True, probabilities=True, layers=[2, 0])
    assert tokens.layers == (2, 0)
    shapes = [document.to_numpy().shape for document in (tokens.weights, tokens.runner_up, tokens.probabilities)]
    assert shapes == [(4, 2, 2), (4, 2, 2), (4, 2, EXPERTS)]


async def test_vllms_own_encoding_is_a_choices_field(client: httpx.AsyncClient):
    path = GENERATING[0]
    answer = (await client.post(path, json=traced(path, format="vllm"))).json()
    encoded = answer["choices"][0]["routed_experts"]
    ids = np.load(io.BytesIO(base64.b64decode(encoded)), allow_pickle=False)
    assert ids.dtype == np.uint8
    assert ids.shape == (len(TOKENS), LAYERS + 1, 2), "hidden layers, of which the first has no router"
    assert not ids[:, 0].any()
    assert "routed_experts" not in answer["routing"]


async def test_vllms_own_encoding_leaves_out_what_vllms_field_says(client: httpx.AsyncClient):
    path = GENERATING[0]
    answer = (await client.post(path, json={**traced(path, format="vllm"), "routed_experts_prompt_start": 2})).json()
    ids = np.load(io.BytesIO(base64.b64decode(answer["choices"][0]["routed_experts"])))
    assert len(ids) == len(TOKENS) - 2


async def test_a_dropped_trace_is_an_error_and_not_an_answer(client: httpx.AsyncClient, workers: FakeWorkers):
    workers.drops_traces = True
    answer = await client.post(GENERATING[0], json=traced(GENERATING[0]))
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "trace_lost"


@pytest.mark.parametrize(
    ("routing", "param"),
    [
        ({"return": ["summary"], "runner_up": True}, "routing.runner_up"),
        ({"return": [], "probabilities": True}, "routing.probabilities"),
        ({"return": ["summary"], "format": "vllm"}, "routing.format"),
        ({"return": ["tokens"], "format": "vllm", "weights": True}, "routing.weights"),
        ({"return": ["tokens"], "format": "vllm", "layers": [0]}, "routing.layers"),
        ({"return": ["tokens"], "format": "vllm", "runner_up": True}, "routing.runner_up"),
        ({"return": ["tokens"], "format": "sglang"}, "routing.format"),
        ({"return": ["token"]}, "routing.return[0]"),
        ({"return": ["tokens"], "layers": [LAYERS]}, "routing.layers[0]"),
    ],
)
async def test_an_option_without_effect_is_refused(client: httpx.AsyncClient, routing: dict[str, Any], param: str):
    answer = await client.post(GENERATING[0], json=question(GENERATING[0], routing=routing))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_what_is_refused_and_what_is_served_is_counted(client: httpx.AsyncClient, app: Any):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as caller:
        await caller.post(GENERATING[0], json=traced(GENERATING[0]))
        await caller.post(GENERATING[0], json=traced(GENERATING[0], format="sglang"))
    service: Service = app.state.polyglyph
    reading = service.recorders.metrics.read()
    assert reading.requests == {("Cyrl", "none", "default"): 1}
    assert reading.refusals["invalid_steering"] == 1


async def test_array_documents_hold_no_pickle(client: httpx.AsyncClient):
    tokens = await tokens_of(client)
    broken = ArrayDocument(data=tokens.ids.data[:40], dtype="uint8", shape=(1,))
    with pytest.raises((ValueError, EOFError)):
        broken.to_numpy()


async def test_stats_of_a_served_app_are_read_through_the_store(client: httpx.AsyncClient):
    groups = (await client.get("/v1/routing/stats", params={"by": "script"}, headers=ADMIN)).json()["groups"]
    assert {group["script"]: (group["group_tokens"], group["cached_tokens"]) for group in groups} == {
        "Cyrl": (1, 2),
        "Latn": (2, 4),
    }
