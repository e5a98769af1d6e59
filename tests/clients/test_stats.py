"""Stats through the clients and the command line, against the server's real routes over a real store."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from polyglyph.clients import AnswerError, AsyncPolyglyph, Polyglyph, ServerUnreachableError, calls
from polyglyph.clients.errors import UnwritableFileError
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.stats.filters import parameters_of
from polyglyph.contract.errors import (
    ConflictError,
    InvalidStatsError,
    RequestError,
    StatsMismatchError,
    UnknownPlanError,
)
from polyglyph.contract.exports.conservation import conservation_of
from polyglyph.contract.exports.formats import FORMATS, SUFFIXES
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.exports.manifest import load_manifest, manifest_path
from polyglyph.contract.exports.reading import read_stats
from polyglyph.contract.exports.writing import save_stats
from polyglyph.server.settings import read_settings
from tests.clients.terminal import Terminal
from tests.server.fakes import ADMIN_KEY, BINDING, EXPERTS, LAYERS, TOP_K, make_plan
from tests.server.stats_service import StatsService, listening, make_app, open_service
from tests.support.sums import make_group, make_header

READABLE = [name for name in FORMATS if name != "eplb"]
HEADER = make_header(model_fingerprint=BINDING.fingerprint, layers=LAYERS, experts=EXPERTS, top_k=TOP_K)
PLAN = make_plan().fingerprint


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatsService:
    monkeypatch.setenv("POLYGLYPH_ADMIN_KEY", ADMIN_KEY)
    service = open_service(tmp_path / "data", read_settings())
    service.plans.put(make_plan())
    service.engine = [
        make_group(HEADER, seed=1, tokens=40, cached_tokens=2, request_script="Cyrl", script="Cyrl"),
        make_group(HEADER, seed=2, tokens=20, request_script="Cyrl", script="Latn", phase="answer", plan=PLAN, tag="a"),
        make_group(HEADER, seed=3, tokens=100, request_script="Latn", script="Latn", tag="b"),
    ]
    return service


@pytest.fixture
def url(service: StatsService) -> Iterator[str]:
    with listening(make_app(service)) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
def client(url: str) -> Iterator[Polyglyph]:
    with Polyglyph(url, admin_key=ADMIN_KEY) as client:
        yield client


@pytest.fixture
def terminal(url: str) -> Terminal:
    return Terminal(url)


def words_of(text: str) -> str:
    return " ".join(text.split())


def save(folder: Path, name: str, *groups, **header) -> Path:
    stats = LoadedStats(header=make_header(**HEADER.model_dump(by_alias=True) | header), groups=groups)
    path = folder / name
    save_stats(stats.snapshot(), path, format="parquet")
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_saved_whole_with_its_manifest(client: Polyglyph, tmp_path: Path, name: str):
    path = tmp_path / f"sums{SUFFIXES[name]}"
    manifest = client.pull_stats(path)
    assert (manifest.format, manifest.tokens, manifest.cached_tokens) == (name, 160, 4)
    assert load_manifest(manifest_path(path)) == manifest
    assert path.stat().st_size == manifest.bytes
    if name in READABLE:
        stats = read_stats(path)
        assert conservation_of(stats.header, stats.groups).tokens == 160
    assert {file.name for file in tmp_path.iterdir()} == {"data", path.name, manifest_path(path).name}


async def test_the_asynchronous_client_pulls_and_imports_the_same(url: str, service: StatsService, tmp_path: Path):
    async with AsyncPolyglyph(url, admin_key=ADMIN_KEY) as client:
        path = tmp_path / "sums.safetensors"
        assert (await client.pull_stats(path, script="Latn")).tokens == 120
        assert (await client.stats(by="script")).groups[0].script == "Cyrl"
        await client.reset_stats()
        assert (await client.import_stats(path)).tokens == 120
        with pytest.raises(ConflictError):
            await client.import_stats(path)
        with pytest.raises(InvalidStatsError):
            await client.import_stats(tmp_path / "nothing.npz")
        with pytest.raises(UnknownPlanError):
            await client.pull_stats(path, plan="nope")


def test_filters_and_columns_reach_the_server(client: Polyglyph, tmp_path: Path):
    assert client.pull_stats(tmp_path / "a.npz", request_script="Cyrl", by=["phase", "script"]).tokens == 60
    assert read_stats(tmp_path / "a.npz").header.by == ("script", "phase")
    assert client.pull_stats(tmp_path / "b.bin", format="npz", plan="to-latin").filters == {"plan": PLAN}
    assert [group.group_tokens for group in client.stats(by="tag").groups] == [40, 20, 100]


def test_times_become_text_with_a_zone():
    assert parameters_of({"since": datetime(2026, 1, 1, tzinfo=UTC)}) == {"since": "2026-01-01T00:00:00+00:00"}
    assert parameters_of({"since": 1767225600, "by": ("script", "tag")}) == {"since": "1767225600", "by": "script,tag"}


def test_a_refusal_leaves_no_file(client: Polyglyph, tmp_path: Path):
    for wrong in ({"script": "Klingon"}, {"since": "2999-01-01"}, {"plan": "nope"}):
        with pytest.raises(RequestError):
            client.pull_stats(tmp_path / "sums.npz", **wrong)
    with pytest.raises(RequestError, match="the name says no format"):
        client.pull_stats(tmp_path / "sums.xlsx")
    assert [file.name for file in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_cannot_be_written_is_named(client: Polyglyph, tmp_path: Path):
    with pytest.raises(UnwritableFileError, match="nowhere"):
        client.pull_stats(tmp_path / "nowhere" / "sums.npz")


def test_nothing_that_listens_leaves_no_file(tmp_path: Path):
    with Polyglyph("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachableError):
        client.pull_stats(tmp_path / "sums.npz")
    assert not list(tmp_path.iterdir())


Spoil = Callable[[bytes, bytes], bytes]


@contextmanager
def spoiling(answer: bytes) -> Iterator[str]:
    """Answer every connection with the same bytes and hang up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def without_length(head: bytes) -> bytes:
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda head, body: head + body[: len(body) // 2], "broke off"),
        (lambda head, body: head, "broke off"),
        (lambda head, body: without_length(head) + body[:-1], "bytes"),
        (lambda head, body: without_length(head) + body + b"x", "bytes"),
        (lambda head, body: head + body[:-1] + bytes([body[-1] ^ 1]), "SHA-256"),
        (lambda head, body: head.replace(b"x-polyglyph-manifest", b"x-other") + body, "no manifest"),
        (lambda head, body: head.replace(b'"sha256": "', b'"sha256": "zz') + body, "no manifest"),
    ],
)
def test_an_export_that_does_not_come_whole_leaves_what_stood_there(
    client: Polyglyph, url: str, tmp_path: Path, spoil: Spoil, words: str
):
    with client._answered(calls.get_export("json", {})) as response:
        body = response.read()
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(
            name.lower() + b": " + value + b"\r\n" for name, value in response.headers.raw
        )
    path = tmp_path / "sums.json"
    path.write_text("before")
    answer = spoil(head + b"connection: close\r\n\r\n", body)
    with spoiling(answer) as other, Polyglyph(other) as cut, pytest.raises(AnswerError, match=words):
        cut.pull_stats(path)
    assert path.read_text() == "before"
    assert {file.name for file in tmp_path.iterdir()} == {"data", "sums.json"}


