"""Compositions: which plans and dials may be in force together, and what a refusal names."""

from itertools import permutations
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from polyglyph.contract.composition import Part, check_together
from polyglyph.contract.edits import check_edits
from polyglyph.contract.errors import GuardedExpertError, ImpossibleEditError, PlanConflictError
from polyglyph.contract.expert_set import parse_expert_set
from polyglyph.contract.guard import Guard
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import Edit, Plan

BINDING = ModelBinding(architecture="Some", layers=3, experts=8, top_k=2, fingerprint="sha256:" + "a" * 64)


def described(**router: Any) -> ModelDescription:
    fields = {"kind": "softmax", "experts": 8, "top_k": 2, **router}
    routers = tuple(RouterDescription(layer=at, model_layer=at, name=f"{at}", **fields) for at in range(3))
    return ModelDescription(binding=BINDING, routers=routers)


def edit(op: str, *experts: int, layer: int = 1, **fields: Any) -> Edit:
    return Edit.model_validate({"layer": layer, "experts": experts, "op": op, **fields})


def add(value: float, *experts: int, op: str = "add", layer: int = 1) -> Edit:
    return edit(op, *experts, layer=layer, value=value)


def scale(value: float, *experts: int, layer: int = 1, **fields: Any) -> Edit:
    return edit("scale", *experts, layer=layer, value=value, **fields)


def part(name: str, *edits: Edit) -> Part:
    return Part(f"the plan '{name}'", f"steering.plan[{name}]", edits)


def together(*parts: Part, model: ModelDescription | None = None) -> None:
    check_together(parts, model or described(), strength=1.0, param="steering.plan")


CONTRADICTIONS = {
    "banned and forced": (edit("ban", 3), edit("force", 3)),
    "banned and pushed up": (edit("ban", 3, 4), add(0.1, 4, 5)),
    "banned and pushed up in deviations": (edit("ban", 3), add(0.5, 3, op="add_std")),
    "banned and scaled": (edit("ban", 3), scale(0.5, 3)),
    "forced and pushed down": (edit("force", 3), add(-0.1, 3)),
    "forced and scaled to 0": (edit("force", 3), scale(0.0, 3)),
    "pushed up and down": (add(1.0, 3), add(-1.0, 3)),
    "pushed up and, in deviations, down": (add(1.0, 3), add(-1.0, 3, op="add_std")),
    "scaled twice": (scale(2.0, 3), scale(2.0, 3)),
    "scaled and scaled to 0": (scale(2.0, 3), scale(0.0, 3)),
}


@pytest.mark.parametrize("edits", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_plans_that_want_opposite_things_of_one_expert_are_refused_by_name_in_either_order(
    edits: tuple[Edit, Edit],
) -> None:
    both = sorted(set(edits[0].experts) & set(edits[1].experts))
    for first, second in permutations(edits):
        with pytest.raises(PlanConflictError) as refusal:
            together(part("a", first), part("b", second))
        assert refusal.value.param == "steering.plan[b]"
        for words in ("the plan 'a'", "the plan 'b'", f"expert {both[0]} of layer 1"):
            assert words in str(refusal.value)


@pytest.mark.parametrize("edits", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_the_same_wishes_for_different_experts_or_layers_go_together(edits: tuple[Edit, Edit]) -> None:
    first, second = edits
    together(part("a", first), part("b", second.model_copy(update={"layer": 2})))
    together(part("a", first), part("b", second.model_copy(update={"experts": (0,)})))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (add(1.0, 3), add(0.5, 3)),
        (add(-1.0, 3), add(-0.5, 3, op="add_std")),
        (edit("ban", 3), edit("ban", 3)),
        (edit("ban", 3), add(-1.0, 3)),
        (edit("ban", 3), scale(0.0, 3)),
        (edit("force", 3), add(1.0, 3)),
        (edit("force", 3), edit("force", 3)),
        (edit("force", 3), scale(2.0, 3)),
        (add(1.0, 3), scale(0.5, 3)),
        (edit("ban", 3), add(0.0, 3)),
        (scale(2.0, 3), scale(2.0, 4)),
        (scale(2.0, 3, renormalize=True), scale(2.0, 4, renormalize=True)),
        (scale(2.0, 3, renormalize=True), scale(2.0, 3, layer=2)),
    ],
)
def test_plans_that_pull_the_same_way_go_together(first: Edit, second: Edit) -> None:
    for one, other in permutations((first, second)):
        together(part("a", one), part("b", other))


def test_plans_of_which_one_renormalizes_a_layer_are_refused() -> None:
    with pytest.raises(PlanConflictError, match=r"'a' and the plan 'b' .* layer 1: .*expert 3.*expert 4") as refusal:
        together(part("a", scale(2.0, 3, renormalize=True)), part("b", scale(2.0, 4)))
    assert refusal.value.param == "steering.plan[b]"


