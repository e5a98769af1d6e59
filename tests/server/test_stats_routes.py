"""Stats over HTTP: every format and filter, nothing counted twice, and no client that can hold the server up."""

import asyncio
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from polyglyph.contract.exports.conservation import conservation_of
from polyglyph.contract.exports.formats import FORMATS, SUFFIXES
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import Manifest, manifest_path
from polyglyph.contract.exports.reading import read_stats
from polyglyph.contract.exports.writing import save_stats
from polyglyph.contract.stats import Stats
from polyglyph.contract.sums import COLUMNS, GroupSums
from polyglyph.server import exports, imports
from polyglyph.server.exports import Exports
from polyglyph.server.settings import read_settings
from tests.server.fakes import ADMIN, BINDING, EXPERTS, LAYERS, TOP_K, make_plan
from tests.server.stats_service import StatsService, listening, make_app, open_service
from tests.server.test_bad_requests import check_refusal
from tests.support.sums import make_group, make_header

STATS = "/v1/routing/stats"
PLAN = make_plan().fingerprint
HEADER = make_header(model_fingerprint=BINDING.fingerprint, layers=LAYERS, experts=EXPERTS, top_k=TOP_K)
READABLE = [name for name in FORMATS if name != "eplb"]


@pytest.fixture
def service(tmp_path: Path) -> StatsService:
    service = open_service(tmp_path / "data", read_settings())
    service.plans.put(make_plan())
    service.engine = [
        make_group(HEADER, seed=1, tokens=5, cached_tokens=2, request_script="Cyrl", script="Cyrl"),
        make_group(HEADER, seed=2, tokens=7, request_script="Cyrl", script="Latn", phase="answer", plan=PLAN, tag="a"),
        make_group(HEADER, seed=3, tokens=11, request_script="Latn", script="Latn", tag="b"),
        make_group(HEADER, seed=4, tokens=1, request_script="Zzzz", script="Zzzz", tag="overflow"),
    ]
    return service


@pytest.fixture
def app(service: StatsService) -> FastAPI:
    return make_app(service)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=ADMIN) as client:
        yield client


def manifest_of(answer: httpx.Response) -> Manifest:
    return Manifest.model_validate_json(answer.headers["X-Polyglyph-Manifest"])


def loaded(answer: httpx.Response, folder: Path) -> LoadedStats:
    """Save an answer as a client does, and read it."""
    assert answer.status_code == 200, answer.text
    manifest = manifest_of(answer)
    path = folder / f"sums{SUFFIXES[manifest.format]}"
    path.write_bytes(answer.content)
    manifest_path(path).write_text(manifest.model_dump_json(by_alias=True))
    return read_stats(path)


@pytest.mark.parametrize("name", FORMATS)
async def test_every_format_comes_whole_with_its_manifest(client: httpx.AsyncClient, name: str):
    answer = await client.get(STATS, params={"format": name})
    manifest = manifest_of(answer)
    digest = sha256(answer.content).hexdigest()
    assert (manifest.format, manifest.sha256, manifest.bytes) == (name, digest, len(answer.content))
    assert (manifest.groups, manifest.tokens, manifest.cached_tokens, manifest.overflow_tokens) == (4, 24, 5, 1)
    assert answer.headers["ETag"] == f'"sha256:{digest}"'
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Content-Disposition"].endswith(f'{SUFFIXES[name]}"')
    assert answer.headers["X-Polyglyph-Manifest"].isascii()


@pytest.mark.parametrize("name", READABLE)
async def test_every_format_holds_the_same_sums(client: httpx.AsyncClient, tmp_path: Path, name: str):
    found = loaded(await client.get(STATS, params={"format": name}), tmp_path)
    assert found.header.by == COLUMNS
    assert found.header.versions == {"polyglyph": "0.1.0"}
    sums = conservation_of(found.header, found.groups)
    assert (sums.holds, sums.tokens) == (True, 24)
    assert [group.tokens for group in found.groups] == [5, 7, 11, 1]