def test_what_one_server_exports_another_takes_in(client: Polyglyph, service: StatsService, tmp_path: Path):
    for name in READABLE:
        path = tmp_path / f"sums{SUFFIXES[name]}"
        client.pull_stats(path)
        client.reset_stats()
        answer = client.import_stats(path)
        assert (answer.groups, answer.tokens, answer.cached_tokens) == (3, 160, 4)
        assert answer.digest == read_stats(path).digest
        with pytest.raises(ConflictError):
            client.import_stats(path)


def test_stats_of_another_model_are_refused_by_the_server(client: Polyglyph, tmp_path: Path):
    path = save(tmp_path, "other.parquet", model_fingerprint="sha256:" + "9" * 64)
    with pytest.raises(StatsMismatchError, match="9999"):
        client.import_stats(path)


def test_a_broken_file_is_refused_by_its_name_before_it_is_sent(client: Polyglyph, tmp_path: Path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InvalidStatsError, match=r"broken.npz"):
        client.import_stats(path)


@pytest.fixture(autouse=True)
def admin_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGLYPH_ADMIN_KEY", ADMIN_KEY)


def test_the_table_has_a_line_per_token_script_and_phase(terminal: Terminal):
    outcome = terminal.run("stats", "show")
    rows = [words_of(line) for line in outcome.stdout.splitlines() if "│" in line]
    assert [row.split("│")[1:5] for row in rows] == [
        [" Latn ", " prompt ", " 100 ", " 1 "],
        [" Cyrl ", " prompt ", " 40 ", " 2 "],
        [" Latn ", " answer ", " 20 ", " 1 "],
    ]
    assert "conservation holds: 1280 selections = 160 tokens x 4 layers x top-2" in words_of(outcome.stderr)


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        (["script"], ["Latn", "Cyrl"]),
        (["request-script"], ["Latn", "Cyrl"]),
        (["phase"], ["prompt", "answer"]),
        (["tag"], ["b", "none", "a"]),
        (["plan"], ["none", "to-latin"]),
        (["layer"], ["0", "1", "2", "3"]),
    ],
)
def test_lines_are_told_apart_by_what_is_asked(terminal: Terminal, by: list[str], labels: list[str]):
    words = [word for name in by for word in ("--by", name)]
    lines = json.loads(terminal.run("stats", "show", *words, "--json").stdout)["lines"]
    assert [line[by[0].replace("-", "_")] for line in lines] == labels
    assert by == ["layer"] or sum(line["tokens"] for line in lines) == 160


