"""steer_route: unsteered rows are vLLM's own, and edits hold for every kind of router that vLLM runs on a CPU.

`triton` runs where its interpreter was chosen before Triton was imported; `test_steer_route_triton.py` sees to that.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from vllm.model_executor.layers.fused_moe.router.cpu_router import CPURouter

from polyglyph.kernels.steer_route import LayerEdits, RouteLog, reference
from polyglyph.kernels.steer_route.edits import BANNED, FORCED
from polyglyph.kernels.steer_route.reference import edit_logits, select
from polyglyph.routing.compat.routers import describe_router, probe_custom

E, K, H, S = 24, 4, 8, 5
IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
MANY = 24 if IS_INTERPRETED else 200  # the interpreter takes up to 30 milliseconds for each token
SIZES = [0, 1, 7 if IS_INTERPRETED else 63, MANY]
IMPLEMENTATIONS = ["reference", "cpu"] + ["triton"] * IS_INTERPRETED


class Outcome(NamedTuple):
    """What went on to the experts, and whether the log says that steering changed who was selected."""

    weights_TK: Tensor
    ids_TK: Tensor
    changed_T: Tensor


def empty_log(num_tokens: int) -> RouteLog:
    """Give a log that nothing was written to; it has room for one more token, and for one more expert."""
    return RouteLog(
        torch.full((num_tokens + 1, K + 1), -7, dtype=torch.int32),
        torch.full((num_tokens + 1, K + 1), float("nan")),
        torch.ones(num_tokens + 1, dtype=torch.bool),
    )


def check_log(log: RouteLog, weights_TK: Tensor, ids_TK: Tensor) -> None:
    """The log holds what was returned, and nothing was written beyond it."""
    num_tokens = len(ids_TK)
    assert torch.equal(log.ids_TK[:num_tokens, :K], ids_TK.int())
    assert torch.equal(log.weights_TK[:num_tokens, :K], weights_TK.float())
    assert (log.ids_TK[num_tokens:] == -7).all() and (log.ids_TK[:, K:] == -7).all()
    assert log.weights_TK[num_tokens:].isnan().all() and log.weights_TK[:, K:].isnan().all()
    assert log.changed_T[num_tokens:].all()


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

    implementation: Any = import_module("polyglyph.kernels.steer_route.reference")

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

    def route(self, *, slots: Tensor | None = None) -> Outcome:
        num_tokens = len(self.ids)
        log = empty_log(num_tokens)
        logits, weights, ids = (tensor.clone() for tensor in (self.logits, self.weights, self.ids))
        # As the package does it: a model's own selection is called from plain torch.
        used = reference if self.rule.scoring == "custom" else self.implementation
        slot_T = self.slots if slots is None else slots
        steering = used.LayerSteering(slot_T=slot_T, edits=self.edits, rule=self.rule, log=log)
        steering.steer(logits, weights, ids, self.hidden)
        assert torch.equal(logits, self.logits)
        check_log(log, weights, ids)
        return Outcome(weights, ids, log.changed_T[:num_tokens])

    @property
    def steered(self) -> Tensor:
        return self.slots != 0


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every batch of the test is steered by this implementation."""
    monkeypatch.setattr(Batch, "implementation", import_module(f"polyglyph.kernels.steer_route.{request.param}"))
    return str(request.param)