async def test_json_is_the_default_and_the_contracts_document(client: httpx.AsyncClient):
    answer = await client.get(STATS)
    assert answer.headers["Content-Type"] == "application/json"
    document = Stats.model_validate_json(answer.text)
    assert (len(document.groups), document.overflow_tokens) == (4, 1)


async def test_an_eplb_matrix_counts_the_models_own_layers(client: httpx.AsyncClient):
    document = (await client.get(STATS, params={"format": "eplb"})).json()
    # The fake model's first layer is dense.
    assert document["model_layers"] == [1, 2, 3, 4]
    assert [sum(row) for row in document["logical_count"]] == [0, *[24 * TOP_K] * LAYERS]


async def test_an_export_is_up_to_the_moment(client: httpx.AsyncClient, service: StatsService):
    await client.get(STATS)
    service.engine.append(make_group(HEADER, seed=9, tokens=100, tag="new"))
    assert manifest_of(await client.get(STATS)).tokens == 124


@pytest.mark.parametrize(
    ("filters", "tokens"),
    [
        ({}, 24),
        ({"script": "Latn"}, 18),
        ({"script": "Zyyy"}, 0),
        ({"script": "Zzzz"}, 1),
        ({"request_script": "Cyrl"}, 12),
        ({"request_script": "Cyrl", "script": "Latn"}, 7),
        ({"phase": "answer"}, 7),
        ({"phase": "reasoning"}, 0),
        ({"plan": ""}, 17),
        ({"plan": PLAN}, 7),
        ({"plan": "to-latin"}, 7),
        ({"plan": "sha256:" + "0" * 64}, 0),
        ({"tag": "b"}, 11),
        ({"tag": ""}, 5),
        ({"since": "0"}, 24),
        ({"since": "2020-01-01"}, 24),
        ({"since": "2020-01-01T00:00:00.5+02:00"}, 24),
    ],
)
async def test_filters_choose_groups(client: httpx.AsyncClient, filters: dict[str, str], tokens: int):
    manifest = manifest_of(await client.get(STATS, params=filters))
    assert manifest.tokens == tokens
    resolved = {"plan": PLAN} if filters.get("plan") == "to-latin" else {}
    assert manifest.filters == filters | resolved


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("script", [("*", "Cyrl", "*", "*", "*"), ("*", "Latn", "*", "*", "*"), ("*", "Zzzz", "*", "*", "*")]),
        ("phase,script", None),
        ("", [("*", "*", "*", "*", "*")]),
    ],
)
async def test_columns_that_are_not_named_are_summed_away(
    client: httpx.AsyncClient, tmp_path: Path, by: str, keys: list[tuple[str, ...]] | None
):
    found = loaded(await client.get(STATS, params={"by": by, "format": "npz"}), tmp_path)
    assert set(found.header.by) == set(by.split(",")) - {""}
    assert keys is None or [tuple(group.key) for group in found.groups] == keys
    assert conservation_of(found.header, found.groups).tokens == 24


