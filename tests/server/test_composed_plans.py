"""Several plans, dials and guards over HTTP: what reaches the workers, what the response says, what is refused."""

from typing import Any

import httpx
import pytest

from polyglyph.contract.errors import StartupError
from tests.server.conftest import Start
from tests.server.fakes import (
    ADD,
    ADMIN,
    BAN,
    FORCE,
    GENERATING,
    OTHER_BINDING,
    FakeVllm,
    data_of,
    make_plan,
    plan_document,
    question,
    write_json,
)
from tests.server.test_bad_requests import check_refusal
from tests.server.test_expert_set_routes import GUARD, put_set, set_document

PLANS = "/v1/steering/plans"
VALIDATE = "/v1/steering/validate"
UP = {"layer": 2, "experts": [2], "op": "add_std", "value": 0.5}
DOWN = {"layer": 2, "experts": [2], "op": "add", "value": -0.5}


async def put(client: httpx.AsyncClient, name: str, *edits: dict[str, Any], **fields: Any) -> httpx.Response:
    return await client.put(f"{PLANS}/{name}", json=plan_document(name, edits=edits, **fields), headers=ADMIN)


@pytest.fixture
async def stocked(client: httpx.AsyncClient) -> httpx.AsyncClient:
    plans = {
        "a": [BAN],
        "b": [ADD],
        "c": [FORCE],
        "up": [UP],
        "down": [DOWN],
        "forces-banned": [{**BAN, "op": "force"}],
    }
    for name, edits in plans.items():
        assert (await put(client, name, *edits)).status_code == 200
    assert (await put(client, "answers", ADD, phases=["answer"])).status_code == 200
    assert (await put_set(client)).status_code == 200
    return client


async def ask(client: httpx.AsyncClient, steering: Any, path: str = "/v1/completions", **fields: Any) -> Any:
    answer = await client.post(path, json=question(path, steering=steering, **fields))
    assert answer.status_code == 200, answer.text
    return answer.json()["steering"]


@pytest.mark.parametrize("path", GENERATING)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_several_plans_steer_together_and_the_response_names_them_as_asked(
    stocked: httpx.AsyncClient, vllm: FakeVllm, path: str, is_streamed: bool
):
    body = question(path, steering={"plan": ["c", "a", "b"], "strength": 2.0}, stream=is_streamed)
    answer = await stocked.post(path, json=body)
    echo = (data_of(answer.content) if is_streamed else [answer.json()])[0]["steering"]
    together = make_plan("any", edits=[BAN, ADD, FORCE])
    assert (echo["applied"], echo["plan"], echo["strength"]) == (True, ["c", "a", "b"], 2.0)
    assert echo["fingerprint"] == together.fingerprint
    assert vllm.payload.edits == together.edits
    assert vllm.payload.fingerprint == together.fingerprint


async def test_the_order_of_the_names_changes_neither_the_fingerprint_nor_the_place_in_the_cache(
    stocked: httpx.AsyncClient, vllm: FakeVllm
):
    echoes = [await ask(stocked, {"plan": list(names)}) for names in ("abc", "cab")]
    first, second = (payload for payload in vllm.payloads if payload)
    assert echoes[0]["fingerprint"] == echoes[1]["fingerprint"]
    assert first.cache_salt == second.cache_salt is not None
    await ask(stocked, {"plan": ["a", "b"]})
    assert vllm.payload.cache_salt != first.cache_salt


async def test_a_composition_takes_edits_dials_and_fingerprints_too(stocked: httpx.AsyncClient, vllm: FakeVllm):
    extra = {"layer": 3, "experts": [7], "op": "ban"}
    names = ["b", make_plan("a", edits=[BAN]).fingerprint]
    echo = await ask(stocked, {"plan": names, "edits": [extra], "dials": {"core": 0.5}})
    pushed = [
        {"layer": 0, "experts": [1], "op": "add_std", "value": 0.5},
        {"layer": 1, "experts": [0], "op": "add_std", "value": 1.0},
        {"layer": 1, "experts": [4], "op": "add_std", "value": -0.25},
    ]
    assert vllm.payload.edits == make_plan("any", edits=[BAN, ADD, *pushed, extra]).edits
    assert echo["plan"] == ["b", "a"]
    assert echo["dials"] == {"core": 0.5}
    assert echo["fingerprint"] == make_plan("any", edits=[BAN, ADD, *pushed, extra]).fingerprint