def test_more_forced_experts_than_are_selected_are_refused_with_each_plans_share() -> None:
    parts = (part("a", edit("force", 0, 1)), part("b", add(1.0, 7)), part("c", edit("force", 1, 2)))
    with pytest.raises(PlanConflictError) as refusal:
        together(*parts)
    assert "layer 1 selects 2 experts per token, so at most 2 can be forced" in str(refusal.value)
    assert "the plan 'a' forces 0, 1, the plan 'c' forces 1, 2" in str(refusal.value)
    assert "'b'" not in str(refusal.value)
    together(part("a", edit("force", 0, 1)), part("c", edit("force", 1, 0)))


def test_fewer_experts_left_than_are_selected_are_refused_with_each_plans_share() -> None:
    with pytest.raises(PlanConflictError) as refusal:
        together(part("a", edit("ban", 0, 1, 2, 3)), part("b", edit("ban", 3, 4, 5, 6)))
    assert "the plan 'a' bans 0, 1, 2, 3, the plan 'b' bans 3, 4, 5, 6" in str(refusal.value)
    together(part("a", edit("ban", 0, 1, 2, 3)), part("b", edit("ban", 2, 3, 4, 5)))


def test_limits_of_grouped_routers_hold_for_all_plans_together() -> None:
    grouped = described(groups=4, top_groups=1)
    together(part("a", edit("force", 0)), part("b", edit("force", 1)), model=grouped)
    with pytest.raises(PlanConflictError, match=r"'a' and the plan 'b' are not possible together.*groups"):
        together(part("a", edit("force", 0)), part("b", edit("force", 7)), model=grouped)


experts = st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True)
layers = st.integers(0, 2)
edits = st.one_of(
    st.builds(lambda layer, of: edit("ban", *of, layer=layer), layers, experts),
    st.builds(lambda layer, of: edit("force", *of[:2], layer=layer), layers, experts),
    st.builds(lambda layer, of, value: add(value, *of, layer=layer), layers, experts, st.floats(-2, 2)),
    st.builds(lambda layer, of, value: scale(value, *of, layer=layer), layers, experts, st.floats(0, 2)),
)


def is_possible(of: list[Edit]) -> bool:
    try:
        check_edits(of, described(), strength=1.0, param="edits")
    except ImpossibleEditError:
        return False
    return True


plans = st.lists(st.lists(edits, max_size=4).filter(is_possible), min_size=2, max_size=3)


@given(plans)
def test_what_goes_together_is_possible_and_does_so_in_every_order(of: list[list[Edit]]) -> None:
    answers = set()
    for order in permutations(range(len(of))):
        try:
            together(*(part(str(index), *of[index]) for index in order))
        except PlanConflictError:
            answers.add(False)
        else:
            answers.add(True)
            assert is_possible([edit for index in order for edit in of[index]])
    assert len(answers) == 1


GUARD = {
    "name": "super",
    "model": BINDING.model_dump(),
    "guard": True,
    "experts": [{"layer": 1, "experts": [3, 5]}, {"layer": 2, "experts": [0]}],
}


@pytest.mark.parametrize("taken", [edit("ban", 1, 5, 3), scale(0.0, 5, 3)])
def test_a_guard_refuses_to_take_its_experts_out_and_names_them(taken: Edit) -> None:
    guard = Guard([parse_expert_set(GUARD)])
    with pytest.raises(
        GuardedExpertError, match=r"expert 5, 3 of layer 1 out, which the expert set 'super' guards"
    ) as no:
        guard.check([add(1.0, 3), taken], param="steering.edits", allowed_by="'steering'")
    assert no.value.param == "steering.edits[1].experts"
    assert "'allow_super_experts' in 'steering'" in str(no.value)


@pytest.mark.parametrize(
    "kept", [edit("ban", 3, layer=0), edit("ban", 1), scale(0.5, 3), add(-9.0, 3), edit("force", 3)]
)
def test_a_guard_lets_everything_else_through(kept: Edit) -> None:
    Guard([parse_expert_set(GUARD)]).check([kept], param="edits", allowed_by="it")


def test_a_set_that_is_no_guard_guards_nothing() -> None:
    Guard([parse_expert_set(GUARD | {"guard": False})]).check([edit("ban", 3)], param="edits", allowed_by="it")


def test_a_plan_may_say_that_it_means_it_and_other_plans_keep_their_fingerprints() -> None:
    document = {"schema": "polyglyph.plan/1", "name": "a", "model": BINDING.model_dump(), "edits": (edit("ban", 3),)}
    plan, bold = Plan.model_validate(document), Plan.model_validate(document | {"allow_super_experts": True})
    guard = Guard([parse_expert_set(GUARD)])
    with pytest.raises(GuardedExpertError):
        guard.check_plan(plan, root="plan")
    guard.check_plan(bold, root="plan")
    assert "allow_super_experts" not in plan.to_json()
    assert bold.to_json()["allow_super_experts"] is True
    assert plan.fingerprint == Plan.model_validate(document | {"allow_super_experts": False}).fingerprint
    assert plan.fingerprint != bold.fingerprint
