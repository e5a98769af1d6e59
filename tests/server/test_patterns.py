"""Pattern libraries over HTTP: an `auto` request's routing is compared before the policy's rules are asked."""

from typing import Any

import httpx
import numpy as np
import pytest

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
)
from tests.server.test_bad_requests import check_refusal
from tests.server.test_composed_plans import service_of
from tests.server.test_guessed_sources import BY_WORDS, LATN, SOURCES

POLICY = "/v1/steering/policy"
VALIDATE = "/v1/steering/validate"


def shares(expert: int) -> list[list[float]]:
    """Give the shares, in layers 1 and 0, of routing to one expert alone."""
    return np.eye(EXPERTS)[[expert, expert]].tolist()


def library(**fields: Any) -> dict[str, Any]:
    patterns = [
        {"name": "sums", "shares": shares(1), "plan": "to-latin", "strength": 2.0, "phases": ["answer"]},
        {"name": "chat", "shares": shares(2)},
    ]
    return {"model": BINDING.model_dump(), "layers": [1, 0], "min_similarity": 0.9, "library": patterns} | fields


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for name, edits in (("to-latin", [BAN, ADD]), ("to-deva", [ADD]), ("home", [BAN])):
        document = plan_document(name, edits=edits)
        assert (await client.put(f"/v1/steering/plans/{name}", json=document, headers=ADMIN)).status_code == 200
    return client


async def follow(client: httpx.AsyncClient, **policy: Any) -> None:
    answer = await client.put(POLICY, json={"patterns": library(), **policy}, headers=ADMIN)
    assert answer.status_code == 200, answer.text


def route_to(workers: FakeWorkers, expert: int) -> None:
    """Let the prompt's tokens select one expert in the library's layers, and others everywhere else."""
    selected = np.full((3, LAYERS, EXPERTS), 9, np.int32)
    selected[0, :2] = 0
    selected[0, :2, expert] = 50
    workers.selected = selected


def words_of(echo: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(echo.get(name) for name in ("applied", "plan", "pattern", "guess", "guessed_source", "reason"))


async def ask(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/completions", json=question("/v1/completions", steering="auto", **fields))
    assert answer.status_code == 200, answer.text
    return answer.json()["steering"]


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_the_nearest_pattern_gives_its_plan_and_the_echo_says_which(
    stocked: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, path: str, is_streamed: bool
):
    await follow(stocked)
    route_to(workers, 1)
    answer = await stocked.post(path, json=question(path, steering="auto", stream=is_streamed))
    echo = (data_of(answer.content) if is_streamed else [answer.json()])[0]["steering"]
    assert words_of(echo) == (True, "to-latin", "sums", None, None, None)
    assert echo["similarity"] == pytest.approx(1.0)
    assert (echo["strength"], echo["phases"], echo["source"]) == (2.0, ["answer"], "policy")
    probe, served = vllm.payloads
    assert probe is not None
    assert served is not None
    assert (probe.is_steered, probe.wants_summary, probe.recomputes_prefix) == (False, True, True)
    assert served.edits == make_plan().edits


async def test_a_pattern_without_a_plan_is_no_steering(stocked: httpx.AsyncClient, workers: FakeWorkers):
    await follow(stocked, otherwise={"plan": "home"})
    route_to(workers, 2)
    assert words_of(await ask(stocked)) == (False, None, "chat", None, None, "no_plan_for_pattern")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, (False, None, None, None, None, "no_rule")),
        ({"otherwise": {"plan": "home"}}, (True, "home", None, None, None, None)),
        (
            {"otherwise": {"sources": SOURCES}, "guess": BY_WORDS},
            (True, "to-latin", None, "entities", "Latn", None),
        ),
        ({"otherwise": {"sources": SOURCES}, "guess": LATN}, (True, "to-latin", None, "probe", "Latn", None)),
    ],
    ids=["no rule", "a rule", "words", "probe"],
)
async def test_where_no_pattern_is_near_the_rules_go_on_with_the_same_probe(
    stocked: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, rules: dict[str, Any], expected: tuple[Any, ...]
):
    await follow(stocked, **rules)
    route_to(workers, 5)
    echo = await ask(stocked, prompt="где кумитон")
    assert words_of(echo) == expected
    assert echo["similarity"] == pytest.approx(0.0)
    assert "pattern" not in echo
    assert len(vllm.bodies) == 2


async def test_a_pattern_goes_before_rules_and_guesses(stocked: httpx.AsyncClient, workers: FakeWorkers):
    await follow(stocked, scripts={"Cyrl": {"plan": "home", "sources": SOURCES}}, guess=BY_WORDS)
    route_to(workers, 1)
    assert words_of(await ask(stocked, prompt="где кумитон"))[:4] == (True, "to-latin", "sums", None)


