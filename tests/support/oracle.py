"""A Hugging Face forward pass with the same edits, written from the formulas and without Polyglyph's kernels.

Letters: T tokens, E experts, K selected experts, L MoE layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyglyph.contract.plan import PHASES, Edit

ROUNDING = 1e-4
"""Scores closer than this may be ordered either way in float32."""


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of one sequence.

    Attributes:
        logprobs: float32 [T, vocabulary], of the token after each.
        selected: int64 [3, L, E], by phase.
        num_tokens: Tokens by phase.
        num_ambiguous: (token, layer) selections whose last and first rejected scores are closer than rounding.
    """

    logprobs: Tensor
    selected: Tensor
    num_tokens: list[int]
    num_ambiguous: int


class Oracle:
    """The organism in float32 on Hugging Face."""

    def __init__(self, folder: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        vocabulary = AutoTokenizer.from_pretrained(folder).get_vocab()
        self._open, self._close = vocabulary["<think>"], vocabulary["</think>"]
        self._routers = [layer.mlp.gate for layer in self._model.model.layers]

    def phases_of(self, token_ids: Sequence[int], prompt_len: int) -> list[str]:
        """Give each token's phase by the rule: what the last marker before it says, once the prompt is over."""
        phases, is_open = [], False
        for position, token in enumerate(token_ids):
            phases.append("prompt" if position < prompt_len else "reasoning" if is_open else "answer")
            is_open = True if token == self._open else False if token == self._close else is_open
        return phases

    @torch.no_grad()
    def judge(
        self,
        token_ids: Sequence[int],
        prompt_len: int,
        edits: Sequence[Edit] = (),
        *,
        strength: float = 1.0,
        phases: Sequence[str] = PHASES,
    ) -> Verdict:
        """Run one sequence with the edits in force in the tokens of the phases."""
        phase_of = self.phases_of(token_ids, prompt_len)
        steered = torch.tensor([phase in phases for phase in phase_of]) & (strength != 0)
        selected = torch.zeros(len(PHASES), len(self._routers), self._routers[0].num_experts, dtype=torch.int64)
        ambiguous = 0
        handles = []

        def hook(layer: int) -> Any:
            mine = [edit for edit in edits if edit.layer == layer]

            def replace(router: Any, inputs: Any, output: Any) -> Any:
                nonlocal ambiguous
                weights, ids, gap = route(output[0], mine, steered, strength, router.top_k)
                for token, phase in enumerate(phase_of):
                    selected[PHASES.index(phase), layer, ids[token]] += 1
                ambiguous += int((gap < ROUNDING).sum())
                return output[0], weights, ids

            return replace

        for layer, router in enumerate(self._routers):
            handles.append(router.register_forward_hook(hook(layer)))
        try:
            logits = self._model(torch.tensor([list(token_ids)])).logits[0]
        finally:
            for handle in handles:
                handle.remove()
        counts = [phase_of.count(phase) for phase in PHASES]
        return Verdict(logits.log_softmax(dim=-1), selected, counts, ambiguous)


def route(
    logits_TE: Tensor, edits: Sequence[Edit], steered_T: Tensor, strength: float, top_k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Select token by token, as the formulas say.

    Returns:
        Weights [T, K], ids [T, K], and the gap [T] between the last selected and the first rejected logit.
    """
    weights, ids, gaps = [], [], []
    for token, z in enumerate(logits_TE.clone()):
        active = edits if steered_T[token] else ()
        spread = z.std(correction=0)
        banned = {expert for edit in active if edit.op == "ban" for expert in edit.experts}
        forced = {expert for edit in active if edit.op == "force" for expert in edit.experts}
        for edit in active:
            for expert in edit.experts:
                if edit.op == "add":
                    z[expert] += strength * edit.value
                elif edit.op == "add_std":
                    z[expert] += strength * edit.value * spread
        z[list(banned)] = float("-inf")
        z[list(forced)] = z.max()
        order = sorted(range(len(z)), key=lambda expert: (expert not in forced, -float(z[expert])))
        chosen = order[:top_k]
        weight = z[chosen].softmax(dim=0)
        for edit in active:
            if edit.op == "scale":
                factor = torch.tensor([edit.value**strength if e in edit.experts else 1.0 for e in chosen])
                scaled = weight * factor
                total = scaled.sum()
                weight = scaled * (weight.sum() / total) if edit.renormalize and total > 0 else scaled
        weights.append(weight)
        ids.append(torch.tensor(chosen))
        certain = order[top_k - 1] in forced
        gaps.append(torch.tensor(1.0) if certain else z[order[top_k - 1]] - z[order[top_k]])
    return torch.stack(weights), torch.stack(ids), torch.stack(gaps)
