"""A random Qwen3-MoE small enough for the interpreter, and a forward pass of Hugging Face's that applies edits.

Shapes: T tokens, L layers, E experts, K selected experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from polyglyph.contract.plan import PHASES, Edit, Phase
from tests.support.phases import phases_of

VOCAB, LAYERS, EXPERTS, TOP_K = 512, 4, 8, 2
THINK, END_THINK = 510, 511


def save_tiny_moe(folder: Path) -> Qwen3MoeForCausalLM:
    """Write a model with a tokenizer of 512 words, and give it; it is fond of opening and closing reasoning blocks."""
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=128,
        moe_intermediate_size=64,
        num_experts=EXPERTS,
        num_experts_per_tok=TOP_K,
        norm_topk_prob=True,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        initializer_range=0.2,
        eos_token_id=0,
        bos_token_id=0,
    )
    model = Qwen3MoeForCausalLM(config).float().eval()
    with torch.no_grad():
        model.lm_head.weight[[THINK, END_THINK]] *= 1.7
    model.save_pretrained(folder)
    words = [f"w{index}" for index in range(VOCAB - 2)] + ["<think>", "</think>"]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="w0"))  # noqa: S106
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w0").save_pretrained(folder)  # noqa: S106
    return model


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
        next_tokens: The model's greedy choice after every token.
        phases: Phase of every token.
        steered_T: bool, tokens in the phases of the plan.
        changed_TL: bool, selections that the edits changed.
        ids_TLK: Selected experts, ascending.
        weights_TLE: Their routing weights, 0 for the others.
    """

    next_tokens: list[int]
    phases: list[int]
    steered_T: Tensor
    changed_TL: Tensor
    ids_TLK: Tensor
    weights_TLE: Tensor

    def num_tokens(self) -> list[int]:
        """Give the number of tokens by phase."""
        return [self.phases.count(phase) for phase in range(3)]

    def selected(self) -> np.ndarray:
        """Give [3, L, E]: selections by phase, layer and expert."""
        return self._by_phase((self.weights_TLE > 0).double())

    def weight_sum(self) -> np.ndarray:
        """Give [3, L, E]: sums of routing weights."""
        return self._by_phase(self.weights_TLE.double())

    def _by_phase(self, values_TLE: Tensor) -> np.ndarray:
        sums = torch.zeros(3, LAYERS, EXPERTS, dtype=torch.float64)
        return sums.index_add_(0, torch.tensor(self.phases), values_TLE).numpy()


class SteeredModel:
    """Reads whole texts in one pass, without cache and without batch, and edits the router logits of chosen tokens."""

    def __init__(self, model: Qwen3MoeForCausalLM) -> None:
        self._model = model
        self._routers = [_SteeredRouter(layer.mlp.gate) for layer in model.model.layers]

    @torch.no_grad()
    def read(self, text: Sequence[int], prompt_len: int, steering: Steering) -> Truth:
        """Give the truth about a text of which everything behind the prompt was generated under this steering."""
        phases = phases_of(text[:-1], prompt_len, [[THINK]], [[END_THINK]])
        steered_T = torch.tensor([PHASES[phase] in steering.phases for phase in phases])
        for layer, router in enumerate(self._routers):
            router.prepare([edit for edit in steering.edits if edit.layer == layer], steering.strength, steered_T)
        logits = self._model(torch.tensor([text[:-1]])).logits
        return Truth(
            next_tokens=logits[0].argmax(dim=-1).tolist(),
            phases=phases,
            steered_T=steered_T & bool(steering.edits and steering.strength),
            changed_TL=torch.stack([router.changed_T for router in self._routers], dim=1),
            ids_TLK=torch.stack([router.ids_TK.sort(dim=1).values for router in self._routers], dim=1),
            weights_TLE=torch.stack([router.weights_TE for router in self._routers], dim=1),
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
        self.ids_TK = torch.stack([ids for ids, _ in rows])
        weights = torch.stack([weights for _, weights in rows])
        self.weights_TE = torch.zeros_like(logits).scatter_(1, self.ids_TK, weights)
        self.changed_T = (self.ids_TK.sort(dim=1).values != plain.sort(dim=1).values).any(dim=1)
        return logits, weights, self.ids_TK

    def _route(self, logits_E: Tensor, edits: Sequence[Edit]) -> tuple[Tensor, Tensor]:
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
        ids = choice.topk(self._top_k).indices
        weights = z.softmax(dim=0)[ids]
        weights = weights / weights.sum()
        scaled = weights * factor[ids]
        return ids, scaled / scaled.sum() * weights.sum() if renormalizes else scaled
