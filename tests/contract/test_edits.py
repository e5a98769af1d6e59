"""Which edits a model can honour: what is let pass can be selected, and what is refused could not."""

from itertools import combinations
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from polyglyph.contract.edits import check_binding, check_edits
from polyglyph.contract.errors import ImpossibleEditError, PlanMismatchError
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import Edit, parse_plan
from polyglyph.kernels.steer_route import SelectionRule
from polyglyph.kernels.steer_route.edits import BANNED, FORCED
from polyglyph.kernels.steer_route.reference import edit_logits, select

BINDING = ModelBinding(architecture="M", layers=2, experts=8, top_k=3, fingerprint="sha256:" + "a" * 64)


def model(*, groups: int = 1, top_groups: int = 1, ops: Any = None) -> ModelDescription:
    fields: dict[str, Any] = {} if ops is None else {"ops": ops}
    router = RouterDescription(
        layer=0, model_layer=3, name="m.3", kind="softmax", experts=8, top_k=3, groups=groups, top_groups=top_groups
    ).model_copy(update=fields)
    return ModelDescription(binding=BINDING, routers=(router, router.model_copy(update={"layer": 1})))


def ban(*experts: int) -> Edit:
    return Edit(layer=0, experts=experts, op="ban")


def force(*experts: int) -> Edit:
    return Edit(layer=0, experts=experts, op="force")


@pytest.mark.parametrize(
    ("edits", "strength", "param"),
    [
        ([Edit(layer=2, experts=(0,), op="ban")], 1.0, "edits[0].layer"),
        ([ban(8)], 1.0, "edits[0].experts"),
        ([ban(0), force(0)], 1.0, "edits[1].experts"),
        ([force(0, 1), force(2, 3)], 1.0, "edits[1].experts"),
        ([ban(0, 1, 2), ban(3, 4, 5)], 1.0, "edits[1].experts"),
        ([ban(0)], -1.0, "edits[0].op"),
        ([Edit(layer=0, experts=(1,), op="scale", value=0.0)], -0.5, "edits[0].value"),
        (
            [
                Edit(layer=0, experts=(1,), op="scale", value=2.0, renormalize=True),
                Edit(layer=0, experts=(2,), op="scale", value=2.0),
            ],
            1.0,
            "edits[1].renormalize",
        ),
    ],
)
def test_edits_that_cannot_be_honoured_are_refused_with_their_path(
    edits: list[Edit], strength: float, param: str
) -> None:
    with pytest.raises(ImpossibleEditError) as refused:
        check_edits(edits, model(), strength=strength, param="edits")
    assert refused.value.param == param


def test_edits_of_different_layers_do_not_add_up() -> None:
    check_edits([ban(0, 1, 2, 3), Edit(layer=1, experts=(4, 5, 6), op="ban")], model(), strength=1.0, param="edits")


def test_an_operation_that_a_layer_does_not_offer_is_refused_with_the_layers_name() -> None:
    with pytest.raises(ImpossibleEditError, match=r"layer 0 \(m\.3\).*cannot honour 'ban'; it honours scale"):
        check_edits([ban(0)], model(ops=("scale",)), strength=1.0, param="edits")


def test_a_plan_for_another_model_is_refused_with_both_fingerprints() -> None:
    other = {**BINDING.model_dump(), "fingerprint": "sha256:" + "b" * 64}
    plan = parse_plan({"schema": "polyglyph.plan/1", "name": "p", "model": other, "edits": []})
    with pytest.raises(PlanMismatchError, match=r"b{64}.*a{64}"):
        check_binding(plan, BINDING, param="steering.plan")


SHAPES = st.sampled_from([(1, 1), (2, 1), (4, 2), (4, 3), (2, 2)])


@settings(max_examples=200)
@given(
    shape=SHAPES, banned=st.sets(st.integers(0, 7)), forced=st.sets(st.integers(0, 7), max_size=4), seed=st.integers(0)
)
def test_what_is_let_pass_is_honoured_by_the_selection(
    shape: tuple[int, int], banned: set[int], forced: set[int], seed: int
) -> None:
    groups, top_groups = shape
    edits = [ban(*sorted(banned))] if banned else []
    edits += [force(*sorted(forced))] if forced else []
    try:
        check_edits(edits, model(groups=groups, top_groups=top_groups), strength=1.0, param="edits")
    except ImpossibleEditError:
        return
    flags = torch.zeros(16, 8, dtype=torch.uint8)
    flags[:, sorted(banned)] = BANNED
    flags[:, sorted(forced)] = FORCED
    logits = torch.randn(16, 8, generator=torch.Generator().manual_seed(seed % 2**31))
    for bias in (None, torch.linspace(2, 0, 8)):
        rule = SelectionRule("sigmoid", 3, bias_E=bias, num_groups=groups, top_groups=top_groups)
        edited = edit_logits(logits, torch.zeros(16, 8), torch.zeros(16, 8), flags)
        _, ids = select(edited, flags, torch.zeros(16, 1), rule)
        for row in ids.tolist():
            assert len(set(row)) == 3
            assert not banned & set(row)
            assert forced <= set(row)


def test_bans_that_could_leave_a_grouped_router_without_experts_are_refused() -> None:
    grouped = model(groups=4, top_groups=2)  # two of four groups of two: three of four experts
    check_edits([ban(0)], grouped, strength=1.0, param="edits")
    refused = 0
    for pair in combinations(range(8), 2):
        try:
            check_edits([ban(*pair)], grouped, strength=1.0, param="edits")
        except ImpossibleEditError:
            refused += 1
    # One expert from each of two groups leaves two groups of one: the router might choose just those.
    assert refused == 24
