"""Rewiring against a server whose loss falls towards a hidden vector: what is chosen, held out, counted and refused."""

import asyncio
import json
from contextlib import contextmanager

import numpy as np
import pytest

from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.identification.rewiring.candidates import directions_of
from polyglyph.analysis.identification.rewiring.context import Context, read_messages
from polyglyph.analysis.identification.rewiring.rewire import Options, rewire
from polyglyph.analysis.search.frequencies import ScriptFrequencies
from polyglyph.clients.async_client import AsyncPolyglyph
from polyglyph.clients.errors import AnswerError
from polyglyph.contract.steering import SteeringRequest, parse_steering
from tests.clients.fake_engine import MODEL, NUM_EXPERTS, NUM_LAYERS
from tests.support import loopback

SHAPE = (NUM_LAYERS, NUM_EXPERTS)
CHAT = Context(body={"messages": [{"role": "user", "content": "abcdefghijk"}]})


class Scoring:
    """A model of tokens whose loss is the squared distance from a wanted vector, of either half of the context."""

    def __init__(self, first, second=None, *, num_tokens=12, ignores=False):
        self.wanted = (first, first if second is None else second)
        self.num_tokens, self.ignores, self.bodies = num_tokens, ignores, []

    def answer(self, asked):
        if asked.path == "/v1/models":
            return 200, {"data": [{"id": "fake"}]}
        if asked.path == "/v1/routing/model":
            return 200, {**MODEL.model_dump(mode="json"), "workers": []}
        self.bodies.append(asked.body)
        steering = parse_steering(asked.body["steering"])
        vector = np.zeros(SHAPE)
        for edit in steering.edits if isinstance(steering, SteeringRequest) else ():
            vector[edit.layer, list(edit.experts)] += edit.value
        half = (self.num_tokens - 1) // 2
        losses = [float(((vector - self.wanted[place >= half]) ** 2).sum()) for place in range(self.num_tokens - 1)]
        ids = list(range(1, self.num_tokens + 1))
        places = [None, *({str(token): {"logprob": -loss}} for token, loss in zip(ids[1:], losses, strict=True))]
        scored = {"prompt_logprobs": places, "prompt_token_ids": ids}
        applied = isinstance(steering, SteeringRequest) and bool(steering.edits) and not self.ignores
        if asked.path == "/v1/completions":
            return 200, {"choices": [scored], "steering": {"applied": applied}}
        return 200, {"choices": [{}], **scored, "steering": {"applied": applied}}


def wanted(**values):
    vector = np.zeros(SHAPE)
    for place, value in values.items():
        layer, expert = (int(part) for part in place.removeprefix("at_").split("_"))
        vector[layer, expert] = value
    return vector


@contextmanager
def served(scoring):
    with loopback.listening(scoring.answer) as port:
        yield f"http://127.0.0.1:{port}"


def rewired(scoring, options=None, *, context=CHAT, **arguments):
    async def run(url):
        async with AsyncPolyglyph(url) as client:
            return await rewire(client, context, options, **arguments)

    with served(scoring) as url:
        return asyncio.run(run(url))


def test_experts_that_the_context_wants_are_moved_its_way():
    found = rewired(Scoring(wanted(at_0_1=2.0, at_2_5=-1.0)), Options(budget=400, per_round=48))
    vector = {(row["layer"], row["expert"]): row["score"] for row in found.table.to_dicts() if row["chosen"]}
    assert vector[0, 1] > 1.0
    assert vector[2, 5] < -0.5
    loss = found.statistics["loss"]
    assert loss["chosen_on"]["after"] < 0.3 * loss["chosen_on"]["before"]


def test_the_plan_is_what_the_reported_loss_was_measured_with():
    scoring = Scoring(wanted(at_0_1=2.0))
    found = rewired(scoring, Options(budget=60))
    plan = found.plan("conversation")
    vector = np.zeros(SHAPE)
    for edit in plan.edits:
        vector[edit.layer, list(edit.experts)] += edit.value
    expected = float(((vector - scoring.wanted[0]) ** 2).sum())
    assert found.statistics["loss"]["chosen_on"]["after"] == pytest.approx(expected, abs=1e-4)
    assert plan.model == MODEL.binding