@pytest.mark.parametrize(
    ("value", "param", "code", "words"),
    [
        ({"plan": ["a"]}, "steering.plan", "invalid_steering", "expected 2 to 8 plans"),
        ({"plan": []}, "steering.plan", "invalid_steering", "expected 2 to 8 plans"),
        ({"plan": [f"{name}" for name in range(9)]}, "steering.plan", "invalid_steering", "got 9"),
        ({"plan": ["a", 3]}, "steering.plan[1]", "invalid_steering", "string"),
        ({"plan": ["a", "a"]}, "steering.plan", "invalid_steering", "twice"),
        ({"plan": 3}, "steering.plan", "invalid_steering", "a list of 2 to 8"),
        ({"plan": {"a": 1}}, "steering.plan", "invalid_steering", "a list of 2 to 8"),
        (["a", "b"], "steering", "invalid_steering", "an object"),
        ({"plan": ["a", "nope"]}, "steering.plan[1]", "plan_not_found", "'nope'"),
        ({"plan": ["a", make_plan("a", edits=[BAN]).fingerprint]}, "steering.plan[1]", "invalid_steering", "already"),
        ({"plan": ["a", "forces-banned"]}, "steering.plan[1]", "plan_conflict", "'a' and the plan 'forces-banned'"),
        ({"plan": ["up", "down"]}, "steering.plan[0]", "plan_conflict", "expert 2 of layer 2"),
        ({"plan": ["a", "answers"]}, "steering.plan", "invalid_steering", "name 'phases'"),
        ({"plan": ["a", "b"], "strength": -1.0}, "steering.plan[0]", "impossible_edit", "'a'"),
        ({"plan": ["b", "c"], "edits": [{**FORCE, "op": "ban"}]}, "steering.edits[0].experts", "impossible_edit", ""),
        # Dials.
        ({"dials": {}}, "steering.dials", "invalid_steering", ""),
        ({"dials": {"core": "1"}}, "steering.dials.core", "invalid_steering", ""),
        ({"dials": {"core": 17.0}}, "steering.dials.core", "invalid_steering", "16"),
        ({"dials": {"nope": 1.0}}, "steering.dials.nope", "expert_set_not_found", "core"),
        (
            {"dials": {"core": 0.5}, "edits": [{"layer": 1, "experts": [4], "op": "add", "value": 1.0}]},
            "steering.edits",
            "plan_conflict",
            "the dial 'core' and the request's own edits",
        ),
        (
            {"dials": {"core": 1.0}, "edits": [{"layer": 0, "experts": [1], "op": "ban"}]},
            "steering.edits",
            "plan_conflict",
            "expert 1 of layer 0",
        ),
        # Guards.
        ({"allow_super_experts": True}, "steering.allow_super_experts", "invalid_steering", "edits"),
        ({"plan": "a", "allow_super_experts": True}, "steering.allow_super_experts", "invalid_steering", "edits"),
        ({"edits": [BAN], "allow_super_experts": 1}, "steering.allow_super_experts", "invalid_steering", "boolean"),
    ],
)
async def test_what_cannot_be_composed_is_refused_with_its_path(
    stocked: httpx.AsyncClient, vllm: FakeVllm, value: Any, param: str, code: str, words: str
):
    answer = await stocked.post("/v1/completions", json=question("/v1/completions", steering=value))
    check_refusal(answer, 404 if code.endswith("not_found") else 400, param=param, code=code)
    assert words in answer.json()["error"]["message"]
    assert not vllm.bodies
    tried = (await stocked.post(VALIDATE, json={"steering": value})).json()
    assert tried == {"valid": False, "errors": [answer.json()["error"]]}
    assert (await ask(stocked, {"plan": ["b", "c"]}))["applied"] is True


