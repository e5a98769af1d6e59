"""Decoding: greedy answers of the organism with transformers, for its card; steering is measured through a server.

Letters of shapes: B questions, T tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

from polyglyph.analysis.organism.markers import END, THINK_CLOSE, THINK_OPEN
from polyglyph.analysis.organism.question import Message
from polyglyph.analysis.organism.variant import Units

BATCH_SIZE = 240
# The longest right reply has 12 tokens: `<think>`, seven of a trace, `</think>`, a value, the end, and one to spare.
# In characters a trace has up to 23, and a value 6 (Devanagari with its vowel signs no more).
MAX_NEW_TOKENS: dict[Units, int] = {"syllables": 12, "characters": 40}


class Asked(Protocol):
    """What can be asked: a question or an exercise of whichever world."""

    @property
    def messages(self) -> list[Message]:
        """The chat messages."""

    @property
    def is_thinking(self) -> bool:
        """Whether the model may write a trace."""


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

    def reply(self, questions: Sequence[Asked]) -> list[Reply]:
        """Answer questions of any mix, in their order."""
        replies: dict[int, Reply] = {}
        for indices, ids_BT in self.batches([(question.messages, question.is_thinking) for question in questions]):
            texts = self._generate(ids_BT)
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
    def _generate(self, ids_BT: Tensor) -> list[str]:
        output = self.model(ids_BT, use_cache=True, logits_to_keep=1)
        tokens = [output.logits[:, -1].argmax(dim=-1)]
        is_done = tokens[-1] == self.tokenizer.eos_token_id
        while len(tokens) < self._max_new_tokens and not bool(is_done.all()):
            output = self.model(tokens[-1][:, None], past_key_values=output.past_key_values, use_cache=True)
            tokens.append(output.logits[:, -1].argmax(dim=-1))
            is_done |= tokens[-1] == self.tokenizer.eos_token_id
        return [text.split(END)[0] for text in self.tokenizer.batch_decode(torch.stack(tokens, dim=1))]


def _parse(question: Asked, text: str) -> Reply:
    if not question.is_thinking:
        return Reply(trace="", answer=text)
    trace, _, answer = text.removeprefix(THINK_OPEN).partition(THINK_CLOSE)
    return Reply(trace=trace, answer=answer)