def test_token_and_request_script_are_different_columns(terminal: Terminal):
    tokens = {}
    for name in ("script", "request-script"):
        document = json.loads(terminal.run("stats", "show", "--by", name, "--json").stdout)
        tokens[name] = {line[name.replace("-", "_")]: line["tokens"] for line in document["lines"]}
    assert tokens == {"script": {"Latn": 120, "Cyrl": 40}, "request-script": {"Latn": 100, "Cyrl": 60}}


def test_the_top_experts_are_the_most_selected_ones(terminal: Terminal, client: Polyglyph):
    selected_LE = sum(group.selected.to_numpy() for group in client.stats(by=[]).groups)
    document = json.loads(terminal.run("stats", "show", "--by", "expert", "--top", "5", "--json").stdout)
    (line,) = document["lines"]
    for expert in line["experts"]:
        assert expert["selected"] == selected_LE[expert["layer"], expert["expert"]]
        assert expert["share"] == expert["selected"] / (160 * TOP_K)
    assert line["experts"][0]["selected"] == selected_LE.max()
    table = terminal.run("stats", "show", "--by", "expert", "--top", "5").stdout
    assert sum("%" in row for row in table.splitlines()) == 5


def test_a_file_shows_what_its_server_shows(terminal: Terminal, tmp_path: Path):
    path = tmp_path / "sums.parquet"
    assert terminal.run("stats", "pull", "-o", str(path)).exit_code == 0
    options = ["--by", "script", "--by", "tag", "--request-script", "Cyrl", "--json"]
    from_file = json.loads(Terminal("http://127.0.0.1:9").run("stats", "show", str(path), *options).stdout)
    from_server = json.loads(terminal.run("stats", "show", *options).stdout)
    assert from_file["lines"] == from_server["lines"]
    assert from_file["conservation"] == from_server["conservation"]


@pytest.mark.parametrize("options", [["--since", "0"], ["--plan", "to-latin"]])
def test_what_a_file_cannot_know_is_refused(tmp_path: Path, options: list[str]):
    path = save(tmp_path, "sums.parquet")
    outcome = Terminal("http://127.0.0.1:9").run("stats", "show", str(path), *options)
    assert outcome.exit_code == ExitCode.REFUSED
    assert options[0] in outcome.stderr


def test_sums_that_are_not_conserved_are_said_to_be_and_exit_with_1(terminal: Terminal, service: StatsService):
    group = make_group(HEADER, tokens=5)
    group.selected_LE[0, 0] += 1
    service.engine = [group]
    outcome = terminal.run("stats", "show")
    assert outcome.exit_code == ExitCode.CHECK_FAILED
    assert "conservation is broken: 41 selections, but 5 tokens x 4 layers x top-2 are 40" in words_of(outcome.stderr)


def test_no_sums_at_all_are_an_empty_table(terminal: Terminal, service: StatsService):
    service.engine = []
    outcome = terminal.run("stats", "show")
    assert outcome.exit_code == 0
    assert "0 selections = 0 tokens" in words_of(outcome.stderr)
    assert json.loads(terminal.run("stats", "show", "--json").stdout)["lines"] == []


def test_overflow_is_said(terminal: Terminal, service: StatsService):
    service.engine.append(make_group(HEADER, tokens=9, request_script="Zzzz", script="Zzzz", tag="overflow"))
    outcome = terminal.run("stats", "show", "--by", "tag", "--by", "request-script")
    assert "9 tokens found no free group" in words_of(outcome.stderr)


def test_pull_says_what_it_wrote_and_gives_the_manifest_as_json(terminal: Terminal, tmp_path: Path):
    path = tmp_path / "sums.eplb.json"
    outcome = terminal.run("stats", "pull", "-o", str(path), "--tag", "a")
    assert outcome.stdout == ""
    assert "1 groups, 20 tokens" in words_of(outcome.stderr)
    outcome = terminal.run("stats", "pull", "-o", str(tmp_path / "x"), "--format", "csv", "--by", "phase", "--json")
    manifest = json.loads(outcome.stdout)
    assert (manifest["format"], manifest["header"]["by"], manifest["tokens"]) == ("csv", ["phase"], 160)


