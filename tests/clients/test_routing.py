"""What a response tells of its routing comes as arrays that fit together, and adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from polyglyph.clients import AnswerError, Polyglyph, Trace, routing_of
from polyglyph.clients.token_table import shown_layers, token_table
from polyglyph.contract.routing import ArrayDocument, RoutingTokens
from tests.clients.fake_engine import NUM_EXPERTS, NUM_LAYERS, TOP_K

ASKED = {"routing": {"return": ["summary", "tokens"]}}


def completion(client, **settings):
    return client.openai.completions.create(
        model="fake", prompt="a b c d e", max_tokens=4, extra_body=ASKED, **settings
    )


def tokens_of(ids, **changes):
    num_tokens = len(ids)
    fields = {
        "num_tokens": num_tokens,
        "layers": tuple(range(ids.shape[1])),
        "ids": ArrayDocument.from_numpy(ids),
        "token_ids": tuple(range(num_tokens)),
        "scripts": ("Cyrl", "Latn") * (num_tokens // 2) + ("Zyyy",) * (num_tokens % 2),
        "phases": ("prompt",) * num_tokens,
        "computed": (True,) * num_tokens,
        "steered": (False,) * num_tokens,
    }
    return RoutingTokens.model_validate(fields | changes)


def test_a_trace_is_arrays_of_one_row_per_token(server):
    with Polyglyph(server.url) as client:
        trace = routing_of(completion(client)).tokens
    assert trace.ids.shape == (8, NUM_LAYERS, TOP_K)
    assert {len(column) for column in (trace, trace.token_ids, trace.scripts, trace.phases, trace.computed)} == {8}
    assert trace.phases.tolist() == ["prompt"] * 5 + ["answer"] * 3
    assert trace.weights is None
    assert trace.probabilities is None


def test_a_trace_adds_up_to_the_summary(server):
    with Polyglyph(server.url) as client:
        routing = routing_of(completion(client))
    prompt, _, _ = routing.summary.selected.to_numpy()
    trace = routing.tokens
    assert np.array_equal(trace.selected(NUM_EXPERTS, where=trace.phases == "prompt"), prompt)
    assert trace.selected(NUM_EXPERTS).sum() == 8 * NUM_LAYERS * TOP_K


def test_the_last_chunk_of_a_stream_holds_the_same_routing(server):
    with Polyglyph(server.url) as client:
        *_, last = completion(client, stream=True)
        whole = routing_of(completion(client)).tokens
    assert np.array_equal(routing_of(last).tokens.ids, whole.ids)


def test_choices_come_as_sequences_in_their_order(server):
    with Polyglyph(server.url) as client:
        routing = routing_of(completion(client, n=2, temperature=1))
    assert len(routing.sequences) == 2
    assert routing.tokens is None


def test_a_response_without_traces_has_no_sequences():
    routing = routing_of({"routing": {"tag": "a"}})
    assert (routing.sequences, routing.tokens, routing.tag) == ((), None, "a")


def test_vllms_encoding_comes_decoded():
    array = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    encoded = ArrayDocument.from_numpy(array).data
    assert np.array_equal(routing_of({"routing": {"routed_experts": [encoded]}}).routed_experts[0], array)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_tokens": 3},
        {"token_ids": (1,)},
        {"layers": (0,)},
        {"weights": ArrayDocument.from_numpy(np.zeros((2, 1, 2), np.float16))},
        {"ids": ArrayDocument.from_numpy(np.zeros((2, 2), np.uint8))},
        {"ids": ArrayDocument(data="AAAA", dtype="uint8", shape=(2, 2, 2))},
        {"ids": ArrayDocument(data="", dtype="uint8", shape=(2, 2, 2))},
        {"ids": ArrayDocument(data="?", dtype="uint8", shape=(2, 2, 2))},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused_rather_than_read(changes):
    tokens = tokens_of(np.zeros((2, 2, 2), np.uint8)).model_copy(update=changes)
    with pytest.raises(AnswerError, match="damaged array"):
        routing_of({"routing": {"tokens": tokens.model_dump(mode="json", exclude_none=True)}})


@pytest.mark.parametrize("text", ["", "?", "AAAA", "k05VTVBZ"])
def test_a_damaged_encoding_of_vllm_is_refused(text):
    with pytest.raises(AnswerError, match="damaged array"):
        routing_of({"routing": {"routed_experts": [text]}})


@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(2), st.just(3)), elements=st.integers(0, 9)))
def test_selections_by_script_add_up_to_all_selections(ids):
    trace = Trace.decoded(tokens_of(ids))
    by_script = [trace.selected(10, where=trace.scripts == script) for script in ("Cyrl", "Latn", "Zyyy")]
    assert np.array_equal(sum(by_script), trace.selected(10))
    assert trace.selected(10).sum() == ids.size


def test_what_is_no_expert_is_never_counted():
    ids = np.array([[[1, 255]], [[255, 255]]], np.uint8)
    trace = Trace.decoded(tokens_of(ids, computed=(True, False)))
    assert trace.none == 255
    assert trace.selected(4).tolist() == [[0, 1, 0, 0]]


def test_tokens_are_turned_into_text(server):
    with Polyglyph(server.url) as client:
        assert client.detokenize(np.array([3, 4])) == "word3\nword4\n"


@pytest.mark.parametrize("num_layers", [0, 1, 2, 48, 94])
@pytest.mark.parametrize("num_fitting", [-3, 0, 1, 2, 7, 100])
def test_the_layers_shown_fit_and_span_the_model(num_layers, num_fitting):
    shown = list(shown_layers(num_layers, num_fitting=num_fitting))
    assert shown == sorted(set(shown))
    assert len(shown) == min(num_layers, max(1, num_fitting))
    if len(shown) > 1:
        assert (shown[0], shown[-1]) == (0, num_layers - 1)


def test_a_token_from_the_cache_shows_no_expert():
    trace = Trace.decoded(tokens_of(np.full((1, 1, 2), 255, np.uint8), computed=(False,)))
    (*_, experts) = token_table(trace, {0: "\n"}, width=80).columns
    assert list(experts.cells) == ["cached"]
