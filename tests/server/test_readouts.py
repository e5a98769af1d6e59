"""Readouts over HTTP: the numbers of the request's own sums, whole and streamed, and what is refused."""

from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest

from polyglyph.contract.expert_set import parse_expert_set
from polyglyph.contract.readout import read_out
from polyglyph.contract.routing import ArrayDocument
from tests.server.conftest import Start
from tests.server.fakes import ADD, EXPERTS, GENERATING, LAYERS, MODEL, FakeVllm, FakeWorkers, data_of, question
from tests.server.test_bad_requests import check_refusal
from tests.server.test_expert_set_routes import GUARD, OTHER_BINDING, put_set, set_document

NUM_TOKENS = [5, 0, 3]
"""What the fake workers say that they computed, by phase."""


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for fields in ({"bias": -1.0}, {"name": "share", "phase": "answer"}, GUARD):
        assert (await put_set(client, **fields)).status_code == 200
    return client


async def ask(client: httpx.AsyncClient, routing: Any, path: str = "/v1/completions", **fields: Any) -> Any:
    answer = await client.post(path, json=question(path, routing=routing, **fields))
    assert answer.status_code == 200, answer.text
    return answer.json()["routing"]


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_readout_is_computed_from_the_sums_of_the_same_request(
    stocked: httpx.AsyncClient, path: str, is_streamed: bool
):
    body = question(path, routing={"return": ["summary", "readouts"]}, stream=is_streamed, n=2)
    answer = await stocked.post(path, json=body)
    routing = (data_of(answer.content)[-1] if is_streamed else answer.json())["routing"]
    selected = ArrayDocument.model_validate(routing["summary"]["selected"]).to_numpy()
    assert list(routing["readouts"]) == ["core", "share"]
    for name, fields in (("core", {"bias": -1.0}), ("share", {"name": "share", "phase": "answer"})):
        experts = parse_expert_set(set_document(**fields))
        expected = read_out(experts, selected, routing["summary"]["num_tokens"], routers=MODEL.routers)
        assert routing["readouts"][name] == expected.model_dump(mode="json")
    assert [entry["num_tokens"] for entry in routing["readouts"]["core"]["phases"].values()] == NUM_TOKENS


async def test_readouts_alone_ask_the_workers_for_sums_and_return_no_summary(
    stocked: httpx.AsyncClient, vllm: FakeVllm
):
    routing = await ask(stocked, {"return": ["readouts"], "readouts": ["super", "core"], "tag": "a"})
    assert (list(routing), list(routing["readouts"])) == (["readouts", "tag"], ["super", "core"])
    assert vllm.payload.wants_summary
    assert not vllm.payload.is_steered


async def test_a_phase_without_tokens_is_null_and_says_why(stocked: httpx.AsyncClient, workers: FakeWorkers):
    workers.selected = np.zeros((3, LAYERS, EXPERTS), np.int32)
    await put_set(stocked, name="thinks", phase="reasoning", bias=0.0)
    readout = (await ask(stocked, {"return": ["readouts"], "readouts": ["thinks"]}))["readouts"]["thinks"]
    assert (readout["value"], readout["above"], readout["num_tokens"]) == (None, None, 0)
    assert "'reasoning'" in readout["cannot_be_computed"]


async def test_readouts_of_a_steered_request_are_of_the_routing_as_it_was(stocked: httpx.AsyncClient, vllm: FakeVllm):
    assert "readouts" in await ask(stocked, {"return": ["readouts"]}, steering={"edits": [ADD], "strength": 0.5})
    assert vllm.payload.is_steered


async def test_what_was_put_after_the_request_came_is_not_read(stocked: httpx.AsyncClient, vllm: FakeVllm):
    usual = vllm._usual_answer

    def answer(body: dict[str, Any]) -> Any:
        registry = stocked._transport.app.state.polyglyph.expert_sets  # type: ignore[attr-defined]
        registry.delete("core")
        return usual("/v1/completions", body)

    vllm.answer = answer
    assert "core" in (await ask(stocked, {"return": ["readouts"]}))["readouts"]


