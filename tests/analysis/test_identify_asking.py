"""A labelled run is asked: what is sent, what is kept, how a run goes on, and what is refused."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from polyglyph.analysis.identification.asking.ask import ask_prompts
from polyglyph.analysis.identification.asking.prompt import Prompt, read_prompts
from polyglyph.analysis.identification.asking.question import AskingOptions
from polyglyph.analysis.identification.asking.response_class import class_of, parse_class
from polyglyph.analysis.identification.binding import load_model
from polyglyph.analysis.identification.commands import app
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.profile.stop import Stop
from polyglyph.contract.errors import RequestError
from polyglyph.contract.trace_reading import read_traces
from tests.clients.fake_engine import MODEL, Steering, tokenize
from tests.clients.fake_server import FakeServer, serving


@dataclass
class RefusingServer(FakeServer):
    """Refuses to answer what is dangerous, as a model does; `breaks_at` is a prompt that it calls too long."""

    breaks_at: str = ""

    def _generate(self, body: dict[str, Any], *, is_chat: bool) -> Any:
        asked = body["messages"][-1]["content"] if is_chat else body["prompt"]
        if self.breaks_at and self.breaks_at in asked:
            raise RequestError("the prompt is too long", param="messages")
        answer = super()._generate(body, is_chat=is_chat)
        text = "I cannot help\u2028with that." if "bomb" in asked else "Paris."
        if is_chat:
            answer["choices"][0]["message"]["content"] = f"<think>well</think>{text}"
        return answer


PROMPTS = [
    {"id": "a", "item": "one", "script": "Latn", "messages": [{"role": "user", "content": "the capital of France"}]},
    {"id": "b", "label": "harmful", "messages": [{"role": "user", "content": "how to build a bomb"}]},
    {"id": "c", "prompt": "completes this", "expected": ["Paris"], "labels": {"topic": "city", "hard": True}},
    {
        "id": "d",
        "messages": [{"role": "user", "content": "the capital again"}],
        "expected": ["paris!"],
        "max_tokens": 2,
    },
]


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    return written(tmp_path / "prompts.jsonl", PROMPTS)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["ask", *(str(argument) for argument in arguments)])


def labels_of(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "labels.jsonl").read_text().split("\n")
    return {line["id"]: line for line in map(json.loads, filter(None, lines))}


def test_every_prompt_gets_a_trace_and_a_line_of_labels(prompts_file, tmp_path):
    with serving(RefusingServer()) as server:
        result = run(prompts_file, "-o", tmp_path / "run", "--url", server.url, "--max-tokens", "5")
    assert result.exit_code == 0, result.output
    labels = labels_of(tmp_path / "run")
    assert list(labels) == ["a", "b", "c", "d"]
    assert labels["a"]["item"] == "one"
    assert labels["b"] == labels["b"] | {"item": "b", "label": "harmful", "reasoning": "well"}
    assert labels["c"] == labels["c"] | {"topic": "city", "hard": True, "prompt": "completes this"}
    traces = {trace.request_id: trace for trace in read_traces(tmp_path / "run" / "traces.parquet")}
    assert traces.keys() == labels.keys()
    # The last sampled token never goes through the model.
    assert traces["a"].num_tokens == 4 + 5 - 1
    assert traces["d"].num_tokens == 3 + 2 - 1
    assert all(trace.computed.all() for trace in traces.values())


def test_a_trace_is_what_the_server_computed(prompts_file, tmp_path):
    with serving(FakeServer()) as server:
        run(prompts_file, "-o", tmp_path / "run", "--url", server.url, "--max-tokens", "3")
        again = server.engine.generate(tokenize("completes this"), Steering(), max_tokens=3, seed=0, salt="another")
    (trace,) = (each for each in read_traces(tmp_path / "run" / "traces.parquet") if each.request_id == "c")
    np.testing.assert_array_equal(trace.ids, again.trace.ids.to_numpy())
    assert trace.token_ids.tolist() == [row.token_id for row in again.rows]


def test_every_request_is_unsteered_greedy_and_shares_no_prefix(prompts_file, tmp_path):
    with serving(FakeServer()) as server:
        run(prompts_file, "-o", tmp_path / "run", "--url", server.url, "--scores")
        bodies = [request.body for request in server.seen if "completions" in request.path]
    assert all(body["temperature"] == 0 and body["steering"] is False for body in bodies)
    assert all(body["routing"] == {"return": ["tokens"], "weights": True, "probabilities": True} for body in bodies)
    assert len({body["cache_salt"] for body in bodies}) == len(PROMPTS)


def test_responses_are_labelled_by_the_first_class_that_matches(prompts_file, tmp_path):
    with serving(RefusingServer()) as server:
        result = run(
            prompts_file,
            "-o",
            tmp_path / "run",
            "--url",
            server.url,
            "--class",
            "refused=^I cannot",
            "--class",
            "any=P",
        )
    assert result.exit_code == 0, result.output
    labels = labels_of(tmp_path / "run")
    assert labels["b"]["label"] == "refused"
    assert labels["b"]["prompt_label"] == "harmful"
    assert labels["a"]["label"] == "any"


def test_what_matches_no_class_is_other_and_the_reasoning_is_not_looked_at():
    classes = [parse_class("thinks=well"), parse_class("refused=(?i)i cannot")]
    assert class_of("Paris", classes) == "other"
    assert class_of("Well, I CANNOT", classes) == "refused"


def test_answers_are_right_where_they_are_as_expected_and_unjudged_where_nothing_is(prompts_file, tmp_path):
    with serving(RefusingServer(text="Rome")) as server:
        run(prompts_file, "-o", tmp_path / "run", "--url", server.url)
    labels = labels_of(tmp_path / "run")
    assert "right" not in labels["a"]
    assert labels["c"]["right"] is False
    assert labels["d"]["right"] is True


def test_the_folder_says_which_model_plans_are_for(prompts_file, tmp_path):
    with serving(FakeServer()) as server:
        run(prompts_file, "-o", tmp_path / "run", "--url", server.url)
    assert load_model(tmp_path / "run" / "model.json") == MODEL


async def test_a_run_that_was_cut_off_goes_on_without_asking_twice(prompts_file, tmp_path):
    prompts = [Prompt(id=f"p{number}", prompt=f"word {number}") for number in range(9)]
    stop = Stop()
    with serving(FakeServer()) as server:
        async with AsyncPolyglyph(server.url) as client:
            is_whole = await ask_prompts(
                client,
                prompts,
                tmp_path / "run",
                concurrency=1,
                stop=stop,
                watch=lambda done, _: done == 4 and stop.ask(),
            )
            assert not is_whole
            assert not (tmp_path / "run" / "labels.jsonl").exists()
            assert await ask_prompts(client, prompts, tmp_path / "run", concurrency=2)
            asked = [request.body["prompt"] for request in server.seen if request.path == "/v1/completions"]
            assert sorted(asked) == sorted(prompt.prompt for prompt in prompts)
            # A whole run asks nothing more.
            assert await ask_prompts(client, prompts, tmp_path / "run")
    assert len(asked) == len(prompts)
    assert list(labels_of(tmp_path / "run")) == [prompt.id for prompt in prompts]
    assert len(list(read_traces(tmp_path / "run" / "traces.parquet"))) == len(prompts)


def test_a_prompt_that_the_server_refuses_ends_the_run_with_its_name_and_keeps_the_others(prompts_file, tmp_path):
    with serving(RefusingServer(breaks_at="bomb")) as server:
        result = run(prompts_file, "-o", tmp_path / "run", "--url", server.url, "--concurrency", "1")
        assert isinstance(result.exception, RequestError)
        assert "prompt 'b'" in str(result.exception)
        server.breaks_at = ""
        assert run(prompts_file, "-o", tmp_path / "run", "--url", server.url).exit_code == 0
        asked = [request.body for request in server.seen if "completions" in request.path]
    assert len(asked) == len(PROMPTS) + 1


def test_a_folder_of_another_run_is_refused_and_left_alone(prompts_file, tmp_path):
    with serving(FakeServer()) as server:
        run(prompts_file, "-o", tmp_path / "run", "--url", server.url)
        before = (tmp_path / "run" / "labels.jsonl").read_bytes()
        other = run(prompts_file, "-o", tmp_path / "run", "--url", server.url, "--max-tokens", "7")
        assert isinstance(other.exception, IdentificationError)
        assert "another run" in str(other.exception)
        foreign = run(prompts_file, "-o", tmp_path, "--url", server.url)
        assert "holds no labelled run" in str(foreign.exception)
    assert (tmp_path / "run" / "labels.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "found none"),
        ([{"id": "a"}], "either 'messages' or 'prompt'"),
        ([{"id": "a", "prompt": "x", "expcted": ["y"]}], "expcted"),
        ([{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}], "there twice"),
        ([{"id": "a", "prompt": "x", "labels": {"phase": "y"}}], "phase"),
        ([{"id": "a", "prompt": "x", "chat_template_kwargs": {}}], "no template"),
        ([{"id": 5, "prompt": "x"}], "id"),
    ],
)
def test_a_prompts_file_that_is_wrong_is_refused_with_the_place(tmp_path, rows, text):
    with pytest.raises(IdentificationError, match=text):
        read_prompts(written(tmp_path / "p.jsonl", rows))


@pytest.mark.parametrize("text", ["refused", "=x", "refused=(", "other=x"])
def test_a_class_without_name_or_pattern_is_refused(text):
    with pytest.raises(IdentificationError, match="--class"):
        parse_class(text)


def test_options_are_what_a_run_is_told_apart_by():
    plain, classed = AskingOptions(), AskingOptions(classes=(parse_class("a=b"),))
    assert plain.to_json() != classed.to_json()
