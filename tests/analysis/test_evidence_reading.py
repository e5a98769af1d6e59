"""Stats, traces and labelled runs become the same counts, and what does not fit together is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.joining import join_counts
from polyglyph.analysis.evidence.labelled_run import read_labelled_run
from polyglyph.analysis.evidence.labelled_trace import labelled_traces
from polyglyph.analysis.evidence.reading import read_evidence
from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.evidence.trace_counts import counts_of_traces
from polyglyph.contract.exports.formats import format_of
from polyglyph.contract.exports.writing import write_stats
from tests.analysis.evidence_world import (
    OTHER,
    UNKNOWN,
    labelled,
    shape,
    stats_of,
    trace,
    write_labels,
    write_traces,
)

TWO_TOKENS = [[[0, 1], [2, 3]], [[0, 2], [3, 1]]]
LATN = ("Latn", "Latn", "prompt", "", "a")
CYRL = ("Latn", "Cyrl", "prompt", "", "b")


def save(stats, path):
    with path.open("wb") as file:
        write_stats(stats.snapshot(), file, format=format_of(path))
    return path


def test_a_trace_is_counted_by_token_script_and_phase():
    counts = counts_of_traces([labelled(TWO_TOKENS, scripts=["Latn", "Cyrl"], phases=[0, 2])], shape())
    assert counts.labels.select("script", "phase").rows() == [("Cyrl", "answer"), ("Latn", "prompt")]
    assert counts.selected_NLE.tolist() == [[[1, 0, 1, 0], [0, 1, 0, 1]], [[1, 1, 0, 0], [0, 0, 1, 1]]]
    assert counts.weight_NLE is None


def test_tokens_from_the_prefix_cache_and_unknown_experts_are_not_counted():
    ids = [[[UNKNOWN, UNKNOWN], [UNKNOWN, UNKNOWN]], [[0, UNKNOWN], [3, 1]]]
    counts = counts_of_traces([labelled(ids, computed=[False, True])], shape())
    assert counts.tokens_N.tolist() == [1]
    assert counts.selected_NLE.tolist() == [[[1, 0, 0, 0], [0, 1, 0, 1]]]


def test_weights_are_summed_by_expert():
    weights = [[[0.75, 0.25], [0.5, 0.5]], [[0.5, 0.25], [1.0, 0.0]]]
    counts = counts_of_traces([labelled(TWO_TOKENS, weights=weights)], shape())
    assert counts.weight_NLE.tolist() == [[[1.25, 0.25, 0.25, 0.0], [0.0, 0.0, 0.5, 1.5]]]


@pytest.mark.parametrize(
    ("labels", "tag", "item"), [({"item": "q1"}, "t", "q1"), ({}, "t", "t"), ({"item": ""}, "", "r/0")]
)
def test_an_item_is_the_label_else_the_tag_else_the_sequence(labels, tag, item):
    assert labelled(TWO_TOKENS, labels, tag=tag).item == item


def test_an_expert_that_the_model_has_not_is_refused():
    with pytest.raises(EvidenceError, match=r"expected experts below 4, got 9"):
        counts_of_traces([labelled([[[0, 9], [1, 2]]])], shape())


def test_a_trace_of_another_shape_is_refused_with_both():
    with pytest.raises(EvidenceError, match=r"expected 3 layers of top-2, got 2 of top-2"):
        counts_of_traces([labelled(TWO_TOKENS)], shape(layers=3))


@pytest.mark.parametrize("traces", [[], [labelled(TWO_TOKENS, computed=[False, False])]])
def test_traces_without_a_computed_token_are_refused(traces):
    with pytest.raises(EvidenceError, match="got none that the engine computed"):
        counts_of_traces(traces, shape())


@given(st.lists(st.lists(st.sampled_from([(0, 1), (0, 2), (1, 3), (2, 3)]), min_size=1, max_size=9), max_size=4))
def test_every_token_is_counted_once_in_every_layer(sequences):
    traces = [labelled([[ids, ids[::-1]] for ids in tokens], request_id=str(i)) for i, tokens in enumerate(sequences)]
    if traces:
        counts = counts_of_traces(traces, shape())
        assert (counts.selected_NLE.sum(axis=2) == 2 * counts.tokens_N[:, None]).all()
        assert counts.tokens_N.sum() == sum(map(len, sequences))


def test_stats_are_rows_by_key_with_the_tag_as_item():
    counts = read_counts_of_stats(stats_of((CYRL, 1, [[1, 1, 0, 0]] * 2), (LATN, 2, [[2, 2, 0, 0]] * 2)))
    assert counts.labels.select("item", "script").rows() == [("b", "Cyrl"), ("a", "Latn")]
    assert not counts.has_sequences
    assert counts.tokens_N.tolist() == [1, 2]


def test_stats_without_any_group_are_refused():
    with pytest.raises(EvidenceError, match="nothing was counted yet"):
        read_counts_of_stats(stats_of())


@pytest.mark.parametrize("ending", ["parquet", "npz", "json", "safetensors", "arrow"])
def test_a_stats_file_is_told_by_its_content(tmp_path, ending):
    stats = stats_of((LATN, 2, [[2, 2, 0, 0]] * 2))
    path = save(stats, tmp_path / f"x.{ending}")
    counts = read_evidence(path.rename(tmp_path / "nameless"))
    assert counts.digest == stats.digest
    assert counts.selected_NLE.tolist() == [[[2, 2, 0, 0]] * 2]


def test_a_trace_file_a_folder_of_it_and_a_labelled_run_have_the_same_counts(tmp_path):
    file = write_traces(tmp_path / "traces.parquet", [trace(TWO_TOKENS, request_id="q")])
    alone, folder = read_evidence(file), read_evidence(tmp_path)
    write_labels(tmp_path / "labels.jsonl", [{"request_id": "q", "item": "1", "right": True, "script": "Hani"}])
    run = read_evidence(tmp_path)
    assert alone.selected_NLE.tolist() == folder.selected_NLE.tolist() == run.selected_NLE.tolist()
    assert run.labels.select("item", "right", "prompt_script").rows() == [("1", "true", "Hani")]
    assert alone.digest == folder.digest != run.digest


def test_a_labelled_run_can_be_walked_twice_and_keeps_the_texts(tmp_path):
    write_traces(tmp_path / "traces.parquet", [trace(TWO_TOKENS, request_id="q")])
    write_labels(tmp_path / "labels.jsonl", [{"request_id": "q", "prompt": "Где?", "text": "x", "reasoning": None}])
    run = read_labelled_run(tmp_path)
    first, second = [[one.labels["prompt"] for one in run] for _ in range(2)]
    assert first == second == ["Где?"]
    assert run.counts().labels.columns[-1] == "prompt_bytes"
    assert run.counts().values("prompt_bytes") == ("7",)


def test_only_the_requests_that_the_labels_name_are_counted(tmp_path):
    file = write_traces(tmp_path / "t.parquet", [trace(TWO_TOKENS, request_id=name) for name in "ab"])
    labels = write_labels(tmp_path / "l.jsonl", [{"request_id": "b", "label": "yes"}])
    assert read_evidence(file, labels=labels).labels["sequence"].to_list() == ["b/0"]


def test_a_labelled_request_without_a_trace_is_refused_by_name(tmp_path):
    file = write_traces(tmp_path / "t.parquet", [trace(TWO_TOKENS, request_id="a")])
    labels = write_labels(tmp_path / "l.jsonl", [{"request_id": "a"}, {"request_id": "lost"}])
    with pytest.raises(EvidenceError, match="got none of 1, such as 'lost'"):
        list(labelled_traces(file, labels))


def test_traces_of_two_models_are_refused(tmp_path):
    write_traces(tmp_path / "a.parquet", [trace(TWO_TOKENS)])
    write_traces(tmp_path / "b.parquet", [trace(TWO_TOKENS)], model=shape(fingerprint=OTHER))
    with pytest.raises(EvidenceError, match="read them apart"):
        read_evidence(tmp_path)


def test_counts_of_two_models_are_not_joined():
    counts = read_counts_of_stats(stats_of((LATN, 2, [[2, 2, 0, 0]] * 2)))
    other = read_counts_of_stats(stats_of((LATN, 2, [[2, 2, 0, 0]] * 2), model=shape(fingerprint=OTHER)))
    with pytest.raises(EvidenceError, match=r"two: expected the model sha256:a+ .*got sha256:b+ "):
        join_counts({"one": counts, "two": other})


def test_joined_counts_keep_all_rows_under_their_names():
    stats = read_counts_of_stats(stats_of((LATN, 2, [[2, 2, 0, 0]] * 2)))
    traced = counts_of_traces([labelled(TWO_TOKENS, {"right": "true"})], shape())
    both = join_counts({"sums": stats, "traces": traced}, column="source")
    assert both.labels.select("source", "right").rows() == [("sums", ""), ("traces", "true")]
    assert not both.has_sequences
    assert both.weight_NLE is None


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("[]", "expected a JSON object with the text 'request_id'"),
        ("{", "expected a JSON object"),
        ('{"item": "a"}', "'request_id'"),
        ('{"request_id": "a", "phase": "x"}', "the traces say 'phase' themselves"),
        ('{"request_id": "a", "label": 3}', "expected a text, true or false as 'label', got 3"),
        ('{"request_id": "a"}\n{"request_id": "a"}', "line 2: the request 'a' is there twice"),
        ("", "expected a line of labels per request, got none"),
    ],
)
def test_labels_that_are_not_as_stated_are_refused_by_line(tmp_path, line, match):
    file = write_traces(tmp_path / "t.parquet", [trace(TWO_TOKENS, request_id="a")])
    (tmp_path / "l.jsonl").write_text(line)
    with pytest.raises(EvidenceError, match=match):
        read_evidence(file, labels=tmp_path / "l.jsonl")


def test_what_is_no_evidence_is_refused_with_what_would_be(tmp_path):
    (tmp_path / "x").write_text("hello, world")
    for path in (tmp_path / "x", tmp_path / "absent", tmp_path):
        with pytest.raises(EvidenceError, match=r"expected .*stats"):
            read_evidence(path)


def test_labels_beside_stats_are_refused(tmp_path):
    path = save(stats_of((LATN, 2, [[2, 2, 0, 0]] * 2)), tmp_path / "x.parquet")
    with pytest.raises(EvidenceError, match="labels are for traces"):
        read_evidence(path, labels=tmp_path / "l.jsonl")


def test_a_labelled_run_without_its_traces_is_refused(tmp_path):
    (tmp_path / "labels.jsonl").write_text(json.dumps({"request_id": "a"}))
    with pytest.raises(EvidenceError, match=r"got no traces\.parquet"):
        read_labelled_run(tmp_path)


def test_experts_of_a_model_of_many_are_counted(tmp_path):
    model = shape(layers=1, experts=300, top_k=1)
    one = trace([[[0]]])
    wide = trace([[[0]]], request_id="w")
    object.__setattr__(wide, "ids", np.array([[[299]]], np.uint16))
    object.__setattr__(one, "ids", np.array([[[0]]], np.uint16))
    counts = read_evidence(write_traces(tmp_path / "t.parquet", [one, wide], model=model))
    assert np.flatnonzero(counts.selected_NLE.sum(axis=0)[0]).tolist() == [0, 299]
