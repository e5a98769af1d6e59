"""The random control has the plan's edits on other experts of like frequency."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.search.errors import NoControlError
from polyglyph.analysis.search.random_matched import frequency_bins, random_matched
from polyglyph.contract.plan import Plan, parse_plan


def plan_with(edits, *, layers=2, experts=16, name="cyrl-to-latn") -> Plan:
    model = {"architecture": "Qwen3MoeForCausalLM", "layers": layers, "experts": experts, "top_k": 2}
    return parse_plan(
        {
            "schema": "polyglyph.plan/1",
            "name": name,
            "model": {**model, "fingerprint": "sha256:" + "0" * 64},
            "phases": ["prompt"],
            "edits": edits,
        }
    )


def add_std(layer: int, values) -> list[dict]:
    return [
        {"layer": layer, "experts": [expert], "op": "add_std", "value": float(value)}
        for expert, value in enumerate(values)
        if value
    ]


def rising(layers: int, experts: int) -> np.ndarray:
    return np.tile(np.arange(experts) / experts, (layers, 1))


@given(
    st.integers(2, 40).flatmap(
        lambda experts: st.tuples(
            st.lists(st.floats(-3, 3).map(lambda v: round(v, 3)), min_size=experts, max_size=experts),
            st.lists(st.floats(0, 1), min_size=experts, max_size=experts),
        )
    ),
    st.integers(0, 20),
)
def test_every_control_has_the_plans_edits_in_the_same_layer_and_bin(drawn, draw):
    values, frequencies = drawn
    edits = add_std(0, values)
    if not edits:
        return
    plan = plan_with(edits, layers=1, experts=len(values))
    try:
        control = random_matched(plan, np.array([frequencies]), draw=draw)
    except NoControlError:
        return
    bins = frequency_bins(np.array(frequencies))

    def binned(edits):
        return Counter((bins[edit.experts[0]], edit.op, edit.value) for edit in edits)

    assert binned(control.edits) == binned(plan.edits)
    assert control.fingerprint != plan.fingerprint
    assert len({edit.experts for edit in control.edits}) == len(plan.edits)


def test_the_same_draw_is_the_same_control_and_draws_differ():
    plan = plan_with(add_std(0, np.linspace(-1, 1, 16)))
    draws = [random_matched(plan, rising(2, 16), draw=draw) for draw in range(5)]
    assert random_matched(plan, rising(2, 16), draw=3).fingerprint == draws[3].fingerprint
    assert len({control.fingerprint for control in draws}) == 5


@pytest.mark.parametrize(("experts", "bins"), [(1, 1), (7, 1), (8, 2), (16, 4), (39, 9), (128, 10)])
def test_bins_are_deciles_or_hold_at_least_four_experts(experts, bins):
    found = Counter(frequency_bins(np.random.default_rng(0).random(experts)).tolist())
    assert len(found) == bins
    assert min(found.values()) >= min(4, experts)


def test_an_expert_takes_all_of_its_edits_along():
    edits = [
        {"layer": 0, "experts": [5], "op": "force"},
        {"layer": 0, "experts": [5], "op": "scale", "value": 2.0, "renormalize": True},
    ]
    control = random_matched(plan_with(edits), rising(2, 16), draw=1)
    assert len({edit.experts for edit in control.edits}) == 1
    assert control.edits[0].experts != (5,)


@pytest.mark.parametrize(
    ("plan", "frequencies"),
    [
        (plan_with([]), rising(2, 16)),
        (plan_with(add_std(0, [1.0] * 16)), rising(2, 16)),
        (plan_with(add_std(0, [1.0]), layers=1, experts=1), rising(1, 1)),
        (plan_with(add_std(0, [1.0])), rising(2, 8)),
        (plan_with(add_std(0, [1.0])), np.full((2, 16), np.nan)),
    ],
    ids=["no edits", "all alike", "one expert", "another shape", "no tokens"],
)
def test_a_plan_without_a_control_is_refused_with_the_reason(plan, frequencies):
    with pytest.raises(NoControlError):
        random_matched(plan, frequencies, draw=0)


def test_a_long_name_still_makes_a_plan():
    plan = plan_with(add_std(0, [1.0]), name="x" * 64)
    control = random_matched(plan, rising(2, 16), draw=12)
    assert parse_plan(control.to_json()).name.endswith("-random-12")
