"""Frequencies, bands and directions are what the stats say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polyglyph.analysis.search.bands import Band, bands_of
from polyglyph.analysis.search.direction import (
    DirectionKind,
    Operation,
    added,
    direction_of,
    plan_name,
    plan_of,
    switched,
)
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.frequencies import script_frequencies
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums

FINGERPRINT = "sha256:" + "a" * 64
PAIR = ("Cyrl", "Latn")


def binding(layers=2, experts=4, fingerprint=FINGERPRINT) -> ModelBinding:
    return ModelBinding(
        architecture="Qwen3MoeForCausalLM", layers=layers, experts=experts, top_k=2, fingerprint=fingerprint
    )


def group(script, selected, *, tokens=10, plan="", tag="", phase="prompt") -> GroupSums:
    selected = np.array(selected, dtype=np.int64)
    return GroupSums(
        key=GroupKey("Latn", script, phase, plan, tag),
        tokens=tokens,
        cached_tokens=0,
        selected_LE=selected,
        weight_sum_LE=selected / 2.0,
    )


def stats(*groups, layers=2, experts=4) -> LoadedStats:
    header = StatsHeader(
        model_fingerprint=FINGERPRINT,
        layers=layers,
        experts=experts,
        top_k=2,
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T00:00:00Z",
        versions={},
    )
    return LoadedStats(header=header, groups=groups)


LATN = [[10, 10, 0, 0], [5, 5, 5, 5]]
CYRL = [[0, 0, 10, 10], [5, 5, 5, 5]]
GEOR = [[0, 10, 10, 0], [5, 5, 5, 5]]


def three():
    return script_frequencies(
        stats(group("Latn", LATN), group("Cyrl", CYRL), group("Geor", GEOR)), ["Latn", "Cyrl", "Geor"]
    )


def test_phases_and_request_scripts_are_added_and_steered_tokens_are_not():
    found = script_frequencies(
        stats(
            group("Latn", LATN, phase="prompt"),
            group("Latn", LATN, phase="answer", tag="x"),
            group("Latn", CYRL, plan="sha256:" + "b" * 64),
            group("Cyrl", CYRL),
        ),
        ["Latn", "Cyrl"],
        model=binding(),
    )
    assert found.of("Latn").tolist() == [[1.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]]
    assert found.num_tokens == (10, 20)


def test_a_tag_keeps_other_text_out():
    found = script_frequencies(stats(group("Latn", LATN, tag="a"), group("Latn", CYRL, tag="b")), ["Latn"], tag="a")
    assert found.of("Latn")[0].tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("stats", "options", "text"),
    [
        (stats(group("Latn", LATN)), {"scripts": ["Latn", "Geor"]}, "Geor"),
        (stats(group("Latn", np.zeros((2, 4)), tokens=0)), {"scripts": ["Latn"]}, "none at all"),
        (stats(group("Latn", LATN, plan="sha256:" + "b" * 64)), {"scripts": ["Latn"]}, "unsteered"),
        (stats(group("*", LATN)), {"scripts": ["Latn"]}, "'script'"),
        (stats(group("Latn", LATN, plan="*")), {"scripts": ["Latn"]}, "'plan'"),
        (stats(group("Latn", LATN, tag="*")), {"scripts": ["Latn"], "tag": "a"}, "'tag'"),
        (stats(group("Latn", LATN, tag="b")), {"scripts": ["Latn"], "tag": "a"}, "'a'"),
        (stats(group("Latn", LATN)), {"scripts": ["Latn"], "model": binding(3)}, "another model"),
        (
            stats(group("Latn", LATN)),
            {"scripts": ["Latn"], "model": binding(fingerprint="sha256:" + "c" * 64)},
            "another model",
        ),
        (stats(), {"scripts": []}, "any script"),
    ],
)
def test_stats_that_cannot_tell_are_refused_with_the_reason(stats, options, text):
    with pytest.raises(SearchError, match=text):
        script_frequencies(stats, **options)


def test_information_is_all_where_routing_tells_the_script_and_none_where_it_does_not():
    found = script_frequencies(stats(group("Latn", LATN), group("Cyrl", CYRL)), ["Latn", "Cyrl"])
    assert found.information_L.tolist() == pytest.approx([1.0, 0.0])


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 8)).flatmap(
        lambda shape: arrays(np.int64, shape, elements=st.integers(1, 50))
    )
)
def test_information_is_a_share(selected_SLE):
    names = ["Latn", "Cyrl", "Deva", "Geor"][: len(selected_SLE)]
    _, layers, experts = selected_SLE.shape
    groups = (group(name, selected_LE) for name, selected_LE in zip(names, selected_SLE, strict=True))
    found = script_frequencies(stats(*groups, layers=layers, experts=experts), names)
    assert ((found.information_L > -1e-9) & (found.information_L < 1 + 1e-9)).all()


def test_each_direction_subtracts_what_it_says():
    frequencies = three()
    latn, cyrl, geor = (frequencies.of(script) for script in ("Latn", "Cyrl", "Geor"))
    kinds = {kind: direction_of(frequencies, PAIR, kind=kind) for kind in DirectionKind}
    assert (kinds[DirectionKind.RISK_DIFFERENCE] == latn - cyrl).all()
    assert np.allclose(kinds[DirectionKind.HOME_MINUS_MEAN], latn - (cyrl + geor) / 2)
    assert np.allclose(kinds[DirectionKind.AWAY], (latn + geor) / 2 - cyrl)


def test_away_needs_no_source():
    frequencies = three()
    anywhere = direction_of(frequencies, ("Cyrl", "*"), kind=DirectionKind.AWAY)
    assert (anywhere == direction_of(frequencies, PAIR, kind=DirectionKind.AWAY)).all()


def test_a_script_that_was_not_counted_has_no_direction():
    with pytest.raises(SearchError, match="Deva"):
        direction_of(three(), ("Deva", "Latn"), kind=DirectionKind.RISK_DIFFERENCE)


def test_one_script_has_no_others():
    found = script_frequencies(stats(group("Latn", LATN)), ["Latn"])
    with pytest.raises(SearchError, match="two scripts"):
        found.mean_of_others("Latn")


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        ([0.9, 0.8, 0.1, 0.1, 1.0, 1.0], ([0, 1], [2, 3], [4, 5])),
        ([1.0, 0.1, 0.9, 0.1, 1.0], ([0], [1, 2, 3], [4])),
        ([1.0, 0.8, 0.2], ([0, 1], [2], [])),
        ([0.1, 0.8, 0.9], ([], [0], [1, 2])),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], ([0, 1], [2, 3, 4], [5, 6])),
        ([0.5], ([], [0], [])),
        ([0.0, 1.0], ([], [0], [1])),
    ],
)
def test_the_middle_is_the_valley(information, expected):
    bands = bands_of(np.array(information))
    assert tuple(list(bands.layers[band]) for band in Band) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=64))
def test_every_layer_is_in_one_band(information):
    bands = bands_of(np.array(information))
    assert [layer for band in Band for layer in bands.layers[band]] == list(range(len(information)))


def test_added_edits_are_the_direction_times_the_layers_strength():
    direction = np.array([[0.5, -0.25, 0.0, 0.0001], [1.0, 0.0, 0.0, 0.0]])
    edits = added(direction, {0: 2.0})
    assert [(edit.layer, edit.experts, edit.value) for edit in edits] == [(0, (0,), 1.0), (0, (1,), -0.5)]


def test_forced_experts_are_the_sources_and_banned_ones_the_querys():
    direction = np.array([[0.5, -0.25, 0.1, -0.9], [0.0, 0.0, 0.0, 0.0]])
    forced = switched(direction, [0, 1], operation=Operation.FORCE, num_experts=1)
    banned = switched(direction, [0, 1], operation=Operation.BAN, num_experts=3)
    assert [(edit.layer, edit.experts, edit.op) for edit in forced] == [(0, (0,), "force")]
    assert [(edit.layer, edit.experts, edit.op) for edit in banned] == [(0, (1, 3), "ban")]


def test_scripts_that_are_routed_alike_have_no_plan():
    with pytest.raises(SearchError, match="cyrl-to-latn"):
        plan_of((), PAIR, model=binding(), phases=("prompt",), description="")


def test_plans_are_named_by_their_pair():
    assert plan_name(PAIR) == "cyrl-to-latn"
    assert plan_name(("Cyrl", "*")) == "cyrl-to-any"