async def test_since_leaves_out_what_was_counted_before(tmp_path: Path):
    days_ago = 2

    def clock() -> float:
        return time.time() - 86400 * days_ago

    service = open_service(tmp_path / "data", read_settings(), clock=clock)
    transport = httpx.ASGITransport(make_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=ADMIN) as client:
        service.engine = [make_group(HEADER, tokens=50)]
        await service.flush()
        days_ago = 0
        service.engine = [make_group(HEADER, tokens=24)]
        assert manifest_of(await client.get(STATS)).tokens == 74
        since = datetime.now(UTC) - timedelta(days=1)
        for text in (since.isoformat(), str(int(since.timestamp())), f"{since.timestamp():.3f}"):
            assert manifest_of(await client.get(STATS, params={"since": text})).tokens == 24


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ([("format", "xlsx")], "format"),
        ([("format", "")], "format"),
        ([("phase", "thinking")], "phase"),
        ([("layer", "1")], "layer"),
        ([("Script", "Latn")], "Script"),
        ([("script", "Klingon")], "script"),
        ([("script", "latn")], "script"),
        ([("script", "Jpan")], "script"),
        ([("script", "")], "script"),
        ([("request_script", "Qaaa' OR 1=1")], "request_script"),
        ([("script", "Latn"), ("script", "Cyrl")], "script"),
        ([("by", "colour")], "by"),
        ([("by", "script,script")], "by"),
        ([("by", "script,")], "by"),
        ([("by", "layer")], "by"),
        ([("tag", "ä")], "tag"),
        ([("tag", "x" * 65)], "tag"),
        ([("tag", "a\n")], "tag"),
        ([("since", "yesterday")], "since"),
        ([("since", "")], "since"),
        ([("since", "-1")], "since"),
        ([("since", "nan")], "since"),
        ([("since", "9" * 12)], "since"),
        ([("since", "2020-01-01T00:00:00 02:00")], "since"),
        ([("since", "0001-01-01T00:00:00+14:00")], "since"),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(
    client: httpx.AsyncClient, parameters: list[tuple[str, str]], param: str
):
    check_refusal(await client.get(STATS, params=parameters), 400, param=param, code="invalid_steering")


async def test_an_unknown_plan_is_refused(client: httpx.AsyncClient):
    check_refusal(await client.get(STATS, params={"plan": "nope"}), 404, param="plan", code="plan_not_found")


async def test_a_time_in_the_future_is_refused_with_both_times(client: httpx.AsyncClient):
    answer = await client.get(STATS, params={"since": "2999-01-01T00:00:00Z"})
    check_refusal(answer, 400, param="since", code="invalid_steering")
    assert "2999-01-01T00:00:00+00:00" in answer.text
    assert f"it is {datetime.now(UTC):%Y-%m}" in answer.text


@pytest.mark.parametrize(("method", "path"), [("GET", STATS), ("POST", f"{STATS}/import"), ("POST", f"{STATS}/reset")])
async def test_every_route_wants_the_admin_key(client: httpx.AsyncClient, method: str, path: str):
    answer = await client.request(method, path, headers={"Authorization": "Bearer caller"})
    check_refusal(answer, 403, param="Authorization", code="admin_key_required")


async def test_without_stats_there_is_nothing_to_read_take_in_or_reset(
    settings: pytest.MonkeyPatch, service: StatsService, client: httpx.AsyncClient
):
    settings.setenv("POLYGLYPH_STATS", "0")
    service.settings = read_settings()
    for method, path in (("GET", STATS), ("POST", f"{STATS}/import"), ("POST", f"{STATS}/reset")):
        check_refusal(await client.request(method, path), 409, param=None, code="conflict")


async def test_after_a_reset_nothing_is_left(client: httpx.AsyncClient):
    assert (await client.post(f"{STATS}/reset")).json() == {"reset": True}
    manifest = manifest_of(await client.get(STATS))
    assert (manifest.groups, manifest.tokens) == (0, 0)


async def test_an_export_during_resets_is_whole_before_or_after_one(
    client: httpx.AsyncClient, service: StatsService, tmp_path: Path
):
    await service.flush()

    async def reset_and_count(rounds: int) -> None:
        for _ in range(rounds):
            await client.post(f"{STATS}/reset")
            service.engine += [make_group(HEADER, seed=1, tokens=5, tag=tag) for tag in ("x", "y")]
            await service.flush()

    task = asyncio.create_task(reset_and_count(12))
    seen = set()
    while not task.done():
        found = loaded(await client.get(STATS, params={"format": "safetensors"}), tmp_path)
        sums = conservation_of(found.header, found.groups)
        assert sums.holds
        seen.add(sums.tokens)
    await task
    assert seen <= {24, 0, 10}


