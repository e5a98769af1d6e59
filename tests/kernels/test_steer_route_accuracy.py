"""steer_route on awkward shapes: no further from float64 than twice what plain torch is, and everything written.

The oracle below restates the formulas in NumPy, token by token, in float64; it shares no code with the kernels. Where
there is a GPU, `triton` and plain torch run there.
"""

import os
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from polyglyph.kernels.steer_route import LayerEdits, RouteLog, SelectionRule
from polyglyph.kernels.steer_route.edits import BANNED, FORCED

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not IS_INTERPRETED else "cpu"
IMPLEMENTATIONS = ["cpu"] * (DEVICE == "cpu") + ["triton"] * (IS_INTERPRETED or DEVICE == "cuda")
NUM_SLOTS = 4
GAP = 1e-4
"""Tokens whose choice is closer than this may be decided by rounding, and are left out."""
SHAPES = {
    "two experts": (2, SelectionRule("softmax", 1)),
    "organism": (8, SelectionRule("softmax", 2)),
    "all of them": (8, SelectionRule("softmax", 8)),
    "no power of two": (60, SelectionRule("softmax", 4, renormalize=False)),
    "a prime": (127, SelectionRule("sigmoid", 1)),
    "Qwen3": (128, SelectionRule("softmax", 8)),
    "most": (512, SelectionRule("softmax", 16)),
    "square root of softplus": (100, SelectionRule("sqrtsoftplus", 6, scaling=1.5)),
    "biased": (96, SelectionRule("sigmoid", 6, scaling=2.5, bias_E=torch.linspace(0, 1, 96))),
    "groups of softmax": (64, SelectionRule("softmax", 6, renormalize=False, num_groups=8, top_groups=3)),
    "odd groups": (45, SelectionRule("softmax", 3, num_groups=5, top_groups=2)),
    "biased groups": (
        160,
        SelectionRule("sigmoid", 6, bias_E=torch.linspace(0, 2, 160), num_groups=8, top_groups=3),
    ),
}


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> Any:
    return import_module(f"polyglyph.kernels.steer_route.{request.param}")