@pytest.mark.parametrize("steering", [False, "to-latin", {"plan": ["to-deva", "home"]}])
async def test_only_auto_is_compared(stocked: httpx.AsyncClient, vllm: FakeVllm, steering: Any):
    await follow(stocked)
    await stocked.post("/v1/completions", json=question("/v1/completions", steering=steering))
    assert len(vllm.bodies) == 1


@pytest.mark.parametrize("fault", ["not taken up", "no receipt", "nothing counted"])
async def test_a_probe_that_fails_withholds_the_request(
    stocked: httpx.AsyncClient, vllm: FakeVllm, workers: FakeWorkers, fault: str
):
    await follow(stocked, otherwise={"plan": "home"})
    vllm.takes_up = fault != "not taken up"
    workers.loses_receipts = fault == "no receipt"
    workers.selected = np.zeros((3, LAYERS, EXPERTS), np.int32) if fault == "nothing counted" else None
    answer = await stocked.post("/v1/completions", json=question("/v1/completions", steering="auto"))
    check_refusal(answer, 503, param="steering", code="guess_failed")
    assert len(vllm.bodies) == 1
    assert service_of(stocked).recorders.metrics.read().guesses["pattern", "failed"] == 1


async def test_patterns_are_counted(stocked: httpx.AsyncClient, workers: FakeWorkers):
    await follow(stocked, otherwise={"sources": SOURCES}, guess=LATN)
    for expert in (1, 1, 5):
        route_to(workers, expert)
        await ask(stocked)
    guesses = service_of(stocked).recorders.metrics.read().guesses
    assert (guesses["pattern", "guessed"], guesses["pattern", "unsure"], guesses["probe", "guessed"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("patterns", "status", "param", "code"),
    [
        (library(model=OTHER_BINDING.model_dump()), 400, "policy.patterns.model", "plan_mismatch"),
        (
            library(library=[{"name": "a", "shares": shares(1), "plan": "nope"}]),
            404,
            "policy.patterns.library[0].plan",
            "plan_not_found",
        ),
        (
            library(library=[{"name": "a", "shares": shares(1), "plan": "home", "strength": -1.0}]),
            400,
            "policy.patterns.library[0].plan",
            "impossible_edit",
        ),
        (library(layers=[0]), 400, "policy.patterns", "invalid_steering"),
        (library(min_similarity="0.5"), 400, "policy.patterns.min_similarity", "invalid_steering"),
    ],
)
async def test_a_library_that_could_not_be_followed_is_refused(
    stocked: httpx.AsyncClient, patterns: dict[str, Any], status: int, param: str, code: str
):
    answer = await stocked.put(POLICY, json={"patterns": patterns}, headers=ADMIN)
    check_refusal(answer, status, param=param, code=code)
    tried = (await stocked.post(VALIDATE, json={"policy": {"patterns": patterns}})).json()
    assert tried == {"valid": False, "errors": [answer.json()["error"]]}
    assert "patterns" not in (await stocked.get(POLICY)).json()


async def test_a_plan_of_a_library_is_in_use(stocked: httpx.AsyncClient):
    await follow(stocked)
    answer = await stocked.delete("/v1/steering/plans/to-latin", headers=ADMIN)
    check_refusal(answer, 409, param="name", code="conflict")
    assert "policy.patterns.library[0]" in answer.text


async def test_a_policy_with_patterns_is_kept_across_restarts(stocked: httpx.AsyncClient, start: Start):
    await follow(stocked)
    policy = (await stocked.get(POLICY)).json()
    assert (await (await start()).get(POLICY)).json() == policy
    assert (await stocked.post(VALIDATE, json={"policy": policy})).json() == {"valid": True, "errors": []}


async def test_a_dry_run_supposes_a_pattern(stocked: httpx.AsyncClient, vllm: FakeVllm):
    await follow(stocked, otherwise={"plan": "home"})
    tried = (await stocked.post(VALIDATE, json={"steering": "auto", "pattern": "sums"})).json()
    assert (tried["plan"], tried["pattern"], tried["strength"]) == ("to-latin", "sums", 2.0)
    assert (await stocked.post(VALIDATE, json={"steering": "auto"})).json()["plan"] == "home"
    unknown = (await stocked.post(VALIDATE, json={"steering": "auto", "pattern": "nope"})).json()
    assert (unknown["valid"], unknown["errors"][0]["param"]) == (False, "pattern")
    assert not vllm.bodies


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"steering": "to-latin", "pattern": "sums"}, "pattern"),
        ({"steering": "auto", "pattern": 3}, "pattern"),
        ({"steering": "auto", "pattern": "sums", "source_script": "Latn"}, "pattern"),
        ({"routing": {}, "pattern": "sums"}, "pattern"),
        ({"policy": {}, "experts": {}}, "body"),
    ],
)
async def test_a_dry_run_of_nothing_known_is_refused(client: httpx.AsyncClient, body: Any, param: str):
    check_refusal(await client.post(VALIDATE, json=body), 400, param=param, code="invalid_steering")
