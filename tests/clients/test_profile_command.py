"""`polyglyph profile` as a command: its report, its refusals, and its end by any signal."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer.testing

from polyglyph.clients.commands import app
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.clients.profile.document import Reason
from polyglyph.clients.profile.offline import server_command
from tests.clients.profile_server import ADMIN_KEY, CountingServer, Lost, listening


@pytest.fixture
def server():
    with listening(CountingServer()) as running:
        yield running


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"text": f"document {number} of many"}) for number in range(40)]
    path.write_text("\n".join([*lines, "{", json.dumps({"text": " "})]))
    return path


@pytest.fixture
def variables(server, tmp_path):
    return {
        "POLYGLYPH_URL": server.url,
        "POLYGLYPH_ADMIN_KEY": ADMIN_KEY,
        "XDG_STATE_HOME": str(tmp_path / "state-home"),
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


def run(variables, *words):
    return typer.testing.CliRunner(env=variables).invoke(app, ["profile", *map(str, words)])


def start(variables, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "polyglyph.clients", "profile", *map(str, words)],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def documents(count):
    return Counter(f"document {number} of many" for number in range(count))


def test_the_report_says_what_was_sent_skipped_and_summed(variables, server, corpus):
    outcome = run(variables, corpus, "--tag", "a")
    assert outcome.exit_code == 0, outcome.output
    for words in (
        "40 counted",
        "160 in prompts",
        "exact for 1 of 1 tags",
        "tag a: 160 computed + 0 cached = 160 counted = 160 sent",
        "1 broken row, such as",
        "corpus.jsonl:41: no JSON",
        "1 empty, such as",
    ):
        assert words in outcome.stdout
    assert not outcome.stderr
    assert server.tokens == Counter(a=160)


def test_a_terminal_sees_how_far_the_run_is_and_how_fast(variables, corpus):
    outcome = run(variables | {"FORCE_COLOR": "1"}, corpus)
    assert "100%" in outcome.stderr
    assert re.search(r"40 documents, [\d.]+/s, \d+ tokens/s", outcome.stderr)


def test_the_report_as_json_is_the_only_thing_on_stdout(variables, corpus):
    outcome = run(variables, corpus, "--json")
    report = json.loads(outcome.stdout)
    assert (report["documents"], report["tokens"]["computed"], report["conservation_holds"]) == (40, 160, True)
    assert [(skipped["reason"], skipped["count"]) for skipped in report["skipped"]] == [("broken row", 1), ("empty", 1)]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("off", "off"),
        ("to-latn", "to-latn"),
        ("false", False),
        ('{"plan": "a", "strength": 2}', {"plan": "a", "strength": 2}),
    ],
)
def test_steering_is_a_word_or_json(variables, server, corpus, value, field):
    assert run(variables, corpus, "--steering", value, "--limit", 1).exit_code == 0
    assert server.bodies[0]["steering"] == field


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steering", "{"], "--steering"),
        (["--tag", "no spaces"], "routing.tag"),
        (["--concurrency", "101"], "--concurrency"),
        (["--limit", "0"], "--limit"),
        (["org/model"], "--offline"),
        (["--", "--enforce-eager"], "--offline"),
        (["--offline"], "-o FILE"),
        (["--offline", "-o", "x.parquet", "--resume"], "nothing to go on with"),
        (["--offline", "-o", "x.parquet", "--url", "http://127.0.0.1:9"], "--url"),
        (["-o", "nowhere/x.parquet"], "no folder"),
        (["-o", "x.doc"], ".safetensors"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_sent(variables, server, corpus, words, said):
    outcome = run(variables, corpus, *words)
    assert outcome.exit_code == ExitCode.REFUSED, outcome.output
    assert said in " ".join(outcome.stderr.replace("│", " ").split())
    assert not server.num_requests


def test_saving_stats_without_the_admin_key_is_refused_before_anything_is_sent(variables, server, corpus, tmp_path):
    outcome = run(variables | {"POLYGLYPH_ADMIN_KEY": ""}, corpus, "-o", tmp_path / "x.parquet")
    assert outcome.exit_code == ExitCode.REFUSED
    assert "admin key" in outcome.stderr
    assert not server.num_requests


def test_a_corpus_that_is_none_is_refused_with_its_name(variables, tmp_path):
    outcome = run(variables, tmp_path / "nothing")
    assert outcome.exit_code == ExitCode.REFUSED
    assert "nothing" in outcome.stderr


def test_sums_that_do_not_agree_end_with_1(variables, server, corpus):
    server.loses = 1
    outcome = run(variables, corpus)
    assert outcome.exit_code == ExitCode.CHECK_FAILED
    assert "40 fewer than sent" in outcome.stdout


def test_a_server_that_goes_away_ends_with_3_and_a_report(variables, server, corpus):
    server.fault = lambda number: Lost(is_counted=False) if number >= 5 else None
    outcome = run(variables, corpus, "--concurrency", 1, "--patience", 0)
    assert outcome.exit_code == ExitCode.UNREACHABLE
    assert "5 counted" in outcome.stdout
    assert "no server answers" in outcome.stderr


def test_nothing_at_the_url_ends_with_3(variables, corpus):
    assert run(variables | {"POLYGLYPH_URL": "http://127.0.0.1:9"}, corpus).exit_code == ExitCode.UNREACHABLE


def test_what_is_no_polyglyph_server_ends_with_4(variables, server, corpus, monkeypatch):
    monkeypatch.setattr(server, "_model", lambda: {"object": "something else"})
    assert run(variables, corpus).exit_code == ExitCode.SERVER_FAILED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_report_and_the_next_one_goes_on(variables, server, corpus, number):
    server.gate.clear()
    process = start(variables, corpus, "--concurrency", 4, "--json")
    server.wait_until(lambda server: server.num_waiting == 4)
    process.send_signal(number)
    assert "finishing what is in flight" in process.stderr.readline()
    server.gate.set()
    report = json.loads(process.communicate()[0])
    assert process.returncode == 130
    assert (report["ending"], report["documents"], report["maybe_twice"]) == ("interrupted", 4, 0)
    assert run(variables, corpus, "--resume").exit_code == 0
    assert Counter(server.counted) == documents(40)


def test_a_second_signal_ends_the_run_at_once(variables, server, corpus):
    server.gate.clear()
    process = start(variables, corpus, "--concurrency", 4, "--json")
    server.wait_until(lambda server: server.num_waiting == 4)
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    report = json.loads(process.communicate(timeout=20)[0])
    server.gate.set()
    assert (report["ending"], report["maybe_twice"]) == ("interrupted", 4)


def test_after_kill_9_no_finished_document_is_counted_again(variables, server, corpus):
    killed_at = iter((7, 19, 31, 1000))
    limit = next(killed_at)
    for _ in range(3):
        # Answers come as far as the limit; what is sent beyond waits, and is in flight when the power goes.
        server.fault = lambda number, limit=limit: server.gate.clear() if len(server.counted) >= limit else None
        process = start(variables, corpus, "--concurrency", 4, "--resume")
        server.wait_until(lambda server, limit=limit: len(server.counted) > limit and server.num_waiting > 0)
        process.kill()
        process.communicate()
        finished = Counter(server.counted)
        server.gate.set()
        limit = next(killed_at)
    server.fault = lambda number: None
    outcome = run(variables, corpus, "--resume", "--json")
    report = json.loads(outcome.stdout)
    surplus = Counter(server.counted) - documents(40)
    assert set(server.counted) == set(documents(40))
    assert surplus.total() <= report["maybe_twice"] <= 3 * 4
    assert finished.total() > 25


def test_an_offline_engine_gets_the_model_the_flags_and_a_port_of_its_own():
    command = server_command(["org/model", "--enforce-eager"], 8123)
    assert command[1:6] == ["-m", "polyglyph.clients", "serve", "org/model", "--enforce-eager"]
    assert " ".join(command[6:]) == "--host 127.0.0.1 --port 8123 --enable-prompt-tokens-details"


def test_the_page_explains_every_reason_for_skipping():
    page = Path(__file__).parents[2].joinpath("docs", "profile.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|", page.partition("<!-- reasons -->")[2].partition("\n\n")[0], re.MULTILINE)
    assert rows == [reason.value for reason in Reason]