@pytest.mark.parametrize(
    ("routing", "status", "param", "code"),
    [
        ({"return": ["readouts"], "readouts": ["nope"]}, 404, "routing.readouts[0]", "expert_set_not_found"),
        ({"return": ["readouts"], "readouts": ["core", "foreign"]}, 400, "routing.readouts[1]", "plan_mismatch"),
        ({"return": ["readouts"], "readouts": []}, 400, "routing.readouts", "invalid_steering"),
        ({"return": ["readouts"], "readouts": ["core", "core"]}, 400, "routing.readouts", "invalid_steering"),
        ({"return": ["readouts"], "readouts": "core"}, 400, "routing.readouts", "invalid_steering"),
        ({"return": ["readouts"], "readouts": ["../x"]}, 400, "routing.readouts[0]", "invalid_steering"),
        ({"return": ["summary"], "readouts": ["core"]}, 400, "routing.readouts", "invalid_steering"),
        ({"readouts": ["core"]}, 400, "routing.readouts", "invalid_steering"),
        ({"return": ["readouts"], "weights": True}, 400, "routing.return", "invalid_steering"),
        ({"return": ["readouts"], "layers": [0]}, 400, "routing.return", "invalid_steering"),
    ],
)
async def test_a_wrong_readout_is_refused_with_its_path(
    stocked: httpx.AsyncClient, vllm: FakeVllm, routing: Any, status: int, param: str, code: str
):
    foreign = parse_expert_set(set_document(name="foreign", model=OTHER_BINDING.model_dump()))
    stocked._transport.app.state.polyglyph.expert_sets.put(foreign)  # type: ignore[attr-defined]
    answer = await stocked.post("/v1/completions", json=question("/v1/completions", routing=routing))
    check_refusal(answer, status, param=param, code=code)
    assert not vllm.bodies
    tried = (await stocked.post("/v1/steering/validate", json={"routing": routing})).json()
    assert tried == {"valid": False, "errors": [answer.json()["error"]]}
    assert list((await ask(stocked, {"return": ["readouts"]}))["readouts"]) == ["core", "share"]


async def test_readouts_of_nothing_are_refused(client: httpx.AsyncClient, vllm: FakeVllm):
    await put_set(client, **GUARD)
    body = question("/v1/completions", routing={"return": ["readouts"]})
    answer = await client.post("/v1/completions", json=body)
    check_refusal(answer, 400, param="routing.return", code="invalid_steering")
    assert not vllm.bodies


async def test_a_dry_run_says_which_sets_are_read_out(stocked: httpx.AsyncClient):
    tried = (await stocked.post("/v1/steering/validate", json={"routing": {"return": ["readouts"]}})).json()
    assert tried == {"valid": True, "errors": [], "readouts": ["core", "share"]}


async def test_readouts_without_stats_work(settings: pytest.MonkeyPatch, stocked: httpx.AsyncClient, start: Start):
    settings.setenv("POLYGLYPH_STATS", "0")
    assert list((await ask(await start(), {"return": ["readouts"]}))["readouts"]) == ["core", "share"]


@pytest.mark.parametrize("fields", [{"use_beam_search": True}, {"background": True}])
async def test_modes_that_would_drop_a_readout_are_refused(stocked: httpx.AsyncClient, fields: dict[str, Any]):
    body = question("/v1/responses", routing={"return": ["readouts"]}, **fields)
    check_refusal(
        await stocked.post("/v1/responses", json=body), 400, param=next(iter(fields)), code="invalid_steering"
    )


async def test_the_schema_describes_a_readout(stocked: httpx.AsyncClient):
    schemas = (await stocked.get("/v1/steering/schema")).json()
    jsonschema.validate(await ask(stocked, {"return": ["readouts"]}), schemas["response"]["routing"])
