"""The policy over HTTP and from a file: checked against the plans there are, kept across restarts."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from polyglyph.contract.errors import StartupError
from tests.server.conftest import Start
from tests.server.fakes import ADMIN, OTHER_BINDING, plan_document, write_json
from tests.server.test_bad_requests import check_refusal
from tests.server.test_plan_routes import look

POLICY = "/v1/steering/policy"
RULE = {"plan": "to-latin", "strength": 0.5}
EMPTY = {"schema": "polyglyph.policy/1", "scripts": {}}


@pytest.fixture(autouse=True)
def plan(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "plans"
    write_json(folder / "to-latin.plan.json", plan_document())
    write_json(folder / "foreign.plan.json", plan_document("foreign", model=OTHER_BINDING.model_dump()))


async def test_without_a_policy_there_is_an_empty_one(client: httpx.AsyncClient):
    assert (await client.get(POLICY)).json() == EMPTY


async def test_a_policy_is_put_and_kept(client: httpx.AsyncClient, start: Start):
    policy = {"schema": "polyglyph.policy/1", "scripts": {"Cyrl": RULE}, "otherwise": {**RULE, "phases": ["answer"]}}
    assert (await client.put(POLICY, json=policy, headers=ADMIN)).json() == policy
    assert (await (await start()).get(POLICY)).json() == policy


@pytest.mark.parametrize(
    ("policy", "status", "param", "code"),
    [
        ([], 400, "policy", "invalid_steering"),
        ({"rules": {}}, 400, "policy.rules", "invalid_steering"),
        ({"scripts": {"Cyrillic": RULE}}, 400, "policy.scripts.Cyrillic.[key]", "invalid_steering"),
        ({"scripts": {"Jpan": RULE}}, 400, "policy.scripts.Jpan", "invalid_steering"),
        ({"scripts": {"Cyrl": {"plan": "nope"}}}, 404, "policy.scripts.Cyrl.plan", "plan_not_found"),
        ({"otherwise": {"plan": "foreign"}}, 400, "policy.otherwise.plan", "plan_mismatch"),
        ({"otherwise": {"plan": "to-latin", "strength": -1}}, 400, "policy.otherwise.plan", "impossible_edit"),
        ({"otherwise": {"plan": "to-latin", "strength": 17}}, 400, "policy.otherwise.strength", "invalid_steering"),
    ],
)
async def test_a_policy_that_could_not_be_followed_is_refused(
    client: httpx.AsyncClient, policy: Any, status: int, param: str, code: str
):
    answer = await client.put(POLICY, json=policy, headers=ADMIN)
    check_refusal(answer, status, param=param, code=code)
    assert (await client.get(POLICY)).json() == EMPTY


async def test_the_file_named_at_start_wins(
    client: httpx.AsyncClient, settings: pytest.MonkeyPatch, start: Start, tmp_path: Path
):
    await client.put(POLICY, json={"otherwise": RULE}, headers=ADMIN)
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"scripts": {"Deva": RULE}}))
    settings.setenv("POLYGLYPH_POLICY", str(given))
    assert list((await (await start()).get(POLICY)).json()["scripts"]) == ["Deva"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "not a readable policy"),
        ("{", "not a readable policy"),
        ('{"rules": 1}', "rules"),
        ('{"otherwise": {"plan": "nope"}}', "nope"),
        ('{"otherwise": {"plan": "foreign"}}', "another|made for"),
    ],
)
async def test_a_wrong_policy_file_stops_the_start(
    settings: pytest.MonkeyPatch, start: Start, tmp_path: Path, content: str | None, text: str
):
    given = tmp_path / "given.json"
    if content is not None:
        given.write_text(content)
    settings.setenv("POLYGLYPH_POLICY", str(given))
    with pytest.raises(StartupError, match=text):
        await start()


@pytest.mark.parametrize("default", ["nope", "foreign"])
async def test_a_default_plan_that_cannot_be_served_stops_the_start(
    settings: pytest.MonkeyPatch, start: Start, default: str
):
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", default)
    with pytest.raises(StartupError, match=default):
        await start()


async def test_the_policy_of_an_older_server_is_taken_over_once(start: Start, tmp_path: Path):
    file = tmp_path / "data" / "policy.json"
    write_json(file, {"schema": "polyglyph.policy/1", "scripts": {"Cyrl": RULE}})
    first = await start()
    assert list((await first.get(POLICY)).json()["scripts"]) == ["Cyrl"]
    await first.put(POLICY, json=EMPTY, headers=ADMIN)
    assert (await (await start()).get(POLICY)).json() == EMPTY
    assert file.exists()


async def test_an_older_servers_policy_that_cannot_be_read_stops_the_start(start: Start, tmp_path: Path):
    write_json(tmp_path / "data" / "policy.json", {"rules": 1})
    with pytest.raises(StartupError, match=r"policy\.json"):
        await start()


async def test_a_policy_put_on_one_server_is_in_force_on_another_after_its_next_look(
    settings: pytest.MonkeyPatch, start: Start, tmp_path: Path
):
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"scripts": {"Deva": RULE}}))
    settings.setenv("POLYGLYPH_POLICY", str(given))
    one, other = await start(), await start()
    await look(other)
    assert list((await other.get(POLICY)).json()["scripts"]) == ["Deva"]
    await one.put(POLICY, json={"scripts": {"Cyrl": RULE}}, headers=ADMIN)
    await look(other)
    assert list((await other.get(POLICY)).json()["scripts"]) == ["Cyrl"]