def test_overfitting_shows_in_the_held_out_half():
    found = rewired(Scoring(wanted(at_0_1=2.0), wanted(at_0_1=-2.0)), Options(budget=100))
    loss = found.statistics["loss"]
    assert loss["chosen_on"]["change"]["value"] < 0 < loss["held_out"]["change"]["value"]
    assert any("the held-out half did not gain" in note for note in found.notes)


def test_requests_in_parallel_and_one_at_a_time_find_the_same():
    plans = [
        rewired(Scoring(wanted(at_1_3=1.5)), Options(budget=80, concurrency=concurrency)).plan("one")
        for concurrency in (1, 16)
    ]
    assert plans[0].edits == plans[1].edits


@pytest.mark.parametrize("budget", [2, 25, 63])
def test_no_more_is_asked_than_the_budget(budget):
    scoring = Scoring(wanted(at_0_1=2.0))
    found = rewired(scoring, Options(budget=budget))
    assert len(scoring.bodies) == found.statistics["num_requests"] <= budget


def test_known_directions_are_tried_first():
    frequencies = ScriptFrequencies(
        scripts=("Cyrl", "Latn"),
        frequencies_SLE=np.stack([wanted(at_0_1=1.0), wanted(at_2_5=1.0)]),
        num_tokens=(1, 1),
        model_fingerprint="sha256:" + "0" * 64,
        stats_sha256="sha256:" + "0" * 64,
    )
    wants = wanted(at_0_1=1.0, at_2_5=-1.0)
    found = rewired(Scoring(wants), Options(budget=9), directions=directions_of(frequencies))
    assert found.statistics["steps"] == ["+1 towards Cyrl"]
    assert found.statistics["loss"]["chosen_on"]["after"] == 0.0


def test_only_the_named_layers_are_steered():
    found = rewired(Scoring(wanted(at_0_1=2.0, at_1_1=2.0)), Options(budget=150, layers=(1,)))
    assert {edit.layer for edit in found.plan("one").edits} == {1}


def test_a_context_that_nothing_helps_gets_no_plan():
    found = rewired(Scoring(wanted()), Options(budget=60))
    assert found.edits == ()
    assert "lowered the loss of the context's first half: no plan" in found.notes[0]
    with pytest.raises(NothingChosenError):
        found.plan("none")


def test_a_search_that_goes_nowhere_ends_before_its_budget():
    assert rewired(Scoring(wanted()), Options(budget=10_000)).statistics["num_requests"] < 200


def test_a_text_is_scored_as_a_completion():
    scoring = Scoring(wanted(at_0_1=2.0))
    rewired(scoring, Options(budget=10), context=Context(body={"prompt": "abc"}))
    assert {body["prompt"] for body in scoring.bodies} == {"abc"}
    assert {body["prompt_logprobs"] for body in scoring.bodies} == {0}


def test_a_server_that_does_not_steer_is_refused():
    with pytest.raises(IdentificationError, match="expected an answer with applied: True, got False"):
        rewired(Scoring(wanted(at_0_1=2.0), ignores=True), Options(budget=10))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(phases=("answer",)), "name prompt too"),
        (Options(layers=(9,)), "MoE layers 0 to 2, got 9"),
        (Options(budget=1), "2 requests or more"),
    ],
)
def test_options_that_cannot_be_kept_are_refused(options, words):
    with pytest.raises(IdentificationError, match=words):
        rewired(Scoring(wanted()), options)


def test_a_context_of_a_few_tokens_is_refused():
    with pytest.raises(IdentificationError, match="at least 5 tokens, got 3"):
        rewired(Scoring(wanted(), num_tokens=3))


def test_an_answer_without_log_probabilities_is_refused():
    scoring = Scoring(wanted())
    whole = scoring.answer

    def bare(asked):
        status, document = whole(asked)
        return status, {key: value for key, value in document.items() if key != "prompt_logprobs"}

    scoring.answer = bare
    with pytest.raises(AnswerError, match="expected an answer with prompt_logprobs"):
        rewired(scoring)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "expected a list of chat messages"),
        ({"messages": "hello"}, "expected a list of chat messages"),
        ({"messages": [{"role": "user", "content": "a"}], "stream": True}, "leave out stream"),
    ],
)
def test_a_file_that_is_no_chat_is_refused(tmp_path, document, words):
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(document))
    with pytest.raises(IdentificationError, match=words):
        read_messages(path)
