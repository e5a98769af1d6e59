"""The expert set document: what it accepts, what it refuses with which path, and the arrays it stands for."""

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from polyglyph.contract.errors import ImpossibleEditError, PlanMismatchError, RequestError
from polyglyph.contract.expert_set import (
    ExpertSet,
    check_expert_set,
    layer_experts,
    load_expert_set,
    parse_expert_set,
)
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription

MODEL = {
    "architecture": "Qwen3MoeForCausalLM",
    "layers": 6,
    "experts": 16,
    "top_k": 2,
    "fingerprint": "sha256:" + "a" * 64,
}
SET = {
    "schema": "polyglyph.experts/1",
    "name": "core",
    "model": MODEL,
    "experts": [{"layer": 3, "experts": [1, 5], "weights": [1.0, -1.5]}, {"layer": 0, "experts": [15]}],
}

pairs = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 15)), st.floats(-1e6, 1e6), min_size=1)


def described(**router: Any) -> ModelDescription:
    """Give a model whose layers are all alike."""
    binding = ModelBinding.model_validate(MODEL)
    fields = {"kind": "softmax", "experts": 16, "top_k": 2, **router}
    routers = tuple(RouterDescription(layer=at, model_layer=at, name=f"{at}", **fields) for at in range(6))
    return ModelDescription(binding=binding, routers=routers)


def test_a_set_stands_for_members_and_weights_by_layer_and_expert() -> None:
    experts = parse_expert_set(SET)
    assert {(layer, expert) for layer, expert in np.argwhere(experts.member_LE)} == {(3, 1), (3, 5), (0, 15)}
    assert (experts.weight_LE[3, 1], experts.weight_LE[3, 5], experts.weight_LE[0, 15]) == (1.0, -1.5, 1.0)
    assert np.count_nonzero(experts.weight_LE) == experts.num_experts == 3


@given(pairs, st.booleans())
def test_a_set_survives_being_written_and_read(weights: dict[tuple[int, int], float], is_guard: bool) -> None:
    fields = {"name": "any", "model": ModelBinding.model_validate(MODEL), "guard": is_guard, "bias": 0.25}
    experts = ExpertSet.model_validate({**fields, "experts": layer_experts(weights)})
    again = parse_expert_set(json.loads(json.dumps(experts.to_json())))
    assert again == experts
    assert again.fingerprint == experts.fingerprint
    assert {pair: again.weight_LE[pair] for pair in weights} == weights


def test_pairs_without_weights_make_a_set_without_weights() -> None:
    assert [entry.model_dump(exclude_none=True) for entry in layer_experts([(2, 7), (0, 1), (2, 3)])] == [
        {"layer": 0, "experts": (1,)},
        {"layer": 2, "experts": (3, 7)},
    ]


@pytest.mark.parametrize("field", ["name", "description", "provenance"])
def test_the_fingerprint_does_not_know_what_a_set_is_called(field: str) -> None:
    other = {"name": "other", "description": "of another", "provenance": {"method": "by hand"}}
    assert parse_expert_set(SET | {field: other[field]}).fingerprint == parse_expert_set(SET).fingerprint


@pytest.mark.parametrize("change", [{"bias": 0.0}, {"threshold": 0.7}, {"guard": True}, {"phase": "answer"}])
def test_the_fingerprint_knows_what_a_set_means(change: dict[str, Any]) -> None:
    assert parse_expert_set(SET | change).fingerprint != parse_expert_set(SET).fingerprint


@pytest.mark.parametrize(
    ("change", "threshold"),
    [({}, None), ({"bias": 0.0}, 0.5), ({"bias": 0.0, "threshold": 0.0}, 0.0), ({"threshold": 0.2}, 0.2)],
)
def test_a_set_with_a_bias_has_a_threshold_of_one_half_unless_it_names_one(
    change: dict[str, Any], threshold: float | None
) -> None:
    assert parse_expert_set(SET | change).threshold_in_force == threshold


def entry(**fields: Any) -> dict[str, Any]:
    return {"experts": [{"layer": 3, "experts": [1, 5], **fields}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"surprise": 1}, "experts.surprise"),
        ({"schema": "polyglyph.plan/1"}, "experts.schema"),
        ({"name": "../up"}, "experts.name"),
        ({"experts": []}, "experts.experts"),
        ({"bias": float("nan")}, "experts.bias"),
        ({"threshold": 1.5}, "experts.threshold"),
        ({"phase": "thinking"}, "experts.phase"),
        ({"guard": 1}, "experts.guard"),
        (entry(layer=6), "experts"),
        (entry(layer=-1), "experts.experts[0].layer"),
        (entry(experts=[16]), "experts"),
        (entry(experts=[]), "experts.experts[0].experts"),
        (entry(experts=[1, 1]), "experts.experts[0]"),
        (entry(weights=[1.0]), "experts.experts[0]"),
        (entry(weights=[1.0, float("inf")]), "experts.experts[0].weights[1]"),
        (entry(weights=[1.0, 1e7]), "experts.experts[0].weights[1]"),
        ({"experts": [{"layer": 3, "experts": [1]}, {"layer": 3, "experts": [2]}]}, "experts"),
    ],
)
def test_a_set_that_means_nothing_is_refused_with_its_path(change: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refusal:
        parse_expert_set(SET | change)
    assert refusal.value.param == param


def test_a_set_for_another_model_is_refused_with_both_fingerprints() -> None:
    other = parse_expert_set(SET | {"model": MODEL | {"fingerprint": "sha256:" + "b" * 64}})
    with pytest.raises(PlanMismatchError, match=r"sha256:bbbb.*sha256:aaaa"):
        check_expert_set(other, described())


def test_an_expert_that_a_layer_lacks_is_refused_with_its_entry() -> None:
    with pytest.raises(ImpossibleEditError) as refusal:
        check_expert_set(parse_expert_set(SET), described(experts=15))
    assert refusal.value.param == "experts.experts[1].experts"
    check_expert_set(parse_expert_set(SET), described())


def test_a_file_that_is_no_set_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "core.experts.json"
    file.write_text(json.dumps(SET | {"name": 3}))
    with pytest.raises(RequestError, match=r"core\.experts\.json\.name"):
        load_expert_set(file)
    file.write_text(json.dumps(SET))
    assert load_expert_set(file) == parse_expert_set(SET)
