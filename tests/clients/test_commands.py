"""The command line: data on stdout, words on stderr, documented exit codes, no traceback for a user's error."""

import json

import pytest

from polyglyph import __version__
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.contract.plan import load_plan
from tests.clients.fake_server import ADMIN_KEY, API_KEY, plan_of
from tests.clients.terminal import Terminal


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "other.plan.json"
    path.write_text(json.dumps(plan_of("other").to_json()), encoding="utf-8")
    return path


def words_of(text):
    return " ".join(text.split())


def test_the_version_is_the_packages(terminal):
    assert terminal.run("--version").stdout == f"polyglyph {__version__}\n"


def test_plans_are_listed_as_a_table_and_as_json(terminal):
    assert "to-latin" in terminal.run("plans", "list").stdout
    (entry,) = json.loads(terminal.run("plans", "list", "--json").stdout)
    assert entry["fingerprint"] == plan_of().fingerprint


def test_a_plan_is_shown_with_its_edits(terminal):
    shown = terminal.run("plans", "show", "to-latin").stdout
    assert "ban" in shown
    assert "1.5" in shown
    assert json.loads(terminal.run("plans", "show", "to-latin", "--json").stdout) == plan_of().to_json()


def test_a_plan_survives_push_and_pull_unchanged(terminal, plan_file, tmp_path):
    assert terminal.run("plans", "push", str(plan_file)).exit_code == 0
    target = tmp_path / "copy.plan.json"
    assert terminal.run("plans", "pull", "other", "-o", str(target)).exit_code == 0
    assert load_plan(target) == load_plan(plan_file)


def test_a_pull_to_stdout_is_nothing_but_the_plan(terminal):
    assert json.loads(terminal.run("plans", "pull", "to-latin", "-o", "-").stdout) == plan_of().to_json()


def test_a_pull_without_a_file_is_named_after_the_plan(terminal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    terminal.run("plans", "pull", "to-latin")
    assert load_plan(tmp_path / "to-latin.plan.json") == plan_of()


def test_a_file_that_cannot_be_written_is_a_line_not_a_traceback(terminal, tmp_path):
    outcome = terminal.run("plans", "pull", "to-latin", "-o", str(tmp_path / "nowhere" / "a.json"))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "nowhere" in words_of(outcome.stderr)


def test_a_deleted_plan_is_gone(terminal, server):
    assert terminal.run("plans", "delete", "to-latin").exit_code == 0
    assert not server.plans


def test_validating_a_plan_exits_with_1_when_the_server_would_refuse_it(terminal, plan_file, tmp_path):
    assert terminal.run("plans", "validate", str(plan_file)).exit_code == 0
    wrong = tmp_path / "wrong.plan.json"
    wrong.write_text(json.dumps(plan_of("wrong", edits=[{"layer": 99, "experts": [0], "op": "ban"}]).to_json()))
    outcome = terminal.run("plans", "validate", str(wrong))
    assert outcome.exit_code == ExitCode.CHECK_FAILED
    assert "MoE layers 0 to 2, got 99" in words_of(outcome.stderr)
    answer = json.loads(terminal.run("plans", "validate", str(wrong), "--json").stdout)
    assert answer["errors"][0]["param"] == "plan.edits[0].layer"


@pytest.mark.parametrize("content", ["{", '{"schema": "polyglyph.plan/1"}', "\x00"])
def test_a_file_that_is_no_plan_is_refused_with_its_name(terminal, tmp_path, content):
    path = tmp_path / "broken.plan.json"
    path.write_text(content)
    outcome = terminal.run("plans", "push", str(path))
    assert outcome.exit_code == ExitCode.REFUSED
    assert "broken.plan.json" in outcome.stderr


def test_an_unknown_plan_is_a_refused_request(terminal):
    outcome = terminal.run("plans", "show", "nowhere")
    assert outcome.exit_code == ExitCode.REFUSED
    assert "there is no plan 'nowhere'" in outcome.stderr


def test_a_policy_survives_push_and_show(terminal, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"scripts": {"Cyrl": {"plan": "to-latin", "strength": 2.0}}}))
    assert terminal.run("policy", "push", str(path)).exit_code == 0
    assert "to-latin" in terminal.run("policy", "show").stdout
    document = json.loads(terminal.run("policy", "show", "--json").stdout)
    assert document["scripts"]["Cyrl"] == {"plan": "to-latin", "strength": 2.0}