async def test_sums_survive_export_and_import_into_another_server(
    client: httpx.AsyncClient, service: StatsService, tmp_path: Path
):
    content = (await client.get(STATS, params={"format": "parquet"})).content
    other = open_service(tmp_path / "other", read_settings())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(make_app(other)), base_url="http://other", headers=ADMIN
    ) as target:
        answer = (await target.post(f"{STATS}/import", content=content)).json()
        assert (answer["imported"], answer["groups"], answer["tokens"], answer["cached_tokens"]) == (True, 4, 24, 5)
        found = loaded(await target.get(STATS, params={"format": "npz"}), tmp_path)
    original = loaded(await client.get(STATS, params={"format": "npz"}), tmp_path)
    assert [group.key for group in found.groups] == [group.key for group in original.groups]
    assert all(
        (mine.selected_LE == theirs.selected_LE).all() and (mine.weight_sum_LE == theirs.weight_sum_LE).all()
        for mine, theirs in zip(found.groups, original.groups, strict=True)
    )


async def test_the_same_sums_are_taken_once_in_any_format_until_a_reset(client: httpx.AsyncClient, tmp_path: Path):
    path = tmp_path / "sums.parquet"
    stats = LoadedStats(header=HEADER, groups=(make_group(HEADER, tokens=100, tag="import"),))
    save_stats(stats.snapshot(), path, format="parquet")
    save_stats(stats.snapshot(), tmp_path / "sums.json", format="json")
    assert (await client.post(f"{STATS}/import", content=path.read_bytes())).status_code == 200
    for again in (path, tmp_path / "sums.json"):
        answer = await client.post(f"{STATS}/import", content=again.read_bytes())
        check_refusal(answer, 409, param=None, code="conflict")
    assert manifest_of(await client.get(STATS)).tokens == 124
    await client.post(f"{STATS}/reset")
    assert (await client.post(f"{STATS}/import", content=path.read_bytes())).status_code == 200
    assert manifest_of(await client.get(STATS)).tokens == 100


async def test_exports_of_different_times_hold_the_same_sums_when_nothing_was_counted(client: httpx.AsyncClient):
    contents = [(await client.get(STATS, params={"format": name})).content for name in ("npz", "json")]
    await client.post(f"{STATS}/reset")
    answers = [await client.post(f"{STATS}/import", content=content) for content in contents]
    assert [answer.status_code for answer in answers] == [200, 409]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_fingerprint": "sha256:" + "9" * 64}, "another model: sha256:9999"),
        ({"top_k": 1}, "another top_k: 1, this server has 2"),
        ({"experts": 3}, "another experts: 3, this server has 8"),
        ({"by": ["script"]}, "without 'by'"),
    ],
)
async def test_sums_of_another_model_are_not_taken_in(
    client: httpx.AsyncClient, tmp_path: Path, change: dict[str, Any], words: str
):
    header = make_header(**HEADER.model_dump(by_alias=True) | change)
    path = tmp_path / "sums.json"
    save_stats(LoadedStats(header=header, groups=()).snapshot(), path, format="json")
    answer = await client.post(f"{STATS}/import", content=path.read_bytes())
    check_refusal(answer, 400, param="body", code="stats_mismatch")
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"{}", b"PAR1", b"\x00" * 100, b'"request_script",', b"[" * 9999])
async def test_a_body_without_stats_is_refused_and_adds_nothing(client: httpx.AsyncClient, content: bytes):
    answer = await client.post(f"{STATS}/import", content=content)
    check_refusal(answer, 400, param=None, code="invalid_stats")
    assert answer.json()["error"]["message"].startswith("body: ")
    assert manifest_of(await client.get(STATS)).tokens == 24


async def test_a_cut_upload_is_refused_and_adds_nothing(client: httpx.AsyncClient):
    content = (await client.get(STATS, params={"format": "arrow"})).content
    check_refusal(await client.post(f"{STATS}/import", content=content[:-9]), 400, param=None, code="invalid_stats")


async def test_a_body_over_the_limit_is_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imports, "MAX_BYTES", 100)
    check_refusal(await client.post(f"{STATS}/import", content=b"x" * 101), 413, param=None, code="body_too_large")