async def test_plans_of_different_phases_steer_together_where_the_request_names_phases(stocked: httpx.AsyncClient):
    echo = await ask(stocked, {"plan": ["a", "answers"], "phases": ["reasoning"]})
    assert echo["phases"] == ["reasoning"]


async def test_phases_named_in_another_order_are_the_same(stocked: httpx.AsyncClient):
    await put(stocked, "reversed", FORCE, phases=["answer", "reasoning", "prompt"])
    echoes = [await ask(stocked, {"plan": names}) for names in (["a", "reversed"], ["reversed", "a"])]
    assert set(echoes[0]["phases"]) == {"prompt", "reasoning", "answer"}
    assert echoes[0]["fingerprint"] == echoes[1]["fingerprint"]


async def test_a_plan_for_another_model_is_refused_at_its_place(start: Start, tmp_path: Any):
    folder = tmp_path / "data" / "plans"
    write_json(folder / "a.plan.json", plan_document("a"))
    write_json(folder / "foreign.plan.json", plan_document("foreign", model=OTHER_BINDING.model_dump()))
    client = await start()
    body = question("/v1/completions", steering={"plan": ["a", "foreign"]})
    check_refusal(await client.post("/v1/completions", json=body), 400, param="steering.plan[1]", code="plan_mismatch")


async def test_compositions_have_one_bounded_label_whatever_their_order(stocked: httpx.AsyncClient):
    for names in (["b", "a"], ["a", "b"]):
        await ask(stocked, {"plan": names})
    counts = service_of(stocked).recorders.metrics.read()
    assert counts.requests["Cyrl", "a+b", "request"] == 2
    assert counts.doses["a+b"].at_most[-1] == 2


async def test_a_dial_steers_as_its_edits_do_and_nothing_at_0(stocked: httpx.AsyncClient, vllm: FakeVllm):
    echo = await ask(stocked, {"dials": {"core": -1.0}, "phases": ["answer"], "strength": 0.5})
    assert (echo["applied"], echo["plan"], echo["dials"]) == (True, None, {"core": -1.0})
    pushed = [(edit.layer, edit.experts, edit.op, edit.value) for edit in vllm.payload.edits]
    assert pushed == [(0, (1,), "add_std", -1.0), (1, (0,), "add_std", -2.0), (1, (4,), "add_std", 0.5)]
    assert (vllm.payload.strength, vllm.payload.phases) == (0.5, ("answer",))
    still = await ask(stocked, {"dials": {"core": 0.0}})
    assert (still["applied"], still["fingerprint"], still["dials"]) == (False, None, {"core": 0.0})


async def test_a_server_without_inline_edits_takes_plans_and_dials(
    settings: pytest.MonkeyPatch, start: Start, stocked: httpx.AsyncClient
):
    settings.setenv("POLYGLYPH_INLINE_EDITS", "0")
    client = await start()
    assert (await ask(client, {"plan": ["a", "b"], "dials": {"core": 0.5}}))["applied"] is True
    body = question("/v1/completions", steering={"dials": {"core": 0.5}, "edits": [ADD]})
    check_refusal(await client.post("/v1/completions", json=body), 400, param="steering.edits", code="invalid_steering")


async def test_a_dial_times_a_weight_that_no_edit_could_hold_is_refused(client: httpx.AsyncClient):
    await put_set(client, experts=[{"layer": 0, "experts": [1], "weights": [1e5]}])
    body = question("/v1/completions", steering={"dials": {"core": 1.0}})
    answer = await client.post("/v1/completions", json=body)
    check_refusal(answer, 400, param="steering.dials.core", code="invalid_steering")


async def test_responses_without_dials_and_patterns_do_not_speak_of_them(stocked: httpx.AsyncClient):
    assert not {"dials", "pattern", "similarity"} & set(await ask(stocked, "a"))


