"""The registry over HTTP: what is put is kept, found by name and by fingerprint, and never half written."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from polyglyph.contract.errors import StartupError
from tests.server.conftest import Start
from tests.server.fakes import (
    ADMIN,
    BAN,
    EXPERTS,
    FORCE,
    LAYERS,
    OTHER_BINDING,
    make_plan,
    plan_document,
    question,
    write_json,
)
from tests.server.test_bad_requests import check_refusal

PLANS = "/v1/steering/plans"


async def put(client: httpx.AsyncClient, document: dict[str, Any], name: str | None = None) -> httpx.Response:
    return await client.put(f"{PLANS}/{name or document['name']}", json=document, headers=ADMIN)


async def test_a_plan_is_put_listed_fetched_and_deleted(client: httpx.AsyncClient):
    document = plan_document(description="to Latin", provenance={"method": "by hand", "own": [1]})
    answer = await put(client, document)
    entry = {
        "name": "to-latin",
        "fingerprint": make_plan().fingerprint,
        "description": "to Latin",
        "phases": ["prompt", "reasoning", "answer"],
        "num_edits": 2,
        "fits_model": True,
        "builtin": False,
    }
    assert (answer.status_code, answer.json()) == (200, entry)
    assert (await client.get(PLANS)).json() == {"object": "list", "data": [entry], "unreadable": []}
    fetched = (await client.get(f"{PLANS}/to-latin")).json()
    assert fetched["provenance"] == {"method": "by hand", "own": [1]}
    assert fetched["edits"] == document["edits"]
    gone = await client.delete(f"{PLANS}/to-latin", headers=ADMIN)
    assert gone.json() == {"name": "to-latin", "deleted": True}
    check_refusal(await client.get(f"{PLANS}/to-latin"), 404, param="name", code="plan_not_found")
    check_refusal(await client.delete(f"{PLANS}/to-latin", headers=ADMIN), 404, param="name", code="plan_not_found")


async def test_plans_are_there_after_a_restart(client: httpx.AsyncClient, start: Start):
    await put(client, plan_document())
    again = await start()
    assert [plan["name"] for plan in (await again.get(PLANS)).json()["data"]] == ["to-latin"]


async def test_old_content_stays_reachable_by_fingerprint(client: httpx.AsyncClient, start: Start):
    old, new = plan_document(), plan_document(edits=[FORCE])
    await put(client, old)
    await put(client, new)
    await client.delete(f"{PLANS}/to-latin", headers=ADMIN)
    for server in (client, await start()):
        for document in (old, new):
            fingerprint = make_plan(edits=document["edits"]).fingerprint
            found = await server.get(f"{PLANS}/{fingerprint}")
            assert found.json()["edits"] == document["edits"]
            assert found.headers["etag"] == f'"{fingerprint}"'


async def test_content_dropped_into_the_folder_by_hand_outlives_its_name_too(start: Start, tmp_path: Path):
    folder = tmp_path / "data" / "plans"
    write_json(folder / "to-latin.plan.json", plan_document())
    client = await start()
    await put(client, plan_document(edits=[FORCE]))
    assert (await client.get(f"{PLANS}/{make_plan().fingerprint}")).status_code == 200


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"surprise": 1}, "plan.surprise", "invalid_steering"),
        ({"schema": "polyglyph.plan/2"}, "plan.schema", "invalid_steering"),
        ({"phases": ["thinking"]}, "plan.phases[0]", "invalid_steering"),
        ({"model": OTHER_BINDING.model_dump()}, "plan.model", "plan_mismatch"),
        ({"edits": [{**BAN, "layer": LAYERS}]}, "plan.edits[0].layer", "impossible_edit"),
        ({"edits": [{**BAN, "experts": [EXPERTS]}]}, "plan.edits[0].experts", "impossible_edit"),
        ({"name": "other"}, "plan.name", "invalid_steering"),
        ({"name": "off"}, "plan", "invalid_steering"),
        ({"name": "../up"}, "plan.name", "invalid_steering"),
    ],
)
async def test_a_plan_that_could_not_be_served_is_not_stored(
    client: httpx.AsyncClient, tmp_path: Path, change: dict[str, Any], param: str, code: str
):
    answer = await put(
        client, plan_document(**change) if "name" not in change else plan_document() | change, "to-latin"
    )
    check_refusal(answer, 400, param=param, code=code)
    assert (await client.get(PLANS)).json()["data"] == []
    assert not (tmp_path / "data" / "plans").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'{"provenance": {"x": NaN}}',
        b'{"provenance": {"x": 1e999}}',
        b'{"x": "\\ud800"}',
        b"[" * 99_999,
    ],
    ids=["empty", "cut off", "not UTF-8", "NaN", "out of range", "lone surrogate", "too deep"],
)
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, content: bytes):
    answer = await client.put(f"{PLANS}/x", content=content, headers=ADMIN)
    check_refusal(answer, 400, param="plan", code="invalid_steering")


@pytest.mark.parametrize("name", ["..%2F..%2Fx", "%2e%2e", "a%00b", "by-fingerprint%2Fx", "x" * 300])
async def test_no_name_leads_out_of_the_folder(client: httpx.AsyncClient, tmp_path: Path, name: str):
    for method in ("GET", "PUT", "DELETE"):
        answer = await client.request(method, f"{PLANS}/{name}", content=json.dumps(plan_document()), headers=ADMIN)
        assert answer.status_code in {400, 404, 405}
    assert files_under(tmp_path) <= {"polyglyph.sqlite3", "polyglyph.sqlite3-wal", "polyglyph.sqlite3-shm"}


def files_under(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


async def test_corrupt_files_are_listed_with_the_reason_and_harm_nothing(start: Start, tmp_path: Path):
    folder = tmp_path / "data" / "plans"
    write_json(folder / "good.plan.json", plan_document("good"))
    write_json(folder / "renamed.plan.json", plan_document("original"))
    (folder / "cut.plan.json").write_text('{"schema"')
    (folder / "bytes.plan.json").write_bytes(b"\xff\xfe")
    (folder / "deep.plan.json").write_text("[" * 100_000)
    (folder / "folder.plan.json").mkdir()
    (folder / "notes.txt").write_text("no plan")
    answer = (await (await start()).get(PLANS)).json()
    assert [plan["name"] for plan in answer["data"]] == ["good"]
    assert [entry["file"] for entry in answer["unreadable"]] == [
        f"{name}.plan.json" for name in ("bytes", "cut", "deep", "folder", "renamed")
    ]
    assert all(entry["reason"] for entry in answer["unreadable"])
    assert str(tmp_path) not in json.dumps(answer)


async def test_a_plan_for_another_model_is_listed_as_not_fitting(start: Start, tmp_path: Path):
    document = plan_document("foreign", model=OTHER_BINDING.model_dump())
    write_json(tmp_path / "data" / "plans" / "foreign.plan.json", document)
    assert (await (await start()).get(PLANS)).json()["data"][0]["fits_model"] is False


@pytest.fixture
def builtins(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "bundled"
    write_json(folder / "shipped.plan.json", plan_document("shipped"))
    write_json(folder / "foreign.plan.json", plan_document("foreign", model=OTHER_BINDING.model_dump()))
    settings.setattr("polyglyph.server.service.bundled_plans", lambda: folder)


@pytest.mark.usefixtures("builtins")
async def test_builtin_plans_that_fit_are_there_and_stay(client: httpx.AsyncClient):
    plans = (await client.get(PLANS)).json()["data"]
    assert [(plan["name"], plan["builtin"]) for plan in plans] == [("shipped", True)]
    check_refusal(await put(client, plan_document("shipped")), 409, param="name", code="conflict")
    check_refusal(await client.delete(f"{PLANS}/shipped", headers=ADMIN), 409, param="name", code="conflict")


async def test_a_plan_in_use_by_the_policy_or_the_default_is_not_deleted(
    settings: pytest.MonkeyPatch, client: httpx.AsyncClient, start: Start
):
    await put(client, plan_document("a"))
    await put(client, plan_document("b"))
    settings.setenv("POLYGLYPH_STEERING_DEFAULT", "b")
    server = await start()
    await server.put("/v1/steering/policy", json={"otherwise": {"plan": "a"}}, headers=ADMIN)
    for name, user in (("a", "policy.otherwise"), ("b", "--steering-default")):
        answer = await server.delete(f"{PLANS}/{name}", headers=ADMIN)
        check_refusal(answer, 409, param="name", code="conflict")
        assert user in answer.text


async def test_a_name_is_not_repointed_to_what_its_policy_rule_cannot_honour(client: httpx.AsyncClient):
    await put(client, plan_document(edits=[{**BAN, "op": "add", "value": 1.0}]))
    rule = {"plan": "to-latin", "strength": -1.0}
    await client.put("/v1/steering/policy", json={"otherwise": rule}, headers=ADMIN)
    answer = await put(client, plan_document(edits=[BAN]))
    check_refusal(answer, 400, param="plan.edits[0].op", code="impossible_edit")


async def test_a_store_that_is_gone_is_a_clear_error_and_its_plans_still_serve(
    client: httpx.AsyncClient, tmp_path: Path
):
    await put(client, plan_document())
    (tmp_path / "data").rename(tmp_path / "moved")
    answer = await put(client, plan_document("other"))
    check_refusal(answer, 503, param=None, code="storage_unavailable")
    assert str(tmp_path) not in answer.text
    assert [plan["name"] for plan in (await client.get(PLANS)).json()["data"]] == ["to-latin"]
    for name in ("to-latin", make_plan().fingerprint):
        served = await client.post("/v1/completions", json=question("/v1/completions", steering=name))
        assert served.json()["steering"]["applied"] is True
    (tmp_path / "moved").rename(tmp_path / "data")
    assert (await put(client, plan_document("other"))).status_code == 200


async def test_a_data_directory_that_is_none_stops_the_start(start: Start, tmp_path: Path):
    (tmp_path / "data").write_text("a file stands where the folder should be")
    with pytest.raises(StartupError, match="--data-dir"):
        await start()


async def test_a_deleted_plan_stays_deleted_though_its_file_is_still_there(start: Start, tmp_path: Path):
    file = tmp_path / "data" / "plans" / "to-latin.plan.json"
    write_json(file, plan_document())
    await (await start()).delete(f"{PLANS}/to-latin", headers=ADMIN)
    again = await start()
    assert (await again.get(PLANS)).json()["data"] == []
    assert file.exists()


async def test_a_file_that_was_changed_by_hand_is_taken_over_again(start: Start, tmp_path: Path):
    file = tmp_path / "data" / "plans" / "to-latin.plan.json"
    write_json(file, plan_document())
    await start()
    write_json(file, plan_document(edits=[FORCE]))
    assert (await (await start()).get(f"{PLANS}/to-latin")).json()["edits"] == [FORCE]


async def test_a_plan_put_after_its_file_was_taken_over_stays(start: Start, tmp_path: Path):
    write_json(tmp_path / "data" / "plans" / "to-latin.plan.json", plan_document())
    await put(await start(), plan_document(edits=[FORCE]))
    assert (await (await start()).get(f"{PLANS}/to-latin")).json()["edits"] == [FORCE]


async def test_contents_that_an_older_server_kept_are_found_by_fingerprint(start: Start, tmp_path: Path):
    digest = make_plan().fingerprint.removeprefix("sha256:")
    archive = tmp_path / "data" / "plans" / "by-fingerprint"
    write_json(archive / f"{digest}.plan.json", plan_document())
    write_json(archive / f"{'0' * 64}.plan.json", plan_document(edits=[FORCE]))
    (archive / f"{'1' * 64}.plan.json").write_text("{")
    client = await start()
    assert (await client.get(f"{PLANS}/sha256:{digest}")).status_code == 200
    assert (await client.get(f"{PLANS}/sha256:{'0' * 64}")).status_code == 404


async def test_what_one_server_changes_another_sees_after_its_next_look(tmp_path: Path, start: Start):
    one, other = await start(), await start()
    await put(one, plan_document("a"))
    await put(one, plan_document("b", edits=[FORCE]))
    await one.delete(f"{PLANS}/b", headers=ADMIN)
    await look(other)
    assert [plan["name"] for plan in (await other.get(PLANS)).json()["data"]] == ["a"]
    gone = make_plan(edits=[FORCE]).fingerprint
    assert (await other.get(f"{PLANS}/{gone}")).status_code == 200


async def look(client: httpx.AsyncClient) -> None:
    """Do what the flusher does every second."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    service = transport.app.state.polyglyph
    await asyncio.to_thread(service.plans.refresh)
    await asyncio.to_thread(service.policies.refresh)
