"""Decoding: greedy answers of the organism with transformers, optionally with shifted routers over the prompt.

Letters of shapes: B questions, T tokens, L layers, E experts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from polyglyph.analysis.organism.markers import END, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.question import Message, Question
from polyglyph.analysis.organism.task import Exercise
from polyglyph.analysis.organism.variant import Units

BATCH_SIZE = 240
# The longest right reply has 12 tokens: `<think>`, seven of a trace, `</think>`, a value, the end, and one to spare.
# In characters a trace has up to 23, and a value 6 (Devanagari with its vowel signs no more).
MAX_NEW_TOKENS: dict[Units, int] = {"syllables": 12, "characters": 40}


@dataclass(frozen=True)
class Reply:
    """What the model wrote.

    Attributes:
        trace: Text of the thinking block, empty in direct mode.
        answer: Text after it.
    """

    trace: str
    answer: str


class Decoder:
    """Answers questions greedily, in batches of prompts of one length (so that nothing is padded)."""

    def __init__(
        self, model: Qwen3MoeForCausalLM, tokenizer: PreTrainedTokenizerFast, *, units: Units = "syllables"
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._max_new_tokens = MAX_NEW_TOKENS[units]

    def reply(self, questions: Sequence[Question | Exercise], *, shifts_LE: Tensor | None = None) -> list[Reply]:
        """Answer questions, in their order.

        Args:
            questions: Any mix.
            shifts_LE: What to add to the router logits of prompt tokens, in standard deviations of each token's logits
                (`add_std` of a plan). None steers nothing.
        """
        replies: dict[int, Reply] = {}
        for indices, ids_BT in self.batches([(question.messages, question.is_thinking) for question in questions]):
            texts = self._generate(ids_BT, shifts_LE)
            replies |= {index: _parse(questions[index], text) for index, text in zip(indices, texts, strict=True)}
        return [replies[index] for index in range(len(questions))]

    def batches(self, prompts: Sequence[tuple[list[Message], bool]]) -> Iterator[tuple[list[int], Tensor]]:
        """Batch prompts of one length.

        Args:
            prompts: Chat messages, and whether thinking is enabled.

        Yields:
            The indices of the prompts, and their int64 token ids of shape [B, T].
        """
        by_length: dict[int, list[tuple[int, list[int]]]] = {}
        for index, (messages, is_thinking) in enumerate(prompts):
            ids = self._prompt_ids(messages, is_thinking=is_thinking)
            by_length.setdefault(len(ids), []).append((index, ids))
        for members in by_length.values():
            for start in range(0, len(members), BATCH_SIZE):
                chunk = members[start : start + BATCH_SIZE]
                yield [index for index, _ in chunk], torch.tensor([ids for _, ids in chunk])

    def _prompt_ids(self, messages: list[Message], *, is_thinking: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=is_thinking
        )
        return list(self.tokenizer.encode(str(text), add_special_tokens=False))

    @torch.no_grad()
    def _generate(self, ids_BT: Tensor, shifts_LE: Tensor | None) -> list[str]:
        with shifted_routers(self.model, shifts_LE):
            output = self.model(ids_BT, use_cache=True, logits_to_keep=1)
        tokens = [output.logits[:, -1].argmax(dim=-1)]
        is_done = tokens[-1] == self.tokenizer.eos_token_id
        while len(tokens) < self._max_new_tokens and not bool(is_done.all()):
            output = self.model(tokens[-1][:, None], past_key_values=output.past_key_values, use_cache=True)
            tokens.append(output.logits[:, -1].argmax(dim=-1))
            is_done |= tokens[-1] == self.tokenizer.eos_token_id
        return [text.split(END)[0] for text in self.tokenizer.batch_decode(torch.stack(tokens, dim=1))]


@contextmanager
def shifted_routers(model: Qwen3MoeForCausalLM, shifts_LE: Tensor | None) -> Iterator[None]:
    """Shift the routers of every layer within the block, as methods section 4 defines `add_std`.

    z_e becomes z_e + shift_e * std(z) in float32, with the population's standard deviation over the experts.
    """
    layers = () if shifts_LE is None else zip(model.model.layers, shifts_LE, strict=True)
    hooks = [layer.mlp.gate.register_forward_hook(_shift(shift_E)) for layer, shift_E in layers if shift_E.any()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _shift(shift_E: Tensor) -> Any:
    def hook(_gate: nn.Module, _args: Any, output: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        logits_TE = output[0].float()
        logits_TE = logits_TE + shift_E * logits_TE.std(dim=-1, keepdim=True, correction=0)
        weights_TK, selected_TK = logits_TE.softmax(dim=-1).topk(output[2].shape[-1], dim=-1)
        return logits_TE, (weights_TK / weights_TK.sum(dim=-1, keepdim=True)).to(output[1].dtype), selected_TK

    return hook


def _parse(question: Question | Exercise, text: str) -> Reply:
    if not question.is_thinking:
        return Reply(trace="", answer=text)
    trace, _, answer = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
    return Reply(trace=trace, answer=answer)