@pytest.mark.parametrize("taken", [BAN, {"layer": 0, "experts": [3], "op": "scale", "value": 0.0}])
async def test_a_guarded_expert_is_not_taken_out_unless_who_asks_means_it(
    client: httpx.AsyncClient, vllm: FakeVllm, taken: dict[str, Any]
):
    assert (await put_set(client, **GUARD)).status_code == 200
    body = question("/v1/completions", steering={"edits": [ADD, taken]})
    answer = await client.post("/v1/completions", json=body)
    check_refusal(answer, 400, param="steering.edits[1].experts", code="guarded_expert")
    assert "'super'" in answer.text
    check_refusal(await put(client, "bold", taken), 400, param="plan.edits[0].experts", code="guarded_expert")
    tried = (await client.post(VALIDATE, json={"plan": plan_document(edits=[taken])})).json()
    assert [error["code"] for error in tried["errors"]] == ["guarded_expert"]
    assert not vllm.bodies
    assert (await ask(client, {"edits": [taken], "allow_super_experts": True}))["applied"] is True
    assert (await put(client, "bold", taken, allow_super_experts=True)).status_code == 200
    assert (await ask(client, "bold"))["applied"] is True


async def test_a_guard_counts_from_its_put_to_its_delete_for_plans_known_before(client: httpx.AsyncClient):
    await put(client, "a", BAN)
    await put(client, "b", ADD)
    assert (await ask(client, {"plan": ["a", "b"]}))["applied"] is True
    await put_set(client, **GUARD)
    for value, param in (("a", "steering"), ({"plan": ["b", "a"]}, "steering.plan[1]")):
        answer = await client.post("/v1/completions", json=question("/v1/completions", steering=value))
        check_refusal(answer, 400, param=param, code="guarded_expert")
    await client.delete("/v1/routing/expert-sets/super", headers=ADMIN)
    assert (await ask(client, {"plan": ["a", "b"]}))["applied"] is True


async def test_a_guard_against_a_plan_that_requests_get_unasked_is_a_conflict(
    settings: pytest.MonkeyPatch, start: Start, client: httpx.AsyncClient
):
    await put(client, "a", BAN)
    await client.put("/v1/steering/policy", json={"otherwise": {"plan": "a"}}, headers=ADMIN)
    answer = await put_set(client, **GUARD)
    check_refusal(answer, 409, param="experts.guard", code="conflict")
    assert "policy.otherwise" in answer.text
    tried = await client.post(VALIDATE, json={"experts": set_document(**GUARD)})
    assert tried.json()["errors"][0]["code"] == "conflict"
    await client.put("/v1/steering/policy", json={}, headers=ADMIN)
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "a")
    answer = await put_set(await start(), **GUARD)
    check_refusal(answer, 409, param="experts.guard", code="conflict")
    assert "--steering-default" in answer.text


async def test_a_policy_and_a_default_that_a_guard_forbids_are_refused(
    settings: pytest.MonkeyPatch, start: Start, client: httpx.AsyncClient
):
    await put(client, "a", BAN)
    await put_set(client, **GUARD)
    answer = await client.put("/v1/steering/policy", json={"otherwise": {"plan": "a"}}, headers=ADMIN)
    check_refusal(answer, 400, param="policy.otherwise.plan", code="guarded_expert")
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "a")
    with pytest.raises(StartupError, match="super"):
        await start()


async def test_a_dry_run_shows_what_a_composition_comes_to(stocked: httpx.AsyncClient, vllm: FakeVllm):
    value = {"plan": ["c", "b"], "dials": {"core": 1.0}}
    tried = (await stocked.post(VALIDATE, json={"steering": value})).json()
    served = await ask(stocked, value)
    assert tried["valid"] is True
    for name in ("applied", "plan", "dials", "fingerprint", "strength", "phases"):
        assert tried[name] == served[name]
    assert tried["edits"] == [edit.model_dump(mode="json", exclude_none=True) for edit in vllm.payload.edits]


def service_of(client: httpx.AsyncClient) -> Any:
    return client._transport.app.state.polyglyph  # type: ignore[attr-defined]
