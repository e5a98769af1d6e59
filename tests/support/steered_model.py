"""A Qwen3-MoE on Hugging Face whose router logits are edited, token by token, as the formulas say: the oracle.

It shares no code with Polyglyph's kernels. Shapes: T tokens, L layers, E experts, K selected experts, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3MoeForCausalLM

from polyglyph.contract.plan import PHASES, Edit, Phase
from tests.support.phases import phases_of

ROUNDING = 1e-4
"""Logits closer than this may be ordered either way in float32."""


@dataclass(frozen=True)
class Steering:
    """What one request asks."""

    edits: tuple[Edit, ...] = ()
    phases: tuple[Phase, ...] = PHASES
    strength: float = 1.0


@dataclass(frozen=True)
class Truth:
    """What must have happened to the T tokens of a text that went through the model: all but the last.

    Attributes:
        logprobs_TV: Log-probabilities of what follows every token.
        phases: Phase of every token.
        steered_T: bool, tokens in the phases of the plan.
        changed_TL: bool, selections that the edits changed.
        ids_TLK: Selected experts, ascending.
        weights_TLE: Their routing weights, 0 for the others.
        gap_TL: Edited logit of the last selected expert above the first rejected one; 1 where the last is forced.
    """

    logprobs_TV: Tensor
    phases: list[int]
    steered_T: Tensor
    changed_TL: Tensor
    ids_TLK: Tensor
    weights_TLE: Tensor
    gap_TL: Tensor

    @property
    def next_tokens(self) -> list[int]:
        """The model's greedy choice after every token."""
        return self.logprobs_TV.argmax(dim=-1).tolist()

    @property
    def num_ambiguous(self) -> int:
        """(token, layer) selections that rounding may turn."""
        return int((self.gap_TL < ROUNDING).sum())

    def num_tokens(self) -> list[int]:
        """Give the number of tokens by phase."""
        return [self.phases.count(phase) for phase in range(3)]

    def selected(self) -> np.ndarray:
        """Give [3, L, E]: selections by phase, layer and expert."""
        chosen_TLE = torch.zeros_like(self.weights_TLE).scatter_(2, self.ids_TLK, 1.0)
        return self._by_phase(chosen_TLE.double())

    def weight_sum(self) -> np.ndarray:
        """Give [3, L, E]: sums of routing weights."""
        return self._by_phase(self.weights_TLE.double())

    def _by_phase(self, values_TLE: Tensor) -> np.ndarray:
        sums = torch.zeros(3, *values_TLE.shape[1:], dtype=torch.float64)
        return sums.index_add_(0, torch.tensor(self.phases), values_TLE).numpy()


class SteeredModel:
    """Reads whole texts in one pass, without cache and without batch, and edits the router logits of chosen tokens.

    Args:
        model: In float32.
        think: Token that opens the reasoning block.
        end_think: Token that closes it.
    """

    def __init__(self, model: Qwen3MoeForCausalLM, *, think: int, end_think: int) -> None:
        self._model = model
        self._markers = [[think]], [[end_think]]
        self._routers = [_SteeredRouter(layer.mlp.gate) for layer in model.model.layers]

    @torch.no_grad()
    def read(self, text: Sequence[int], prompt_len: int, steering: Steering) -> Truth:
        """Give the truth about a text of which everything behind the prompt was generated under this steering."""
        phases = phases_of(text[:-1], prompt_len, *self._markers)
        steered_T = torch.tensor([PHASES[phase] in steering.phases for phase in phases])
        for layer, router in enumerate(self._routers):
            router.prepare([edit for edit in steering.edits if edit.layer == layer], steering.strength, steered_T)
        logits = self._model(torch.tensor([list(text[:-1])])).logits[0]
        return Truth(
            logprobs_TV=logits.log_softmax(dim=-1),
            phases=phases,
            steered_T=steered_T & bool(steering.edits and steering.strength),
            changed_TL=torch.stack([router.changed_T for router in self._routers], dim=1),
            ids_TLK=torch.stack([router.ids_TK.sort(dim=1).values for router in self._routers], dim=1),
            weights_TLE=torch.stack([router.weights_TE for router in self._routers], dim=1),
            gap_TL=torch.stack([router.gap_T for router in self._routers], dim=1),
        )


class _SteeredRouter:
    """Stands in for a Qwen3-MoE router's `forward`: selects as it does, token by token, after the token's edits."""

    def __init__(self, gate: torch.nn.Module) -> None:
        self._weight, self._top_k = gate.weight, gate.top_k
        gate.forward = self

    def prepare(self, edits: Sequence[Edit], strength: float, steered_T: Tensor) -> None:
        self._edits, self._strength, self._steered_T = edits, strength, steered_T

    def __call__(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = torch.nn.functional.linear(hidden.reshape(-1, hidden.shape[-1]), self._weight)
        plain = logits.topk(self._top_k).indices
        rows = [
            self._route(row, self._edits if is_steered else ())
            for row, is_steered in zip(logits, self._steered_T, strict=True)
        ]
        self.ids_TK = torch.stack([ids for ids, _, _ in rows])
        weights = torch.stack([weights for _, weights, _ in rows])
        self.gap_T = torch.tensor([gap for _, _, gap in rows])
        self.weights_TE = torch.zeros_like(logits).scatter_(1, self.ids_TK, weights)
        self.changed_T = (self.ids_TK.sort(dim=1).values != plain.sort(dim=1).values).any(dim=1)
        return logits, weights, self.ids_TK

    def _route(self, logits_E: Tensor, edits: Sequence[Edit]) -> tuple[Tensor, Tensor, float]:
        z, factor = logits_E.clone(), torch.ones_like(logits_E)
        renormalizes, banned, forced = False, [], []
        for edit in edits:
            where = list(edit.experts)
            if edit.op == "add":
                z[where] += self._strength * edit.value
            elif edit.op == "add_std":
                z[where] += self._strength * edit.value * logits_E.std(correction=0)
            elif edit.op == "scale":
                factor[where] *= edit.value**self._strength
                renormalizes |= bool(edit.renormalize)
            else:
                (banned if edit.op == "ban" else forced).extend(where)
        z[banned] = -torch.inf
        z[forced] = z.max()
        choice = z.clone()
        choice[forced] = torch.inf
        best = choice.topk(self._top_k + 1)
        ids = best.indices[: self._top_k]
        gap = min(1.0, float(best.values[-2] - best.values[-1]))
        weights = z.softmax(dim=0)[ids]
        weights = weights / weights.sum()
        scaled = weights * factor[ids]
        if renormalizes and scaled.sum() > 0:
            scaled = scaled / scaled.sum() * weights.sum()
        return ids, scaled, gap
