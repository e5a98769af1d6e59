"""`polyglyph chat`: the answer on stdout, what the server did with the steering on stderr."""

import json

import pytest

from polyglyph.clients.chat_view import describe
from polyglyph.clients.exit_codes import ExitCode
from polyglyph.contract.steering import SteeringEcho


def test_the_answer_alone_goes_to_stdout(terminal):
    outcome = terminal.run("chat", "hi")
    assert outcome.stdout == "Paris\n"
    assert "because" in outcome.stderr


def test_a_request_that_asks_nothing_carries_none_of_our_fields(terminal, server):
    terminal.run("chat", "hi")
    assert {"steering", "routing"}.isdisjoint(server.seen[-1].body)


def test_the_echo_names_plan_strength_and_dose(terminal):
    stderr = terminal.run("chat", "hi", "--plan", "to-latin", "--strength", "2").stderr
    assert "plan to-latin; strength 2" in stderr
    assert "dose" in stderr


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--plan", "to-latin"], {"plan": "to-latin", "strength": 1.0}),
        (["--plan", "to-latin", "--strength", "-2"], {"plan": "to-latin", "strength": -2.0}),
        (
            ["--plan", "to-latin", "--phases", "reasoning,answer"],
            {"plan": "to-latin", "strength": 1.0, "phases": ["reasoning", "answer"]},
        ),
        (
            ["--plan", "to-latin", "--phases", "reasoning", "--phases", "answer"],
            {"plan": "to-latin", "strength": 1.0, "phases": ["reasoning", "answer"]},
        ),
        (["--auto"], "auto"),
        (["--no-steering"], False),
    ],
)
def test_the_flags_become_the_steering_field(terminal, server, words, field):
    terminal.run("chat", "hi", *words)
    assert server.seen[-1].body["steering"] == field


def test_sampling_system_and_template_go_into_the_request(terminal, server):
    words = ["--system", "Be brief", "--max-tokens", "5", "--no-thinking", "--model", "other"]
    terminal.run("chat", "hi", *words)
    body = server.seen[-1].body
    assert body["messages"] == [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "hi"}]
    assert body["max_completion_tokens"] == 5
    assert body["temperature"] == 0.0
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert body["model"] == "other"


def test_a_dash_reads_the_question_from_stdin(terminal, server):
    terminal.run("chat", "-", input="from a pipe")
    assert server.seen[-1].body["messages"][-1]["content"] == "from a pipe"


def test_a_streamed_answer_is_the_same_with_the_echo_of_the_last_chunk(terminal):
    outcome = terminal.run("chat", "hi", "--plan", "to-latin", "--stream")
    assert outcome.stdout == "Paris\n"
    assert outcome.stderr.startswith("because\n[plan to-latin")
    assert "tokens steered" in outcome.stderr


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
def test_the_tokens_stand_below_the_answer_with_text_script_phase_and_first_experts(terminal, server, stream):
    lines = terminal.run("chat", "hi", "--tokens", "--max-tokens", "3", stream).stdout.splitlines()
    assert lines[:2] == ["Paris", ""]
    assert lines[2].split() == ["token", "script", "phase", "0", "1", "2"]
    rows = [line.split() for line in lines[3:]]
    assert [row[1:3] for row in rows] == [["Latn", "prompt"], ["Latn", "answer"], ["Latn", "answer"]]
    assert all(row[0].startswith("word") for row in rows)
    assert all("+" in cell for row in rows for cell in row[3:])
    assert server.seen[-2].path == "/detokenize"


def test_steered_tokens_are_marked(terminal):
    shown = terminal.run("chat", "hi", "--tokens", "--plan", "to-latin", "--phases", "answer").stdout
    rows = shown.splitlines()[3:]
    assert ["*" in row for row in rows] == ["answer" in row for row in rows]


def test_tokens_from_a_server_without_traces_are_an_error(terminal, server):
    server.is_plain = True
    outcome = terminal.run("chat", "hi", "--tokens")
    assert outcome.exit_code == ExitCode.SERVER_FAILED
    assert "no trace" in outcome.stderr


def test_the_echo_names_the_script_of_the_questions_entities_where_they_have_another():
    echo = SteeringEcho.model_validate(
        {"applied": False, "plan": None, "fingerprint": None, "strength": 0.0, "source": "request"}
        | {"phases": ("prompt",), "request_script": "Cyrl"}
    )
    assert describe(echo) == "not steered, request script Cyrl"
    named = echo.model_copy(update={"entity_script": "Latn"})
    assert describe(named) == "not steered, request script Cyrl, entities in Latn"


def test_the_echo_says_what_the_policy_guessed_and_why_nothing_was_steered():
    echo = SteeringEcho.model_validate(
        {"applied": False, "plan": None, "fingerprint": None, "strength": 0.0, "source": "policy"}
        | {"phases": ("prompt",), "request_script": "Cyrl", "guess": "probe", "reason": "no_guess"}
    )
    unsure = "not steered (no source script was guessed), request script Cyrl, source script not guessed by probe"
    assert describe(echo) == unsure
    sure = echo.model_copy(update={"applied": True, "guessed_source": "Latn", "reason": None})
    assert describe(sure).endswith("source script Latn guessed by probe")


def test_comparing_shows_both_answers_with_dose_and_tokens_by_phase(terminal, server):
    shown = terminal.run("chat", "hi", "--plan", "to-latin", "--compare").stdout
    assert shown.count("Paris") == 2
    assert "dose" in shown
    assert "tokens: prompt 1, reasoning 0, answer" in shown
    unsteered, steered = (request.body["steering"] for request in server.seen[-2:])
    assert unsteered is False
    assert steered["plan"] == "to-latin"


def test_comparing_as_json_gives_both_responses(terminal):
    answers = json.loads(terminal.run("chat", "hi", "--plan", "to-latin", "--compare", "--json").stdout)
    assert answers["steered"]["steering"]["plan"] == "to-latin"
    assert not answers["unsteered"]["steering"]["applied"]


def test_an_answer_as_json_is_the_whole_response(terminal):
    answer = json.loads(terminal.run("chat", "hi", "--plan", "to-latin", "--json").stdout)
    assert answer["steering"]["tokens_steered"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ["--plan", "a", "--auto"],
        ["--plan", "a", "--no-steering"],
        ["--strength", "2"],
        ["--phases", "answer"],
        ["--plan", "a", "--phases", "thinking"],
        ["--plan", "a", "--strength", "99"],
        ["--plan", "a", "--strength", "nan"],
        ["--compare"],
        ["--compare", "--no-steering"],
        ["--compare", "--plan", "a", "--tokens"],
    ],
)
def test_flags_without_an_effect_or_against_each_other_are_usage_errors(terminal, server, words):
    outcome = terminal.run("chat", "hi", *words)
    assert outcome.exit_code == 2
    assert not server.seen, "nothing was sent"


def test_a_refusal_of_the_server_ends_in_its_own_words(terminal):
    outcome = terminal.run("chat", "hi", "--plan", "nowhere")
    assert outcome.exit_code == ExitCode.REFUSED
    assert "there is no plan 'nowhere'" in outcome.stderr


def test_a_server_that_ignores_steering_is_not_taken_at_its_word(terminal, server):
    server.is_plain = True
    outcome = terminal.run("chat", "hi", "--plan", "to-latin")
    assert outcome.exit_code == ExitCode.SERVER_FAILED
    assert "no Polyglyph server" in outcome.stderr