@pytest.mark.parametrize(
    "words",
    [
        ["pull", "-o", "sums.xlsx"],
        ["pull", "-o", "sums.npz", "--script", "Klingon"],
        ["pull", "-o", "sums.npz", "--since", "2999-01-01"],
        ["pull", "-o", "sums.npz", "--format", "xlsx"],
        ["pull", "-o", "sums.npz", "--by", "layer"],
        ["pull", "-o", "nowhere/sums.npz"],
        ["pull"],
        ["show", "nothing.npz"],
        ["show", "--by", "colour"],
        ["merge", "-o", "sums.npz"],
        ["merge", "nothing.npz", "-o", "sums.npz"],
        ["import", "nothing.npz"],
        ["import"],
    ],
)
def test_wrong_usage_is_refused_in_words(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    monkeypatch.chdir(tmp_path)
    outcome = terminal.run("stats", *words)
    assert outcome.exit_code == ExitCode.REFUSED
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr
    assert not list(tmp_path.glob("*sums*"))


def test_files_are_added_up_across_formats(terminal: Terminal, tmp_path: Path):
    monday = save(tmp_path, "monday.parquet", make_group(HEADER, tokens=10, tag="x"), until="2026-01-02T00:00:00Z")
    tuesday = tmp_path / "tuesday.csv"
    other = save(tmp_path, "t.parquet", make_group(HEADER, tokens=5, tag="x"), since="2026-01-02T00:00:00Z")
    assert terminal.run("stats", "merge", str(other), "-o", str(tuesday)).exit_code == 0
    both = tmp_path / "both.npz"
    outcome = terminal.run("stats", "merge", str(monday), str(tuesday), "-o", str(both), "--json")
    manifest = json.loads(outcome.stdout)
    assert (manifest["groups"], manifest["tokens"], manifest["cached_tokens"]) == (1, 15, 2)
    assert read_stats(both).groups[0].tokens == 15
    assert "twice" not in outcome.stderr


def test_a_merge_of_different_models_is_refused_with_both(terminal: Terminal, tmp_path: Path):
    one, other = save(tmp_path, "a.parquet"), save(tmp_path, "b.parquet", model_fingerprint="sha256:" + "9" * 64)
    outcome = terminal.run("stats", "merge", str(one), str(other), "-o", str(tmp_path / "c.parquet"))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "9999" in outcome.stderr
    assert "aaaa" in outcome.stderr
    assert not (tmp_path / "c.parquet").exists()


def test_the_same_file_twice_is_refused(terminal: Terminal, tmp_path: Path):
    path = save(tmp_path, "a.parquet", make_group(HEADER))
    outcome = terminal.run("stats", "merge", str(path), str(path), "-o", str(tmp_path / "c.parquet"))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "count twice" in words_of(outcome.stderr)


def test_two_exports_of_one_server_are_warned_of(terminal: Terminal, service: StatsService, tmp_path: Path):
    paths = [tmp_path / "early.parquet", tmp_path / "late.parquet"]
    for path in paths:
        assert terminal.run("stats", "pull", "-o", str(path)).exit_code == 0
        service.engine.append(make_group(HEADER, tokens=1))
    outcome = terminal.run("stats", "merge", *map(str, paths), "-o", str(tmp_path / "c.parquet"))
    assert outcome.exit_code == 0
    assert "count twice" in words_of(outcome.stderr)


def test_a_merge_that_cannot_be_written_is_a_line(terminal: Terminal, tmp_path: Path):
    path = save(tmp_path, "a.parquet")
    outcome = terminal.run("stats", "merge", str(path), "-o", str(tmp_path / "nowhere" / "c.parquet"))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "cannot be written" in words_of(outcome.stderr)


def test_a_file_is_imported_once(terminal: Terminal, tmp_path: Path):
    path = save(tmp_path, "a.parquet", make_group(HEADER, tokens=10, tag="x"))
    assert "10 tokens" in words_of(terminal.run("stats", "import", str(path)).stderr)
    again = terminal.run("stats", "import", str(path))
    assert again.exit_code == ExitCode.REFUSED
    assert "imported already" in words_of(again.stderr)
    shown = json.loads(terminal.run("stats", "show", "--by", "tag", "--json").stdout)
    assert shown["conservation"]["tokens"] == 170


def test_a_reset_leaves_nothing(terminal: Terminal):
    assert json.loads(terminal.run("stats", "reset", "--json").stdout) == {"reset": True}
    assert json.loads(terminal.run("stats", "show", "--json").stdout)["conservation"]["tokens"] == 0


def test_without_the_admin_key_nothing_is_shown(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("POLYGLYPH_ADMIN_KEY")
    path = save(tmp_path, "a.parquet")
    for words in (["show"], ["pull", "-o", str(tmp_path / "x.npz")], ["import", str(path)], ["reset"]):
        outcome = terminal.run("stats", *words)
        assert outcome.exit_code == ExitCode.REFUSED
        assert "admin key" in words_of(outcome.stderr)