def test_a_policy_that_guesses_shows_every_source_and_how_it_is_guessed(terminal, tmp_path):
    path = tmp_path / "policy.json"
    rule = {"plan": "home", "sources": {"Latn": {"plan": "to-latin", "phases": ["answer"]}}}
    guess = {"kind": "entities", "suffixes": {"ton": "Latn"}, "by_entity_script": True}
    path.write_text(json.dumps({"scripts": {"Cyrl": rule}, "guess": guess}))
    assert "2 plans" in terminal.run("policy", "push", str(path)).stderr
    shown = terminal.run("policy", "show")
    rows = [line.split() for line in shown.stdout.splitlines() if "Cyrl" in line]
    assert [{"Latn", "to-latin", "answer"} <= set(rows[0]), {"none", "home"} <= set(rows[1])] == [True, True]
    assert "0 words and 1 suffixes, then by the entities' own script" in words_of(shown.stderr)


def test_nothing_at_the_url_exits_with_3():
    outcome = Terminal("http://127.0.0.1:9").run("plans", "list")
    assert outcome.exit_code == ExitCode.UNREACHABLE
    assert "polyglyph serve" in words_of(outcome.stderr)


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://127.0.0.1:9", "http://127.0.0.1:99999"])
def test_a_url_that_is_none_is_a_line_not_a_traceback(url):
    outcome = Terminal(url).run("plans", "list")
    assert outcome.exit_code == ExitCode.UNREACHABLE
    assert url in words_of(outcome.stderr)


def test_a_server_that_fails_exits_with_4(terminal, server):
    server.fails_with = 503
    assert terminal.run("plans", "list").exit_code == ExitCode.SERVER_FAILED
    assert terminal.run("chat", "hi").exit_code == ExitCode.SERVER_FAILED


def test_a_plain_vllm_server_exits_with_4_and_is_named_as_such(terminal, server):
    server.is_plain = True
    outcome = terminal.run("plans", "list")
    assert outcome.exit_code == ExitCode.SERVER_FAILED
    assert "no Polyglyph server" in words_of(outcome.stderr)


def test_the_url_after_a_command_wins_over_the_one_before_and_over_the_environment(server):
    terminal = Terminal("http://127.0.0.1:9")
    assert terminal.run("--url", server.url, "plans", "list").exit_code == 0
    assert terminal.run("plans", "list", "--url", server.url).exit_code == 0
    assert terminal.run("--url", "http://127.0.0.1:8", "plans", "list", "--url", server.url).exit_code == 0


def test_keys_come_from_the_environment_and_are_never_printed(locked_server, monkeypatch):
    terminal = Terminal(locked_server.url)
    assert terminal.run("plans", "list").exit_code == ExitCode.REFUSED
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    assert terminal.run("plans", "list").exit_code == 0
    refused = terminal.run("stats", "reset")
    assert refused.exit_code == ExitCode.REFUSED
    monkeypatch.setenv("POLYGLYPH_ADMIN_KEY", ADMIN_KEY)
    assert terminal.run("stats", "reset").exit_code == 0
    for words in (["plans", "list", "--help"], ["--help"], ["plans", "show", "nowhere"]):
        outcome = terminal.run(*words)
        assert API_KEY not in outcome.output
        assert ADMIN_KEY not in outcome.output
    assert API_KEY not in refused.output


@pytest.mark.parametrize(
    "words", [["plans", "lisst"], ["plans", "show"], ["stats", "show", "--by", "colour"], ["--no"]]
)
def test_wrong_usage_exits_with_2(terminal, words):
    assert terminal.run(*words).exit_code == 2