async def test_more_exports_than_are_written_at_once_wait_their_turn(client: httpx.AsyncClient):
    answers = await asyncio.gather(*(client.get(STATS, params={"format": "csv"}) for _ in range(8)))
    assert [manifest_of(answer).tokens for answer in answers] == [24] * 8


async def test_an_export_that_waits_too_long_is_told_when_to_come_again(
    client: httpx.AsyncClient, service: StatsService
):
    service.exports = Exports(max_writing=1, wait_s=0.01)
    async with service.exports.place():
        for method, path in (("GET", STATS), ("POST", f"{STATS}/import")):
            answer = await client.request(method, path)
            check_refusal(answer, 503, param=None, code="busy")
            assert int(answer.headers["Retry-After"]) > 0
    assert (await client.get(STATS)).status_code == 200


async def test_a_refused_export_takes_no_place(client: httpx.AsyncClient, service: StatsService):
    service.exports = Exports(max_open=1)
    await service.flush()
    for _ in range(3):
        with room_for(100):
            answer = await client.get(STATS, params={"format": "json"})
        check_refusal(answer, 500, param=None, code="storage_failed")
    assert (await client.get(STATS)).status_code == 200


@contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", FORMATS)
async def test_a_full_disk_is_an_error_before_the_first_byte(
    client: httpx.AsyncClient, service: StatsService, name: str
):
    await service.flush()
    with room_for(100):
        answer = await client.get(STATS, params={"format": name})
    check_refusal(answer, 500, param=None, code="storage_failed")
    assert "TMPDIR" in answer.text
    assert "X-Polyglyph-Manifest" not in answer.headers


def many_groups() -> list[GroupSums]:
    """Give sums whose CSV, of about 10 MB, does not fit into the buffers between a server and a client."""
    labels = {"plan": "sha256:" + "0" * 64}
    return [make_group(HEADER, seed=number, tag=f"{number:064}", **labels) for number in range(1500)]


@contextmanager
def stopped_reader(address: tuple[str, int]) -> Iterator[None]:
    """Ask for an export and read no further than its beginning."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(address)
        key = ADMIN["Authorization"]
        reader.sendall(f"GET {STATS}?format=csv HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
        assert reader.recv(64).startswith(b"HTTP/1.1 200")
        yield


def test_a_client_that_stops_reading_holds_nobody_up(app: FastAPI, service: StatsService):
    service.engine = many_groups()
    service.exports = Exports(max_writing=1, max_open=2)
    with listening(app) as address, httpx.Client(base_url="http://{}:{}".format(*address), headers=ADMIN) as client:
        with stopped_reader(address):
            # The store can be written, reset and exported all the same.
            assert client.post(f"{STATS}/reset").status_code == 200
            service.engine = [make_group(HEADER, tokens=3)]
            assert manifest_of(client.get(STATS)).tokens == 3
            assert wait_until(lambda: service.exports._num_open == 1)
        assert wait_until(lambda: service.exports._num_open == 0)


def test_too_many_clients_that_stop_reading_are_refused_not_queued(app: FastAPI, service: StatsService):
    service.engine = many_groups()
    service.exports = Exports(max_open=1)
    with listening(app) as address, httpx.Client(base_url="http://{}:{}".format(*address), headers=ADMIN) as client:
        with stopped_reader(address):
            check_refusal(client.get(STATS), 503, param=None, code="busy")
        assert wait_until(lambda: client.get(STATS).status_code == 200)


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_an_export_that_is_closed_leaves_no_file_open(service: StatsService):
    asyncio.run(service.flush())
    request = exports.ExportRequest(format="json", query=exports.StatsQuery(), filters={})
    export = exports.write_export(request, reader=service.ledger, model_layers=())
    assert json.loads(export.file.read())["schema"] == "polyglyph.stats/1"
    asyncio.run(service.exports.close(export))
    assert export.file.closed