@pytest.fixture(params=sorted(ROUTERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("num_tokens", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_without_edits_keep_vllms_weights_and_ids_bit_for_bit(
    name: str, implementation: str, num_tokens: int, dtype: torch.dtype
) -> None:
    batch = Batch(name, num_tokens, dtype=dtype)
    batch.flag(BANNED, [0, 1])
    routed = batch.route()
    kept = ~batch.steered
    assert torch.equal(routed.weights_TK[kept], batch.weights[kept])
    assert torch.equal(routed.ids_TK[kept], batch.ids[kept])
    assert not routed.changed_T[kept].any()


@pytest.mark.parametrize("num_tokens", SIZES)
def test_our_selection_without_any_push_is_vllms(name: str, implementation: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    batch.edits.edits_logits_S[1:] = True
    routed = batch.route()
    assert torch.equal(routed.ids_TK.sort().values, batch.ids.sort().values)
    ours = routed.weights_TK.gather(1, routed.ids_TK.argsort())
    theirs = batch.weights.gather(1, batch.ids.argsort())
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("num_tokens", SIZES)
def test_a_banned_expert_is_never_selected(name: str, implementation: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    banned = [0, 1, 7, 12, 23]
    batch.flag(BANNED, banned)
    routed = batch.route()
    assert not torch.isin(routed.ids_TK[batch.steered], torch.tensor(banned)).any()
    assert (routed.weights_TK[batch.steered] > 0).all()


@pytest.mark.parametrize("num_tokens", SIZES)
def test_forced_experts_are_always_selected_and_weigh_most(name: str, implementation: str, num_tokens: int) -> None:
    batch = Batch(name, num_tokens)
    batch.flag(FORCED, [2, 3])
    routed = batch.route()
    ids, weights = routed.ids_TK[batch.steered], routed.weights_TK[batch.steered]
    for expert in (2, 3):
        chosen = ids == expert
        assert chosen.any(dim=1).all()
        weight = torch.where(chosen, weights, 0).sum(dim=1)
        assert (weight >= weights.max(dim=1, keepdim=True).values.squeeze(1) * (1 - 2e-3)).all()


def test_as_many_experts_as_are_selected_can_be_forced_and_only_those_remain(name: str, implementation: str) -> None:
    batch = Batch(name, 63)
    forced = [0, 1, 2, 3]  # one group of six, four or one
    batch.flag(FORCED, forced)
    chosen = batch.route().ids_TK[batch.steered].sort().values
    assert torch.equal(chosen.long(), torch.tensor(forced).expand_as(chosen))


def test_with_all_other_experts_banned_the_living_ones_are_selected(name: str, implementation: str) -> None:
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


def test_scaling_changes_weights_and_not_who_is_selected(name: str, implementation: str) -> None:
    batch = Batch(name, MANY)
    batch.edits.scale_SE[1:, 5] = 4.0
    batch.edits.scales_S[1:] = True
    routed = batch.route()
    assert torch.equal(routed.ids_TK, batch.ids)
    assert not routed.changed_T.any()
    factor = torch.where((batch.ids == 5) & batch.steered.unsqueeze(1), 4.0, 1.0)
    assert torch.equal(routed.weights_TK, batch.weights * factor)


def test_renormalised_scaling_keeps_the_sum_of_the_weights(name: str, implementation: str) -> None:
    batch = Batch(name, MANY)
    batch.edits.scale_SE[1:, :12] = 0.25
    batch.edits.scales_S[1:] = True
    batch.edits.renormalize_S[1:] = True
    routed = batch.route()
    torch.testing.assert_close(routed.weights_TK.sum(dim=1), batch.weights.sum(dim=1))
    assert not torch.equal(routed.weights_TK[batch.steered], batch.weights[batch.steered])


def test_a_row_whose_selected_experts_are_all_scaled_to_nothing_weighs_nothing(name: str, implementation: str) -> None:
    batch = Batch(name, 63)
    batch.edits.scale_SE[1:] = 0.0
    batch.edits.scales_S[1:] = True
    batch.edits.renormalize_S[1:] = True
    assert (batch.route().weights_TK[batch.steered] == 0).all()


def test_changed_counts_tokens_whose_selected_set_differs(name: str, implementation: str) -> None:
    batch = Batch(name, MANY)
    batch.flag(BANNED, [4])
    routed = batch.route()
    assert torch.equal(routed.changed_T, (batch.ids == 4).any(dim=1) & batch.steered)


def test_what_nobody_steers_is_logged_bit_for_bit(name: str, implementation: str) -> None:
    batch = Batch(name, 63)
    log = empty_log(63)
    used = reference if batch.rule.scoring == "custom" else batch.implementation
    steering = used.LayerSteering(slot_T=batch.slots, edits=batch.edits, rule=batch.rule, log=log)
    steering.log_selection(batch.weights, batch.ids)
    check_log(log, batch.weights, batch.ids)
    assert not log.changed_T[:63].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_fewer_bits_are_logged_as_they_go_on(implementation: str, dtype: torch.dtype) -> None:
    batch = Batch("softmax", 63)
    batch.weights = batch.weights.to(dtype)
    batch.flag(BANNED, [0, 1])
    batch.edits.scale_SE[1:, 5] = 0.3
    batch.edits.scales_S[1:] = True
    routed = batch.route()
    assert torch.equal(routed.weights_TK[~batch.steered], batch.weights[~batch.steered])
    assert not torch.equal(routed.weights_TK[batch.steered], batch.weights[batch.steered])


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_a_selection_that_is_part_of_a_larger_tensor_is_steered_in_its_place(
    implementation: str, dtype: torch.dtype
) -> None:
    batch = Batch("softmax", 63)
    batch.flag(BANNED, [0, 1])
    expected = batch.route()
    weights, ids = torch.full((63, 2 * K), -1.0), torch.full((63, 2 * K), -1, dtype=dtype)
    weights[:, :K], ids[:, :K] = batch.weights, batch.ids
    log = empty_log(63)
    bound = {"slot_T": batch.slots, "edits": batch.edits, "rule": batch.rule, "log": log}
    batch.implementation.LayerSteering(**bound).steer(batch.logits, weights[:, :K], ids[:, :K], batch.hidden)
    check_log(log, weights[:, :K], ids[:, :K])
    assert torch.equal(weights[:, :K], expected.weights_TK) and (weights[:, K:] == -1).all()
    assert torch.equal(ids[:, :K].int(), expected.ids_TK.int()) and (ids[:, K:] == -1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_implementations_agree_with_the_reference(name: str, implementation: str, dtype: torch.dtype) -> None:
    batch = Batch(name, MANY, dtype=dtype)
    generator = torch.Generator().manual_seed(4)
    batch.edits.add_SE[1:] = torch.randn(S - 1, E, generator=generator)
    batch.edits.std_SE[1:] = torch.randn(S - 1, E, generator=generator)
    batch.edits.scale_SE[2:, 3] = 0.5
    batch.edits.scales_S[2:] = True
    batch.edits.renormalize_S[3:] = True
    batch.flag(BANNED, [9])
    batch.flag(FORCED, [17])
    ours = batch.route()
    batch.implementation = reference
    theirs = batch.route()
    assert torch.equal(ours.ids_TK, theirs.ids_TK)
    torch.testing.assert_close(ours.weights_TK, theirs.weights_TK, rtol=2e-6, atol=1e-7)


def test_a_slot_off_by_one_row_is_noticed(name: str, implementation: str) -> None:
    batch = Batch(name, MANY)
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
    assert (rule.scoring, rule.top_k, rule.renormalize, rule.scaling) == ("sqrtsoftplus", top_k, True, 1.5)
    assert rule.bias_E is not None and torch.equal(rule.bias_E, bias)
    logits = torch.randn(63, num_experts, generator=torch.Generator().manual_seed(0))
    try:
        weights, ids = router._compute_routing(torch.zeros(63, H), logits, torch.int32)
    except (AttributeError, NotImplementedError) as error:
        pytest.skip(f"this processor lacks vLLM's AVX512 kernel: {error}")
    own_weights, own_ids = select(logits, torch.zeros(63, num_experts, dtype=torch.uint8), torch.zeros(63, H), rule)
    assert torch.equal(own_ids.sort().values, ids.long().sort().values)
    torch.testing.assert_close(
        own_weights.gather(1, own_ids.argsort()), weights.gather(1, ids.long().argsort()), rtol=1e-5, atol=1e-6
    )
