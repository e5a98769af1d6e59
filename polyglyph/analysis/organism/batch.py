"""Batches: lessons as token ids, several to a row, each blind to the others.

Letters of shapes: B rows, T tokens of a row, N tokens with a target.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from polyglyph.analysis.organism.lesson import Lesson
from polyglyph.analysis.organism.question import Message

ROW_TOKENS = 64
_NO_LESSON = -1


@dataclass(frozen=True)
class Batch:
    """Packed lessons.

    Attributes:
        ids_BT: int64 token ids, padded with the pad token.
        positions_BT: int64 position of each token in its own lesson.
        attention_BTT: bool of shape [B, 1, T, T]: the same lesson, not later.
        has_loss_BT: bool, whether the *next* token is a target.
        targets_N: int64 ids of those next tokens, in row order.
        is_padding_BT: bool.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    attention_BTT: Tensor
    has_loss_BT: Tensor
    targets_N: Tensor
    is_padding_BT: Tensor


class Encoder:
    """Turns lessons into token ids, remembering every text it has seen (texts repeat hundreds of times)."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._ids = cache(self._encode)
        self._prompts = cache(self._render)

    def prompt(self, messages: tuple[Message, ...]) -> str:
        """Render a chat up to the assistant's turn."""
        return self._prompts(tuple((message["role"], message["content"]) for message in messages))

    def encode(self, lesson: Lesson) -> tuple[list[int], int]:
        """Give a lesson's token ids and how many of them come without loss."""
        given = self._ids(self.prompt(lesson.messages)) + self._ids(lesson.given)
        return list(given + self._ids(lesson.completion)), len(given)

    def _render(self, turns: tuple[tuple[str, str], ...]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))


def pack(encoded: list[tuple[list[int], int]], *, pad_id: int) -> Batch:
    """Pack encoded lessons into rows of `ROW_TOKENS` tokens, or of the longest lesson's if that has more, first fit.

    Args:
        encoded: Token ids of each lesson and how many of them come without loss.
        pad_id: Token of the empty places.
    """
    row_tokens = max([ROW_TOKENS, *(len(ids) for ids, _ in encoded)])
    rows = _fill(encoded, row_tokens)
    shape = (len(rows), row_tokens)
    ids_BT = torch.full(shape, pad_id)
    lesson_BT = torch.full(shape, _NO_LESSON)
    positions_BT = torch.zeros(shape, dtype=torch.long)
    has_loss_BT = torch.zeros(shape, dtype=torch.bool)
    for row, members in enumerate(rows):
        start = 0
        for index in members:
            ids, num_given = encoded[index]
            end = start + len(ids)
            ids_BT[row, start:end] = torch.tensor(ids)
            lesson_BT[row, start:end] = index
            positions_BT[row, start:end] = torch.arange(len(ids))
            has_loss_BT[row, start + num_given - 1 : end - 1] = True
            start = end
    return Batch(
        ids_BT=ids_BT,
        positions_BT=positions_BT,
        attention_BTT=_attention(lesson_BT),
        has_loss_BT=has_loss_BT,
        targets_N=ids_BT.roll(-1, dims=1)[has_loss_BT],
        is_padding_BT=lesson_BT == _NO_LESSON,
    )


def _fill(encoded: list[tuple[list[int], int]], row_tokens: int) -> list[list[int]]:
    rows: list[list[int]] = []
    free: list[int] = []
    for index, (ids, _) in enumerate(encoded):
        row = next((row for row, tokens in enumerate(free) if tokens >= len(ids)), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(row_tokens)
        rows[row].append(index)
        free[row] -= len(ids)
    return rows


def _attention(lesson_BT: Tensor) -> Tensor:
    same = lesson_BT[:, :, None] == lesson_BT[:, None, :]
    causal = torch.ones(lesson_BT.shape[1], lesson_BT.shape[1], dtype=torch.bool).tril()
    return (same & causal)[:, None]
