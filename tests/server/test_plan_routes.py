"""The registry over HTTP: what is put is kept, found by name and by fingerprint, and never half written."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from polyglyph.contract.errors import StorageError
from polyglyph.server import files
from polyglyph.server.files import write_document
from tests.server.conftest import Start
from tests.server.fakes import ADMIN, BAN, EXPERTS, FORCE, LAYERS, OTHER_BINDING, make_plan, plan_document
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
    write_document(folder / "to-latin.plan.json", plan_document())
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
    assert not (tmp_path / "data").exists()
    assert (await client.get(PLANS)).json()["data"] == []


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
    assert not (tmp_path / "data").exists()


async def test_corrupt_files_are_listed_with_the_reason_and_harm_nothing(start: Start, tmp_path: Path):
    folder = tmp_path / "data" / "plans"
    write_document(folder / "good.plan.json", plan_document("good"))
    write_document(folder / "renamed.plan.json", plan_document("original"))
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
    write_document(tmp_path / "data" / "plans" / "foreign.plan.json", document)
    assert (await (await start()).get(PLANS)).json()["data"][0]["fits_model"] is False


@pytest.fixture
def builtins(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "bundled"
    write_document(folder / "shipped.plan.json", plan_document("shipped"))
    write_document(folder / "foreign.plan.json", plan_document("foreign", model=OTHER_BINDING.model_dump()))
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


async def test_a_data_directory_that_cannot_be_written_is_a_clear_error(client: httpx.AsyncClient, tmp_path: Path):
    (tmp_path / "data").write_text("a file stands where the folder should be")
    answer = await put(client, plan_document())
    check_refusal(answer, 500, param=None, code="storage_failed")
    assert "--data-dir" in answer.text
    assert (await client.get(PLANS)).json()["data"] == []


def test_a_crash_while_writing_leaves_the_old_document(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "x.json"
    write_document(path, {"old": 1})

    def crash(handle: int) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(files.os, "fsync", crash)
    with pytest.raises(StorageError, match="power cut"):
        write_document(path, {"new": 1})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]
