"""steer_route: unsteered rows are vLLM's own, and edits hold for every kind of router that vLLM runs on a CPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

from polyglyph.kernels.steer_route import LayerEdits, Routed, SelectionRule, steer_route
from polyglyph.kernels.steer_route.edits import BANNED, FORCED
from polyglyph.kernels.steer_route.reference import edit_logits, steer_all_rows
from polyglyph.routing.compat.routers import describe_router, probe_custom

E, K, H, S = 24, 4, 8, 5
SIZES = [0, 1, 63, 200]


def sigmoid_top_k(hidden_states: Tensor, gating_output: Tensor, topk: int, renormalize: bool) -> tuple[Tensor, Tensor]:
    """What Llama 4 does: choose by logit, weigh by sigmoid."""
    scores, ids = gating_output.topk(topk, dim=-1)
    return scores.float().sigmoid(), ids.int()


def blind_choice(hidden_states: Tensor, gating_output: Tensor, topk: int, renormalize: bool) -> tuple[Tensor, Tensor]:
    """A selection that ignores the logits, as a hash does."""
    ids = torch.arange(topk, dtype=torch.int32).expand(gating_output.shape[0], topk)
    return torch.full(ids.shape, 1.0 / topk), ids


ROUTERS: dict[str, dict[str, Any]] = {
    "softmax": {"renormalize": True},
    "softmax, weights as they are": {"renormalize": False},
    "groups of softmax": {"use_grouped_topk": True, "num_expert_group": 6, "topk_group": 3, "renormalize": False},
    "biased sigmoid": {
        "use_grouped_topk": True,
        "num_expert_group": 1,
        "topk_group": 1,
        "scoring_func": "sigmoid",
        "e_score_correction_bias": "random",
        "routed_scaling_factor": 2.5,
    },
    "biased groups of sigmoid": {
        "use_grouped_topk": True,
        "num_expert_group": 4,
        "topk_group": 2,
        "scoring_func": "sigmoid",
        "e_score_correction_bias": "random",
        "routed_scaling_factor": 2.5,
    },
    "custom": {"custom_routing_function": sigmoid_top_k},
}


def make_router(name: str) -> CPURouter:
    settings = dict(ROUTERS[name])
    if "e_score_correction_bias" in settings:
        # As large as the scores: a banned expert would still be chosen by its bias if only its logit were cut.
        settings["e_score_correction_bias"] = torch.rand(E, generator=torch.Generator().manual_seed(3)) * 2
    return CPURouter(top_k=K, global_num_experts=E, **settings)


class Batch:
    """Logits, vLLM's own selection of them, and an edit table that starts without edits."""

    def __init__(self, name: str, num_tokens: int, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.router = make_router(name)
        _, self.rule = describe_router(self.router, layer=0, model_layer=0, name="layer")
        self.logits = (torch.randn(num_tokens, E, generator=generator) * 2).to(dtype)
        self.hidden = torch.randn(num_tokens, H, generator=generator)
        # vLLM's grouped selection cannot take an empty batch, which the engine never gives it.
        some = self.logits if num_tokens else torch.zeros(1, E)
        weights, ids = self.router._compute_routing(torch.zeros(max(num_tokens, 1), H), some, torch.int32)
        self.weights, self.ids = weights[:num_tokens], ids[:num_tokens]
        self.slots = torch.randint(0, S, (num_tokens,), generator=generator, dtype=torch.int32)
        self.edits = LayerEdits(
            torch.zeros(S, E),
            torch.zeros(S, E),
            torch.zeros(S, E, dtype=torch.uint8),
            torch.ones(S, E),
            torch.zeros(S, dtype=torch.bool),
            torch.zeros(S, dtype=torch.bool),
            torch.zeros(S, dtype=torch.bool),
        )

    def flag(self, flag: int, experts: list[int]) -> None:
        """Ban or force experts in every slot but the unsteered one."""
        self.edits.flags_SE[1:, experts] |= flag
        self.edits.edits_logits_S[1:] = True

    def route(self, *, slots: Tensor | None = None) -> Routed:
        return steer_route(
            self.logits,
            self.weights,
            self.ids,
            hidden_TH=self.hidden,
            slot_T=self.slots if slots is None else slots,
            edits=self.edits,
            rule=self.rule,
        )

    @property
    def steered(self) -> Tensor:
        return self.slots != 0


@pytest.fixture(params=sorted(ROUTERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_without_edits_keep_vllms_weights_and_ids_bit_for_bit(
    name: str, num_tokens: int, dtype: torch.dtype
) -> None:
    batch = Batch(name, num_tokens, dtype=dtype)
    batch.flag(BANNED, [0, 1])
    routed = batch.route()
    kept = ~batch.steered
    assert torch.equal(routed.weights_TK[kept], batch.weights[kept])
    assert torch.equal(routed.ids_TK[kept], batch.ids[kept])
    assert not routed.changed_T[kept].any()


def test_outputs_are_fresh_tensors(name: str) -> None:
    batch = Batch(name, 8)
    routed = batch.route(slots=torch.zeros(8, dtype=torch.int32))
    assert routed.weights_TK.data_ptr() != batch.weights.data_ptr()
    assert routed.ids_TK.data_ptr() != batch.ids.data_ptr()


@pytest.mark.parametrize("num_tokens", SIZES)
def test_our_selection_without_any_push_is_vllms(name: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    batch.edits.edits_logits_S[1:] = True
    routed = batch.route()
    assert torch.equal(routed.ids_TK.sort().values, batch.ids.sort().values)
    ours = routed.weights_TK.gather(1, routed.ids_TK.argsort())
    theirs = batch.weights.gather(1, batch.ids.argsort())
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("num_tokens", SIZES)
def test_a_banned_expert_is_never_selected(name: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    banned = [0, 1, 7, 12, 23]
    batch.flag(BANNED, banned)
    routed = batch.route()
    assert not torch.isin(routed.ids_TK[batch.steered], torch.tensor(banned)).any()
    assert (routed.weights_TK[batch.steered] > 0).all()


@pytest.mark.parametrize("num_tokens", SIZES)
def test_forced_experts_are_always_selected_and_weigh_most(name: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    batch.flag(FORCED, [2, 3])
    routed = batch.route()
    ids, weights = routed.ids_TK[batch.steered], routed.weights_TK[batch.steered]
    for expert in (2, 3):
        chosen = ids == expert
        assert chosen.any(dim=1).all()
        weight = torch.where(chosen, weights, 0).sum(dim=1)
        assert (weight >= weights.max(dim=1, keepdim=True).values.squeeze(1) * (1 - 2e-3)).all()


def test_as_many_experts_as_are_selected_can_be_forced_and_only_those_remain(name: str) -> None:
    batch = Batch(name, 63)
    forced = [0, 1, 2, 3]  # one group of six, four or one
    batch.flag(FORCED, forced)
    chosen = batch.route().ids_TK[batch.steered].sort().values
    assert torch.equal(chosen.long(), torch.tensor(forced).expand_as(chosen))


def test_with_all_other_experts_banned_the_living_ones_are_selected(name: str) -> None:
    batch = Batch(name, 63)
    living = [0, 1, 2, 3]
    batch.flag(BANNED, [expert for expert in range(E) if expert not in living])
    chosen = batch.route().ids_TK[batch.steered].sort().values
    assert torch.equal(chosen.long(), torch.tensor(living).expand_as(chosen))


def test_edited_logits_agree_with_float64() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, add, std = (torch.randn(200, E, generator=generator) for _ in range(3))
    edited = edit_logits(logits, add, std, torch.zeros(200, E, dtype=torch.uint8))
    exact = logits.double() + add.double() + std.double() * logits.double().std(dim=-1, correction=0, keepdim=True)
    assert (edited - exact).abs().max() < 4 * torch.finfo(torch.float32).eps * exact.abs().max()


def test_scaling_changes_weights_and_not_who_is_selected(name: str) -> None:
    batch = Batch(name, 200)
    batch.edits.scale_SE[1:, 5] = 4.0
    batch.edits.scales_S[1:] = True
    routed = batch.route()
    assert torch.equal(routed.ids_TK, batch.ids)
    assert not routed.changed_T.any()
    factor = torch.where((batch.ids == 5) & batch.steered.unsqueeze(1), 4.0, 1.0)
    assert torch.equal(routed.weights_TK, batch.weights * factor)


def test_renormalised_scaling_keeps_the_sum_of_the_weights(name: str) -> None:
    batch = Batch(name, 200)
    batch.edits.scale_SE[1:, :12] = 0.25
    batch.edits.scales_S[1:] = True
    batch.edits.renormalize_S[1:] = True
    routed = batch.route()
    torch.testing.assert_close(routed.weights_TK.sum(dim=1), batch.weights.sum(dim=1))
    assert not torch.equal(routed.weights_TK[batch.steered], batch.weights[batch.steered])


def test_a_row_whose_selected_experts_are_all_scaled_to_nothing_weighs_nothing(name: str) -> None:
    batch = Batch(name, 63)
    batch.edits.scale_SE[1:] = 0.0
    batch.edits.scales_S[1:] = True
    batch.edits.renormalize_S[1:] = True
    assert (batch.route().weights_TK[batch.steered] == 0).all()


def test_changed_counts_tokens_whose_selected_set_differs(name: str) -> None:
    batch = Batch(name, 200)
    batch.flag(BANNED, [4])
    routed = batch.route()
    assert torch.equal(routed.changed_T, (batch.ids == 4).any(dim=1) & batch.steered)


def test_host_and_device_forms_agree(name: str) -> None:
    batch = Batch(name, 200)
    batch.edits.add_SE[1:] = torch.randn(S - 1, E, generator=torch.Generator().manual_seed(4))
    batch.edits.scale_SE[2:, 3] = 0.5
    batch.edits.scales_S[2:] = True
    batch.flag(BANNED, [9])
    on_device = steer_all_rows(
        batch.logits, batch.weights, batch.ids, batch.hidden, batch.slots, batch.edits, batch.rule
    )
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(batch.route(), on_device, strict=True))


def test_a_slot_off_by_one_row_is_noticed(name: str) -> None:
    batch = Batch(name, 200)
    banned = batch.ids.flatten().bincount(minlength=E).topk(3).indices
    batch.flag(BANNED, banned.tolist())
    broken = batch.route(slots=batch.slots.roll(1))
    assert torch.isin(broken.ids_TK[batch.steered].long(), banned).any()


@pytest.mark.parametrize(
    ("function", "ops"),
    [(sigmoid_top_k, ("add", "add_std", "force", "ban", "scale")), (blind_choice, ("scale",))],
)
def test_a_custom_selection_offers_only_what_it_honours(function: Callable[..., Any], ops: tuple[str, ...]) -> None:
    router = CPURouter(top_k=K, global_num_experts=E, custom_routing_function=function)
    _, rule = describe_router(router, layer=0, model_layer=0, name="layer")
    found = probe_custom(rule, num_experts=E, hidden_size=H, device=torch.device("cpu"), dtype=torch.float32)
    assert found == ops


def test_a_hash_router_offers_weights_only() -> None:
    table = torch.zeros(16, K, dtype=torch.int32)
    router = CPURouter(top_k=K, global_num_experts=E, scoring_func="sqrtsoftplus", hash_indices_table=table)
    description, _ = describe_router(router, layer=3, model_layer=7, name="model.layers.7.mlp.experts")
    assert (description.kind, description.ops) == ("hash", ("scale",))


def test_sqrtsoftplus_with_bias_selects_as_vllms_kernel() -> None:
    num_experts, top_k = 256, 8  # the kernel knows a few sizes only
    bias = torch.rand(num_experts, generator=torch.Generator().manual_seed(3))
    router = CPURouter(
        top_k=top_k,
        global_num_experts=num_experts,
        scoring_func="sqrtsoftplus",
        e_score_correction_bias=bias,
        routed_scaling_factor=1.5,
    )
    _, rule = describe_router(router, layer=0, model_layer=0, name="layer")
    assert rule == SelectionRule("sqrtsoftplus", top_k, renormalize=True, scaling=1.5, bias_E=rule.bias_E)
    logits = torch.randn(63, num_experts, generator=torch.Generator().manual_seed(0))
    try:
        weights, ids = router._compute_routing(torch.zeros(63, H), logits, torch.int32)
    except (AttributeError, NotImplementedError) as error:
        pytest.skip(f"this processor lacks vLLM's AVX512 kernel: {error}")
    from polyglyph.kernels.steer_route.reference import select

    own_weights, own_ids = select(logits, torch.zeros(63, num_experts, dtype=torch.uint8), torch.zeros(63, H), rule)
    assert torch.equal(own_ids.sort().values, ids.long().sort().values)
    torch.testing.assert_close(
        own_weights.gather(1, own_ids.argsort()), weights.gather(1, ids.long().argsort()), rtol=1e-5, atol=1e-6
    )