class Layer:
    """Random logits, a selection as a router might have made it, and random edits."""

    def __init__(self, name: str, num_tokens: int, *, seed: int = 0) -> None:
        self.num_experts, self.rule = SHAPES[name]
        generator = torch.Generator().manual_seed(seed)
        shape = (NUM_SLOTS, self.num_experts)
        self.logits = torch.randn(num_tokens, self.num_experts, generator=generator) * 2
        self.weights = torch.rand(num_tokens, self.rule.top_k, generator=generator)
        self.ids = self.logits.topk(self.rule.top_k, dim=1).indices.int()
        self.slots = torch.randint(0, NUM_SLOTS, (num_tokens,), generator=generator, dtype=torch.int32)
        flags = torch.zeros(shape, dtype=torch.uint8)
        if self.num_experts > self.rule.top_k:
            flags[1, 0], flags[2, 1] = BANNED, FORCED
        self.edits = LayerEdits(
            add_SE=torch.randn(shape, generator=generator),
            std_SE=torch.randn(shape, generator=generator),
            flags_SE=flags,
            scale_SE=torch.rand(shape, generator=generator) + 0.5,
            edits_logits_S=torch.tensor([False, True, True, False]),
            scales_S=torch.tensor([False, False, True, True]),
            renormalize_S=torch.tensor([False, False, True, False]),
        )

    def route(self, implementation: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        num_tokens, top_k = self.ids.shape
        log = RouteLog(
            torch.full((num_tokens, top_k), -1, dtype=torch.int32, device=DEVICE),
            torch.full((num_tokens, top_k), float("nan"), device=DEVICE),
            torch.zeros(num_tokens, dtype=torch.bool, device=DEVICE),
        )
        weights, ids, slots = (tensor.to(DEVICE, copy=True) for tensor in (self.weights, self.ids, self.slots))
        edits = LayerEdits(**{name: tensor.to(DEVICE) for name, tensor in vars(self.edits).items()})
        bias_E = None if self.rule.bias_E is None else self.rule.bias_E.to(DEVICE)
        steering = implementation.LayerSteering(
            slot_T=slots, edits=edits, rule=replace(self.rule, bias_E=bias_E), log=log
        )
        steering.steer(self.logits.to(DEVICE), weights, ids, torch.zeros(num_tokens, 4, device=DEVICE))
        assert torch.equal(log.ids_TK, ids) and torch.equal(log.weights_TK, weights)
        return weights.cpu(), ids.cpu(), log.changed_T.cpu()


class Oracle:
    """What must come out, in float64, and how close each token's choice was."""

    def __init__(self, layer: Layer) -> None:
        num_tokens, top_k = layer.ids.shape
        self.weights = layer.weights.double().numpy().copy()
        self.ids = layer.ids.numpy().copy()
        self.is_clear = np.ones(num_tokens, bool)
        self._layer, self._rule = layer, layer.rule
        self._edits = {name: tensor.numpy() for name, tensor in vars(layer.edits).items()}
        for token in range(num_tokens):
            self._steer(token, int(layer.slots[token]))
        before = np.sort(layer.ids.numpy(), axis=1)
        self.changed = (np.sort(self.ids, axis=1) != before).any(axis=1)
        assert top_k <= layer.num_experts

    def _steer(self, token: int, slot: int) -> None:
        edits = {name: array[slot] for name, array in self._edits.items()}
        if edits["edits_logits_S"]:
            edited = self._edit(self._layer.logits[token].double().numpy(), edits)
            score = self._score(edited)
            choice = self._choice(edited, score, edits["flags_SE"], token)
            order = np.argsort(-choice, kind="stable")
            chosen = order[: self._rule.top_k]
            self._note_gaps(choice[order], token)
            weights = score[chosen]
            self.ids[token] = chosen
            self.weights[token] = (weights / weights.sum() if self._rule.renormalize else weights) * self._rule.scaling
        if edits["scales_S"]:
            scaled = self.weights[token] * edits["scale_SE"].astype(np.float64)[self.ids[token]]
            back = self.weights[token].sum() / scaled.sum() if edits["renormalize_S"] else 1.0
            self.weights[token] = scaled * back

    def _edit(self, logits: np.ndarray, edits: dict[str, Any]) -> np.ndarray:
        edited = logits + edits["add_SE"].astype(np.float64) + edits["std_SE"].astype(np.float64) * logits.std()
        edited[(edits["flags_SE"] & BANNED) != 0] = -np.inf
        edited[(edits["flags_SE"] & FORCED) != 0] = edited.max()
        return edited

    def _score(self, edited: np.ndarray) -> np.ndarray:
        if self._rule.scoring == "sigmoid":
            return 1 / (1 + np.exp(-edited))
        if self._rule.scoring == "sqrtsoftplus":
            return np.sqrt(np.log1p(np.exp(edited)))
        powers = np.exp(edited - edited.max())
        return powers / powers.sum()

    def _choice(self, edited: np.ndarray, score: np.ndarray, flags: np.ndarray, token: int) -> np.ndarray:
        bias = self._rule.bias_E
        choice = edited.copy() if bias is None else score + bias.double().numpy()
        choice[(flags & BANNED) != 0] = -np.inf
        choice[(flags & FORCED) != 0] = np.inf
        if self._rule.num_groups == 1:
            return choice
        groups = choice.reshape(self._rule.num_groups, -1)
        best = -np.sort(-groups, axis=1)
        value = best[:, 0] if bias is None else best[:, 0] + np.where(best[:, 1] > -np.inf, best[:, 1], 0)
        order = np.argsort(-value, kind="stable")
        edge = value[order[self._rule.top_groups - 1 : self._rule.top_groups + 1]]
        if edge[0] - edge[1] < GAP:
            self.is_clear[token] = False
        groups[order[self._rule.top_groups :]] = -np.inf
        return groups.reshape(-1)

    def _note_gaps(self, sorted_choice: np.ndarray, token: int) -> None:
        """Everything that is chosen, and the first that is not, must lie apart."""
        edge = sorted_choice[: self._rule.top_k + 1]
        with np.errstate(invalid="ignore"):
            gaps = -np.diff(edge)
        if (gaps < GAP).any():
            self.is_clear[token] = False


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("num_tokens", [0, 1, 24] if IS_INTERPRETED else [0, 1, 777])
def test_the_error_is_at_most_twice_torchs(name: str, num_tokens: int, implementation: Any) -> None:
    layer = Layer(name, num_tokens)
    weights, ids, changed = layer.route(implementation)
    oracle = Oracle(layer)
    clear = oracle.is_clear
    assert not num_tokens or clear.mean() > 0.5
    assert (ids.numpy()[clear] == oracle.ids[clear]).all()
    assert (changed.numpy()[clear] == oracle.changed[clear]).all()
    torch_weights, _, _ = layer.route(import_module("polyglyph.kernels.steer_route.reference"))
    ours = np.abs(weights.double().numpy() - oracle.weights)[clear].max(initial=0)
    torchs = np.abs(torch_weights.double().numpy() - oracle.weights)[clear].max(initial=0)
    assert ours <= 2 * torchs + np.finfo(np.float32).eps


@pytest.mark.parametrize("name", ["organism", "biased groups"])
@pytest.mark.parametrize("fault", ["a weight off by a hundredth", "a slot off by one row", "an expert off by one"])
def test_a_fault_is_noticed(name: str, fault: str, implementation: Any) -> None:
    layer = Layer(name, 24)
    oracle = Oracle(layer)
    if fault == "a slot off by one row":
        layer.slots = layer.slots.roll(1)
    weights, ids, _ = layer.route(implementation)
    if fault == "a weight off by a hundredth":
        weights = weights * 1.01
    if fault == "an expert off by one":
        ids = (ids + 1) % layer.num_experts
    clear = oracle.is_clear
    is_right = (ids.numpy()[clear] == oracle.ids[clear]).all()
    error = np.abs(weights.double().numpy() - oracle.weights)[clear].max()
    assert not is_right or error > 1e-3


@pytest.mark.skipif(IS_INTERPRETED, reason="the interpreter takes a millisecond for each token")
@pytest.mark.parametrize("num_tokens", [4096, 16384])
def test_long_steps_are_as_short_ones(num_tokens: int, implementation: Any) -> None:
    layer = Layer("Qwen3", num_tokens)
    weights, ids, changed = layer.route(implementation)
    for start in (0, num_tokens - 100):
        part = Layer("Qwen3", num_tokens)
        for field in ("logits", "weights", "ids", "slots"):
            setattr(part, field, getattr(layer, field)[start : start + 100])
        own_weights, own_ids, own_changed = part.route(implementation)
        assert torch.equal(own_weights, weights[start : start + 100])
        assert torch.equal(own_ids, ids[start : start + 100])
        assert torch.equal(own_changed, changed[start : start + 100])
